# What a cell sees of the host, and what it may do.

load ../lib/common

@test "every namespace is the cell's own" {
    namespaces() {
        run -0 cell -- sh -c 'for n in user mnt pid ipc uts cgroup; do readlink /proc/self/ns/$n; done'
        local n
        for n in user mnt pid ipc uts cgroup; do
            assert_match "$output" "*$n:*"
            [[ $output != *$(readlink /proc/self/ns/$n)* ]]
        done
    }
    each_caller namespaces
}

@test "pid 1 is stepcell's own init, and the host's processes are not to be seen" {
    init() {
        run -0 cell -- sh -c 'cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l'
        assert_match "${lines[0]}" "stepcell-init*"
        [ "${lines[1]}" -le 5 ]
    }
    each_caller init
}

@test "no descriptor of the caller reaches the cell" {
    descriptors() {
        run -0 many_descriptors
        assert_equal output "$output" "0 1 2"
    }
    each_caller descriptors
}

# The listing itself holds one descriptor, of the directory that it reads; a pipeline would hold more.
many_descriptors() (
    for i in $(seq 30 59); do eval "exec $i<$TEST_DIR"; done
    cell -- sh -c 'set -- /proc/$$/fd/*; open=; for f; do [ ! -L "$f" ] || open="$open ${f##*/}"; done; echo $open'
)

@test "nothing leads from the cell's directories to the host" {
    escape() {
        run -0 cell -- sh -c 'ls -d /proc/1/cwd/.. /proc/1/root >/dev/null 2>&1; ls / | tr "\n" " "; [ ! -e "$1" ]' sh "$CANARY"
        run cell -- ls "$TEST_DIR/store"
        [ "$status" != 0 ]
        run --separate-stderr cell --workdir /proc/self/fd/5 -- true
        assert_equal status "$status" 125
    }
    each_caller escape
}

@test "the caller's environment stays outside, but for the proxy variables" {
    environment() {
        local -x SECRET_OF_HOST=1 LD_PRELOAD_X=1 http_proxy=http://127.0.0.1:9 NO_PROXY=internal
        run -0 cell -- env
        [[ $output != *SECRET_OF_HOST* && $output != *STEPCELL_STORE* && $output != *LD_PRELOAD_X* ]]
        assert_match "$output" *'http_proxy=http://127.0.0.1:9'*
        assert_match "$output" *'NO_PROXY=internal'*
        run -0 cell --no-proxy-env -- env
        [[ $output != *proxy* ]]
    }
    each_caller environment
}

@test "a home, a path, a host name, name look-up files are there" {
    comfort() {
        run -0 cell -- sh -c '
            cd && touch x && echo "$PATH" && hostname && ls /etc/resolv.conf /etc/hosts && grep localhost /etc/hosts'
        [ "$(sed -n 2p <<<"$output")" != "$(hostname)" ] || [ -n "$output" ]
    }
    each_caller comfort
}

@test "/dev holds what a program needs and nothing else" {
    devices() {
        run -0 cell -- sh -c 'echo x >/dev/null; head -c 4 /dev/zero /dev/urandom >/dev/null
            for d in /dev/*; do [ ! -b $d ] || echo block $d; done
            test -w /dev/shm; ls /dev'
        [[ $output != *block* ]]
        local name
        for name in $output; do
            assert_match "$name" "@(null|zero|full|random|urandom|tty|console|ptmx|pts|shm|mqueue|fd|stdin|stdout|stderr|core)"
        done
    }
    each_caller devices
}

@test "privileges are docker's default at most, and none can be gained" {
    privileges() {
        run -0 cell -- cat /proc/self/status
        field() { awk -v key="$1:" '$1 == key { print $2 }' <<<"$output"; }
        assert_equal NoNewPrivs "$(field NoNewPrivs)" 1
        assert_equal CapInh "$(field CapInh)" 0000000000000000
        assert_equal CapAmb "$(field CapAmb)" 0000000000000000
        # 0xa80425fb is docker's default set.
        assert_equal "CapBnd beyond docker's" $((0x$(field CapBnd) & ~0xa80425fb)) 0
        assert_equal "CapEff beyond docker's" $((0x$(field CapEff) & ~0xa80425fb)) 0
        run -0 cell --user app -- cat /proc/self/status
        assert_equal "CapEff of a user" "$(field CapEff)" 0000000000000000
    }
    each_caller privileges
}

@test "--cap-drop takes capabilities away, --cap-add gives back no more than docker's defaults" {
    capabilities() {
        local bounding='s/^CapBnd:\t//p'
        run -0 cell --user 0 --cap-drop ALL -- sed -n "$bounding" /proc/self/status
        assert_equal "without all" "$output" 0000000000000000
        run -0 cell --user 0 --cap-drop ALL --cap-add CAP_CHOWN --cap-add kill -- sed -n "$bounding" /proc/self/status
        assert_equal "with two" "$output" 0000000000000021
        run -0 cell --user 0 --cap-drop NET_RAW -- sed -n "$bounding;s/^CapEff:\t//p" /proc/self/status
        assert_equal "without one" "$output" $'00000000a80405fb\n00000000a80405fb'
        run --separate-stderr cell --cap-add SYS_ADMIN -- true
        assert_refused option.invalid
        run --separate-stderr cell --cap-add ALL -- true
        assert_refused option.invalid
        run --separate-stderr cell --cap-drop 7 -- true
        assert_refused option.invalid
        run -1 cell --user 0 --cap-drop CHOWN -- chown 7 /tmp
    }
    each_caller capabilities
}

@test "--read-only leaves the root as it is, --tmpfs gives places to write" {
    read_only_root() {
        # shellcheck disable=SC2016 # the cell's shell
        run -0 --separate-stderr cell --read-only --tmpfs /run/mine:size=64k --tmpfs /new:exec -- sh -c '
            touch /etc/x /tmp/x /x; echo $?
            touch here /dev/shm/x /run/mine/x /new/x && echo wrote
            cp /bin/busybox /new/ && /new/busybox true && echo executed
            head -c 100000 /dev/zero >/run/mine/large; echo $?
            grep -o " /run/mine tmpfs [a-z,]*" /proc/mounts'
        assert_equal output "$output" $'1\nwrote\nexecuted\n1\n /run/mine tmpfs rw,nosuid,nodev,noexec,relatime,size'
        [ -e here ]
    }
    each_caller read_only_root
}

@test "--hostname names the cell, and nothing else" {
    hostnames() {
        local before
        before=$(hostname)
        run -0 cell --hostname step-7.example -- hostname
        assert_equal name "$output" step-7.example
        assert_equal "the host's" "$(hostname)" "$before"
        run --separate-stderr cell --hostname $'a\nb' -- true
        assert_refused option.invalid
    }
    each_caller hostnames
}

@test "what docker forbids is forbidden" {
    forbidden() {
        run cell -- sh -c '
            mount -t tmpfs none /mnt 2>/dev/null && echo mounted
            mknod /tmp/sda b 8 0 2>/dev/null && echo made a device
            hostname other 2>/dev/null && echo renamed
            echo 1 2>/dev/null >/proc/sys/kernel/panic && echo wrote a sysctl
            echo b 2>/dev/null >/proc/sysrq-trigger && echo wrote sysrq
            cat /proc/kcore 2>/dev/null | head -c 1 | wc -c | grep -qx 0 || echo read kcore
            mkdir /sys/fs/cgroup/x 2>/dev/null && echo made a cgroup
            nsenter -t 1 -m true 2>/dev/null && echo entered
            :'
        assert_equal output "$output" ""
    }
    each_caller forbidden
}

# What moby hides, where this kernel has it. An entry that cannot be read is as good as an empty one.
@test "what docker hides of /proc and /sys is hidden, on each network" {
    hidden() {
        run -0 cell --network "$1" -- sh -c '
            for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
                /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/firmware \
                /sys/devices/virtual/powercap /sys/devices/system/cpu/cpu*/thermal_throttle; do
                [ ! -d "$path" ] || ls -A "$path"
                [ ! -f "$path" ] || echo "$path is a file"
                [ ! -c "$path" ] || head -c 1 "$path"
            done
            ls -A /sys/fs/cgroup'
        assert_equal output "$output" ""
    }
    [ -s /proc/interrupts ] && [ -n "$(ls /proc/acpi)" ]
    each_caller hidden host
    each_caller hidden none
    # Whatever directory is mounted below /sys, and wherever. A file is there in place of another one.
    mounted() {
        run -0 cell --network host -- sh -c 'ls -A /sys/bus; cat /sys/power/state; echo x 2>/dev/null >/sys/power/state || echo read-only'
        assert_equal output "$output" $'other\nread-only'
    }
    echo secret >"$TEST_DIR/secret"
    mount -t tmpfs -o mode=755 mounted /sys/bus
    echo secret >/sys/bus/secret
    mkdir /sys/bus/below
    mount -t tmpfs mounted /sys/bus/below
    echo other >"$TEST_DIR/other"
    mount --bind "$TEST_DIR/other" /sys/power/state
    # Elsewhere somebody has a mount with a name that is longer than any.
    mkdir "$TEST_DIR/long"
    exec {server}<>/dev/fuse
    mount -i -t "fuse.$(printf 'a%.0s' {1..80})" -o fd=$server,rootmode=40000,user_id=0,group_id=0 none "$TEST_DIR/long"
    each_caller mounted
    exec {server}>&-
    umount -l "$TEST_DIR/long"
    umount /sys/power/state /sys/bus/below /sys/bus
}

@test "what docker makes read-only of /proc and /sys is read-only" {
    read_only() {
        # As root of the cell, which owns the sysctls of its own namespaces.
        run cell --network none --user 0 -- sh -c '
            echo other 2>/dev/null >/proc/sys/kernel/domainname && echo wrote kernel
            echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward && echo wrote net
            echo 1 2>/dev/null >/proc/sys/kernel/msgmax && echo wrote ipc
            for path in /proc/bus /proc/fs /proc/irq /proc/sys /sys; do
                [ ! -e $path ] || grep -q " $path ro," /proc/mounts || grep -q " $path [^ ]* ro," /proc/mounts || echo "$path can be written"
            done'
        assert_equal output "$output" ""
    }
    each_caller read_only
}

@test "abstract unix sockets of the host are out of reach, a cell's own work" {
    local server
    make_attempt "$BATS_TEST_TMPDIR/attempt"
    sockets() {
        cp "$BATS_TEST_TMPDIR/attempt" attempt
        run -0 cell --network "$1" -- ./attempt own-abstract connect-abstract
        assert_equal output "$output" $'own-abstract ok\nconnect-abstract '"$2"
        [ "$(as ./attempt connect-abstract)" = "connect-abstract ok" ]
    }
    "$BATS_TEST_TMPDIR/attempt" serve-abstract >"$BATS_TEST_TMPDIR/serving" &
    server=$!
    wait_for grep -q serving "$BATS_TEST_TMPDIR/serving"
    each_caller sockets none ECONNREFUSED
    # Landlock's scopes came with Linux 6.12.
    if [ "$("$BATS_TEST_TMPDIR/attempt" landlock-scopes)" = "landlock-scopes ok" ]; then
        each_caller sockets host EPERM
    else
        kill $server
        skip "kernel lacks Landlock's scopes (Linux 6.12)"
    fi
    kill $server
}

@test "--network none has the loopback interface alone, host has the host's" {
    networks() {
        run -0 cell --network none -- sh -c 'ls /sys/class/net; ifconfig lo | grep -c "127.0.0.1"'
        assert_equal output "$output" $'lo\n1'
        run -0 cell --network host -- readlink /proc/self/ns/net
        assert_equal net "$output" "$(readlink /proc/self/ns/net)"
        run -0 cell -- readlink /proc/self/ns/net
        assert_equal "net by default" "$output" "$(readlink /proc/self/ns/net)"
    }
    each_caller networks
}

@test "what a script leaves running is killed at its end, and named" {
    left() {
        local start=$EPOCHREALTIME
        # With their paths, since a busybox shell runs its own applets under the name of "exe".
        run -0 --separate-stderr cell -- sh -c '
            /bin/sleep 987 & (setsid /bin/sleep 988 >/dev/null 2>&1 &); /bin/sleep 0.3'
        assert_match "$stderr" "*sleep*"
        [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 5000000 ]
        [ -z "$(processes_in_cells)" ]
    }
    each_caller left
}

@test "the cell's root is writable and thrown away" {
    throwaway() {
        run -0 cell -- sh -c 'echo x >/new && rm -r /home && mkdir /bin/dir'
        run -0 cell -- sh -c 'test ! -e /new && test -d /home/app && test ! -e /bin/dir'
    }
    each_caller throwaway
}
