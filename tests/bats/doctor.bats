# `stepcell doctor`, `version` and the help texts.

load ../lib/common
load ../lib/registry
load ../lib/faults

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    chmod 755 "$FAULTS_DIR"
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    unset DOCKER_HOST CONTAINER_HOST
}

teardown() {
    stop_faults
    stop_registry
}

# diagnose STATUS [OPTION...]: the findings, as $FINDINGS
diagnose() {
    local expected=$1
    shift
    run "-$expected" --separate-stderr stepcell doctor --json "$@"
    FINDINGS=$output
    assert_equal ready "$(jq .ready <<<"$FINDINGS")" "$([ "$expected" = 0 ] && echo true || echo false)"
}

# assert_finding ID LEVEL MESSAGE HINT: there is such a finding; the last two are patterns of jq
assert_finding() {
    jq -e --arg id "$1" --arg level "$2" --arg message "$3" --arg hint "$4" '.findings | any(.[]; .id == $id and .level == $level
        and (.message | test($message)) and ((.hint // "") | test($hint)))' <<<"$FINDINGS" >/dev/null || {
        echo "no $2 of $1 like '$3', '$4' in:"
        jq -c '.findings[]' <<<"$FINDINGS"
        return 1
    }
}

@test "doctor says that this machine can run steps, one line a finding" {
    doctor() {
        run -0 --separate-stderr stepcell doctor
        [ "${#lines[@]}" -ge 3 ]
    }
    each_caller doctor
}

@test "doctor --json has the documented shape" {
    doctor_json() {
        run -0 --separate-stderr stepcell doctor --json
        jq -e '.ready == true and (.findings | all(.[]; (.id | type == "string")
            and (.level | IN("ok", "info", "warning", "error")) and (.message | type == "string")))' <<<"$output"
    }
    each_caller doctor_json
}

@test "doctor misses a place that the store can be made in" {
    no_place() {
        local place
        diagnose 1 --store /proc/none/store
        assert_finding store error "cannot be made in '/proc'" "--store"
        diagnose 0 --store "$WORK/to/come"
        [ -z "$(ls -A)" ]
        as ln -s nowhere away
        for place in away away/store; do
            diagnose 1 --store "$WORK/$place"
            assert_finding store error "No such file" ''
        done
    }
    each_caller no_place
}

@test "doctor tells a user without subordinate ids how to get them" {
    CALLER=plain
    run -0 --separate-stderr stepcell doctor
    assert_match "$output" "*subuid*"
}

@test "doctor really tries, and finds everything where everything is" {
    whole() {
        local id
        diagnose 0
        for id in kernel user-namespaces kernel-features abstract-sockets overlay cell clock programs store; do
            assert_finding "$id" ok . '^$'
        done
        assert_finding store ok 'GB.*inodes left' '^$'
        [ "$CALLER" != root ] || assert_finding idmapped-mounts ok . '^$'
        [ "$CALLER" != root ] || assert_finding id-ranges ok '2013265920 to 2017460224' '^$'
        [ "$CALLER" != root ] || assert_finding cgroups ok 'memory is enforced' '^$'
        [ "$CALLER" != root ] || assert_finding network-helpers ok 'netavark [0-9].*iptables [0-9]' '^$'
        run -125 stepcell doctor nonsense
        run -125 stepcell doctor --nonsense
    }
    each_caller whole
}

@test "doctor warns of who has ids of root's cells" {
    local file
    CALLER=root
    echo 'someone:2013300000:65536' >"$BATS_TEST_TMPDIR/subid"
    for file in subuid subgid; do
        UNDER=(unshare --mount sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$BATS_TEST_TMPDIR/subid" "/etc/$file")
        diagnose 0
        assert_finding id-ranges warning "'someone' .*/etc/$file" "usermod --del-${file}s"
    done
}

# lacking CALL ERRNO: as if the kernel, or a filter, did not let anybody make this call
lacking() {
    UNDER=("$BATS_FILE_TMPDIR/without_call" "$1" "$2")
}

@test "doctor names what the kernel, or a filter around it, lacks, and what that prevents" {
    cc -O1 -o "$BATS_FILE_TMPDIR/without_call" "$TESTS/lib/without_call.c"
    chmod 755 "$BATS_FILE_TMPDIR"
    features() {
        lacking openat2 38
        diagnose 1
        assert_finding kernel-features error 'openat2.*not implemented.*cannot be opened safely' 'Linux 5.6'
        lacking mount_setattr 1
        diagnose 1
        assert_finding kernel-features error 'mount API.*not permitted.*nothing can be mounted' 'Linux 5.12.*seccomp'
        lacking fsopen 38
        diagnose 1
        assert_finding kernel-features error 'mount API.*not implemented' .
        lacking pidfd_open 38
        diagnose 1
        assert_finding kernel-features error 'pidfds.*signalled' 'Linux 5.3'
        lacking clone3 38
        diagnose 1
        assert_finding user-namespaces error 'cannot be made, and so no cells: Function not implemented' 'clone3'
        # A cell can do without.
        lacking landlock_create_ruleset 38
        diagnose 0
        assert_finding abstract-sockets warning 'there is no Landlock' '6.12'
        UNDER=()
    }
    as_caller features
    UNDER=(unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"' sh)
    diagnose 1
    assert_finding user-namespaces error 'max_user_namespaces.*is 0' 'sysctl'
}

# on_disk MOUNT-COMMAND: doctor with a store on a file system of its own, mounted by root at $FAULTS_DIR/disk
on_disk() {
    mkdir -p "$FAULTS_DIR/disk"
    UNDER=(unshare --mount sh -c "$1"' && mkdir -p "$0/store" && chmod 755 "$0/store" && exec "$@"' "$FAULTS_DIR/disk")
}

@test "doctor sees a disk that is small, has few inodes, or takes no overlay" {
    small() {
        on_disk 'mount -t tmpfs -o size=64m,mode=755 disk "$0"'
        diagnose 0 --store "$FAULTS_DIR/disk/store"
        assert_finding store warning '67 MB left: a pull needs twice' 'image gc'
        on_disk 'mount -t tmpfs -o size=3g,nr_inodes=1000,mode=755 disk "$0"'
        diagnose 0 --store "$FAULTS_DIR/disk/store"
        assert_finding store warning 'room for 9[0-9][0-9] files more' 'image gc'
        on_disk 'mount -t tmpfs -o size=3g,mode=755 disk "$0" && mkdir "$0/u" "$0/w" "$0/l" "$0/m" &&
            mount -t overlay -o "lowerdir=$0/l,upperdir=$0/u,workdir=$0/w" none "$0/m" && mkdir "$0/m/store"'
        diagnose 1 --store "$FAULTS_DIR/disk/m/store"
        assert_finding overlay error 'no cell has a root' 'ext4'
        assert_finding cell error . doctor
    }
    as_caller small
    UNDER=()
}

@test "doctor names a store on a file system that is read-only" {
    frozen() {
        local store=$FAULTS_DIR/store
        install -d -o "$(caller_name)" "$store"
        diagnose 0 --store "$store"
        UNDER=(unshare --mount sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$store")
        diagnose 1 --store "$store"
        assert_finding store error 'file system that is read-only' 'remount,rw.*--store'
        run ! assert_finding overlay error . .
    }
    as_caller frozen
    UNDER=()
}

@test "doctor looks where a store would be made as it looks at one" {
    to_come() {
        on_disk 'mount -t tmpfs -o size=64m,mode=755 disk "$0"'
        diagnose 0 --store "$FAULTS_DIR/disk/store/to/come"
        assert_finding store warning 'does not exist yet' 'first image'
        assert_finding store warning '67 MB left: a pull needs twice' 'image gc'
        on_disk 'mount -t tmpfs -o size=3g,mode=755 disk "$0" && mkdir "$0/u" "$0/w" "$0/l" "$0/m" &&
            mount -t overlay -o "lowerdir=$0/l,upperdir=$0/u,workdir=$0/w" none "$0/m" && mkdir "$0/m/store"'
        diagnose 1 --store "$FAULTS_DIR/disk/m/store/to/come"
        assert_finding overlay error 'no cell has a root' 'ext4'
        on_disk 'mount -t tmpfs -o size=3g,mode=755 disk "$0" && mount --bind -o ro /tmp /tmp && mount -o remount,bind,ro /tmp'
        diagnose 0 --store "$FAULTS_DIR/disk/store/to/come"
    }
    as_caller to_come
    UNDER=()
}

@test "doctor misses programs and helpers, and says how to get them" {
    missing() {
        local program tree=$FAULTS_DIR/tree
        UNDER=(unshare --mount sh -c 'mount --bind /dev/null /usr/lib/podman/netavark && exec "$@"' sh)
        diagnose 0
        assert_finding network-helpers warning "needs 'netavark'" 'install the package netavark'
        UNDER=()
        mkdir -p "$tree"
        cp -a "${STEPCELL%/bin/*}/bin" "${STEPCELL%/bin/*}/libexec" "$tree"
        local STEPCELL=$tree/bin/stepcell
        rm "$tree/libexec/stepcell/stepcell-join"
        diagnose 0
        assert_finding programs warning 'stepcell-join.*No such file.*engine docker' 'install'
        rm "$tree/libexec/stepcell/stepcell-init"
        diagnose 1
        assert_finding programs error 'stepcell-init.*no cell can start' 'install'
        touch -d '+3 days' "$tree/bin/stepcell"
        diagnose 1
        assert_finding clock warning 'before stepcell was installed' 'set-ntp'
    }
    as_caller missing
}

@test "doctor tells whether an engine has somebody to talk to" {
    engines() {
        local socket=$FAULTS_DIR/engine.sock
        export DOCKER_HOST=unix://$socket
        diagnose 0
        assert_finding docker info 'nobody listens' '^$'
        python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(60)' "$socket" 3>&- &
        end_later $!
        wait_for test -S "$socket"
        chmod 600 "$socket"
        diagnose 0
        assert_finding docker ok "unix://$socket" '^$'
        CALLER=plain
        diagnose 0
        assert_finding docker warning 'Permission denied' 'group docker'
        CALLER=root
        kill "${FAULT_PIDS[-1]}"
        wait "${FAULT_PIDS[-1]}" || true
        diagnose 0
        assert_finding docker warning 'Connection refused' 'start the daemon'
        DOCKER_HOST=tcp://127.0.0.1:1 diagnose 0
        assert_finding docker info 'not tried' '^$'
        DOCKER_HOST=nonsense diagnose 0
        assert_finding docker warning . .
        unset DOCKER_HOST
    }
    as_caller engines
}

@test "doctor asks a registry: whether it answers, lets the caller in, and has the same time" {
    asked() {
        local certs=$FAULTS_DIR
        homes
        start_registry
        diagnose 0 --registry "$REGISTRY"
        assert_finding registry ok "answers at http://$REGISTRY/v2/" '^$'
        stop_registry
        diagnose 1 --registry "$REGISTRY"
        assert_finding registry error "'$REGISTRY' cannot be reached: .*onnect" 'network'
        diagnose 1 --registry 'no registry'
        diagnose 1 --registry 'host/with/path'
        assert_finding registry error 'is no registry' 'host'

        htpasswd -Bbc "$FAULTS_DIR/htpasswd" worker secret 2>/dev/null
        start_registry "$FAULTS_DIR/htpasswd"
        diagnose 1 --registry "$REGISTRY"
        assert_finding registry error 'does not let the caller in: it wants credentials' "docker login $REGISTRY"
        docker_config "{\"auths\": {\"$REGISTRY\": {\"auth\": \"$(printf 'worker:wrong' | base64 -w 0)\"}}}"
        diagnose 1 --registry "$REGISTRY"
        assert_finding registry error 'refuses the credentials' "docker login $REGISTRY"
        docker_config "{\"auths\": {\"$REGISTRY\": {\"auth\": \"$(printf 'worker:secret' | base64 -w 0)\"}}}"
        diagnose 0 --registry "$REGISTRY"
        assert_finding registry ok "takes the caller's credentials" '^$'
        stop_registry

        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 \
            -keyout "$certs/key" -out "$certs/cert" 2>/dev/null
        REGISTRY_TLS="tls: {certificate: $certs/cert, key: $certs/key}" start_registry
        configure "{\"registries\": {\"$REGISTRY\": {\"plain_http\": false}}}"
        diagnose 1 --registry "$REGISTRY"
        assert_finding registry error 'certificate' "ca.crt"

        python3 "$TESTS/lib/dated_server.py" "$FAULTS_DIR/port" 86400 3>&- &
        end_later $!
        wait_for test -s "$FAULTS_DIR/port"
        diagnose 0 --registry "127.0.0.1:$(cat "$FAULTS_DIR/port")"
        assert_finding registry warning '24 h 00 min behind that of the registry' 'timedatectl'
        unset XDG_CONFIG_HOME DOCKER_CONFIG
    }
    as_caller asked
}

@test "version prints the version, as JSON too" {
    run -0 stepcell version
    assert_match "$output" "stepcell [0-9]*.[0-9]*.[0-9]*"
    run -0 --separate-stderr stepcell version --json
    jq -e .version <<<"$output"
    run -0 stepcell --version
    assert_match "$output" "stepcell [0-9]*"
}

@test "every command has a help text on standard output" {
    local command
    for command in '' run image 'image pull' 'image list' 'image inspect' 'image remove' report doctor version; do
        # shellcheck disable=SC2086 # two words are meant
        run -0 --separate-stderr stepcell $command --help
        assert_match "$output" "*[Uu]sage*"
        assert_equal stderr "$stderr" ""
    done
    run -0 --separate-stderr stepcell run --help
    local option
    for option in workdir package package-cow package-rw volume mount env env-file script shell user pull \
        platform network entrypoint result timeout grace progress store step quiet verbose; do
        assert_match "$output" "*--$option*"
    done
}
