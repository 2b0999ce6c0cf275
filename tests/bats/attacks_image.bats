# What an image's files and configuration may try against the engine that runs it. Expected is always
# one of two: the step runs as if nothing was, or it is refused with a cause. On the host nothing
# happens.

load ../lib/common
load ../lib/images
load ../lib/attacks

setup_file() { make_attacks; }
teardown_file() { remove_attacks; }

# Everything that the engine mounts on, writes to or reads in the root of a cell.
PLACES="dev proc sys tmp etc root home run var srv etc/resolv.conf etc/hosts etc/hostname etc/passwd
    etc/group run/stepcell run/stepcell/script run/stepcell/output run/secrets srv/volume srv/tmpfs dev/null dev/pts dev/shm
    proc/self sys/fs home/step"

# make_special_images KIND: an image for each place, named KIND.PLACE
make_special_images() {
    local place layer=$BATS_TEST_TMPDIR/layer
    for place in $PLACES; do
        mkdir "$layer"
        special "$1" "$layer/$place"
        hostile_image "$1.${place//\//.}" '{}' "$(layer_of "$layer")"
        rm -rf "$layer"
    done
}

# run_all SCRIPT: one step that makes the engine do everything that it does in a root
run_all() {
    run --separate-stderr as timeout 20 "$STEPCELL" run --result "$RESULT" --workdir "$WORK" \
        --progress none --script - --user 4321 --env HOME=/home/step --volume ../volume:/srv/volume \
        --mount type=tmpfs,target=/srv/tmpfs --secret-file key=../key "$IMAGE" <<<"$1"
}

# assert_usual_or_refused WHAT: the last step ran and saw its own directory, or was refused
assert_usual_or_refused() {
    echo "$CALLER: $1: status $status $output $stderr"
    if [ "$status" = 0 ]; then
        assert_equal "output" "$output" usual
    else
        assert_equal status "$status" 125
        assert_match "$(result_field .error.code)" "@(image.corrupt|image.denied|mount.conflict|mount.denied)"
    fi
}

try_special_images() {
    local place
    as mkdir ../volume
    touch ../volume/marker marker
    echo secret >../key
    chmod 644 ../key
    for place in $PLACES; do
        IMAGE=oci:$LAYOUT:$1.${place//\//.}
        run_all 'test -e marker && test -e /srv/volume/marker && grep -q secret /run/secrets/key &&
            echo a=1 >"$STEPCELL_OUTPUT" && echo usual'
        assert_usual_or_refused "$place as $1"
        assert_trap_untouched
    done
}

# Mounting goes the same way for every caller, so the kinds that only differ in where they lead are tried
# as root, who has the most to lose.
special_places() {
    make_special_images "$1"
    CALLERS=${2:-} each_caller try_special_images "$1"
}

@test "places of the engine as links to a directory of the host" { special_places link; }
@test "places of the engine as links to a file of the host" { special_places link-to-file root; }
@test "places of the engine as links to a FIFO of the host" { special_places link-to-fifo; }
@test "places of the engine as links that climb out of the root" { special_places link-upwards root; }
@test "places of the engine as links to what is not there yet" { special_places link-to-new root; }
@test "places of the engine as links to themselves" { special_places link-to-itself root; }
@test "places of the engine as links to the root" { special_places link-to-root root; }
@test "places of the engine as links to /proc" { special_places link-to-proc root; }
@test "places of the engine as links to descriptors" { special_places link-to-fd root; }
@test "places of the engine as FIFOs" { special_places fifo; }
@test "places of the engine as files" { special_places file root; }
@test "places of the engine as directories" { special_places directory root; }
@test "places of the engine as directories that are full" { special_places full-directory root; }
@test "places of the engine as hard links" { special_places hard-link; }

@test "a working directory below something that the image has instead of a directory" {
    prefixes() {
        local kind prefix kinds="link link-upwards"
        touch marker
        [ "$CALLER" != root ] || kinds+=" link-to-root link-to-proc link-to-fd fifo file"
        for kind in $kinds; do
            for prefix in /var /var/tmp "$TEST_DIR" "$TEST_DIR/work" "${WORK%/*}" "$WORK"; do
                mkdir ../layer
                special "$kind" "../layer$prefix"
                hostile_image "prefix.$CALLER.$kind.${prefix//[^a-z]/.}" '{}' "$(layer_of ../layer)"
                rm -rf ../layer ../layer.tar
                run --separate-stderr cell -- sh -c 'test -e marker && cd "$1" && test -e marker && echo usual' sh "$WORK"
                assert_usual_or_refused "$prefix as $kind"
                assert_trap_untouched
            done
        done
    }
    each_caller prefixes
}

@test "a mount target that a link of the image leads to what belongs to the cell is refused" {
    local place layer=$BATS_TEST_TMPDIR/layer
    mkdir -p "$layer"
    for place in proc sys dev; do ln -s "/$place" "$layer/to-$place"; done
    ln -s / "$layer/to-root"
    hostile_image targets '{}' "$(layer_of "$layer")"
    targets() {
        local target
        IMAGE=oci:$LAYOUT:targets
        mkdir ../volume
        touch ../file
        for target in ../volume:/to-proc/fs ../volume:/to-proc/self ../volume:/to-proc ../volume:/to-sys/kernel \
            ../volume:/to-dev/shm ../file:/to-dev/null ../volume:/to-root \
            ../file:/to-proc/sys/kernel/core_pattern ../volume:/to-proc/self/cwd; do
            run --separate-stderr cell --volume "$target" -- sh -c 'echo ran'
            echo "$target: $stderr"
            assert_equal status "$status" 125
            assert_match "$(result_field .error.code)" "mount.@(denied|conflict)"
        done
        run --separate-stderr cell --mount type=tmpfs,target=/to-sys/fs -- true
        assert_refused mount.denied
        # The cause is never lost, whoever is faster: the cell that ends or stepcell that would start it.
        for _ in $(seq 40); do
            run --separate-stderr cell --volume ../volume:/to-proc/fs -- true
            assert_refused mount.denied
        done
        run --separate-stderr cell --volume ../volume:/to-root/srv/new -- sh -c 'cd /srv/new && echo usual'
        assert_usual_or_refused "a link to the root with something below it"
    }
    each_caller targets
}

# passwd_image NAME USER: an image with this user, whose passwd and group hold every trap
passwd_image() {
    local layer=$BATS_TEST_TMPDIR/passwd
    if [ ! -d "$layer" ]; then
        mkdir -p "$layer/etc"
        printf '%s:x:0:0::/:/bin/sh\n' root 4294967296 2147483648 -1 01 +0 '' 18446744073709551616 \
            >"$layer/etc/passwd"
        printf 'many:x:4294967296:0::/:/bin/sh\nless:x:-1:-1::/:/bin/sh\n' >>"$layer/etc/passwd"
        printf '%s:x:0:\n' root 4294967296 -1 >"$layer/etc/group"
        layer_of "$layer" >/dev/null
    fi
    hostile_image "$1" "$(jq -nc --arg user "$2" '{config: {User: $user}}')" "$layer.tar"
}

@test "no user of an image overflows into root or is looked up as a name by its number" {
    local users=(4294967296 -1 root:4294967296 2147483648 +0 01 0x0 1: :1 root:-1 18446744073709551616 many less 0:0:0) i
    # The image's own and --user go the same way: the first three are tried in both.
    for i in 0 1 2; do passwd_image "user-$i" "${users[i]}"; done
    users() {
        local user
        for i in 0 1 2; do
            IMAGE=oci:$LAYOUT:user-$i
            run --separate-stderr cell -- id -u
            assert_refused user.unknown
        done
        for user in "${users[@]}"; do
            run --separate-stderr cell --user "$user" -- id -u
            echo "$user: $status $output $stderr"
            assert_refused user.unknown
        done
    }
    each_caller users
}

@test "accounts of an image that are huge, binary or no text at all" {
    local kind layer=$BATS_TEST_TMPDIR/layer
    for kind in sparse line nul crlf device; do
        mkdir -p "$layer/etc"
        case $kind in
        sparse) truncate -s 2G "$layer/etc/passwd" "$layer/etc/group" ;;
        line) head -c 3000000 /dev/zero | tr '\0' x | tee "$layer/etc/passwd" >"$layer/etc/group" ;;
        nul) printf 'root\0:x:0:0\0::/:/bin/sh\n' | tee "$layer/etc/passwd" >"$layer/etc/group" ;;
        crlf) printf 'root:x:0:0::/:/bin/sh\r\napp:x:5:5::/:/bin/sh\r\n' >"$layer/etc/passwd" ;;
        device) mknod "$layer/etc/passwd" c 1 5 ;;
        esac
        tar -C "$layer" --sparse -cf "$layer.tar" .
        hostile_image "accounts-$kind" '{}' "$layer.tar"
        rm -rf "$layer" "$layer.tar"
    done
    accounts() {
        for kind in sparse line nul crlf device; do
            IMAGE=oci:$LAYOUT:accounts-$kind
            run --separate-stderr cell --user 4321 -- sh -c 'id -u | grep -qx 4321 && echo usual'
            assert_usual_or_refused "accounts: $kind"
            # No line of these names the user; the device was left out, so the file below it counts.
            run --separate-stderr cell --user app -- true
            [ "$kind" = crlf ] || [ "$kind" = device ] || assert_equal status "$status" 125
        done
    }
    each_caller accounts
}

@test "nothing in an image's configuration changes what a cell may do" {
    local labels volumes
    labels=$(jq -nc '{"run.oci.handler": "krun", "run.oci.keep_original_groups": "1", "run.oci.systemd.subgroup": "/..",
        "run.oci.mount_context_type": "rootcontext", "run.oci.hooks.stdout": "/tmp/x", "io.containers.trace-syscall": "of:/tmp/x",
        "io.containerd.runc.v2.group": "x", "containerd.io/restart.loguri": "binary:///bin/sh", "io.podman.annotations.privileged": "TRUE",
        "io.podman.annotations.label": "disable", "io.podman.annotations.seccomp": "unconfined", "stepcell.privileged": "true",
        "stepcell.entrypoint": "clear", "devices.nvidia.com": "all", "org.systemd.property.DevicePolicy": "auto"}')
    volumes=$(jq -nc --arg trap "$TRAP" '{"/../../../../etc": {}, "": {}, ".": {}, "/": {}, "/proc": {}, "/dev": {},
        "\($trap)": {}, "..\($trap)/new": {}, "/bin": {}}')
    hostile_image hostile-config "$(jq -nc --argjson labels "$labels" --argjson volumes "$volumes" '{config: {Labels: $labels,
        Volumes: $volumes, WorkingDir: "/../../proc/self/fd/3", StopSignal: "SIGKILL", Shell: ["/bin/false"], OnBuild: ["RUN x"],
        Healthcheck: {Test: ["CMD", "/bin/sh"]}, ExposedPorts: {"1/tcp": {}}, NetworkDisabled: true, Hostname: "x\n127.0.0.1 x",
        Privileged: true, Devices: ["/dev/kmsg"], Cmd: ["/bin/false"]}, HostConfig: {Privileged: true, Binds: ["/:/host"]}}')"
    many() { jq -nc '[range(10000) | {"key": "/k\(.)", "value": {}}] | from_entries'; }
    hostile_image many-keys "$(jq -nc --argjson keys "$(many)" '{config: {Volumes: $keys, Labels: $keys, ExposedPorts: $keys}}')"
    configurations() {
        local usual what='grep -E "^(Cap|NoNew|Seccomp|Groups|Uid)" /proc/self/status; cut -d" " -f4- /proc/self/mountinfo |
            grep -v " - overlay " | sort; ls / /dev; pwd; cat /etc/hosts; hostname >/dev/null'
        hostile_image plain-config '{}'
        run -0 --separate-stderr cell -- sh -c "$what"
        usual=$output
        for IMAGE in "oci:$LAYOUT:hostile-config" "oci:$LAYOUT:many-keys"; do
            run -0 --separate-stderr cell -- sh -c "$what"
            assert_equal "what the cell is" "$output" "$usual"
            assert_trap_untouched
        done
    }
    each_caller configurations
}

@test "an environment with more variables than any image has is refused in no time" {
    hostile_image many-variables "$(jq -nc '{config: {Env: [range(200000) | "V\(.)=1"]}}')"
    hostile_image some-variables "$(jq -nc '{config: {Env: [range(1000) | "V\(.)=1"]}}')"
    variables() {
        local start=$EPOCHREALTIME
        IMAGE=oci:$LAYOUT:many-variables
        run --separate-stderr cell -- true
        assert_refused image.corrupt
        [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 8000000 ]
        IMAGE=oci:$LAYOUT:some-variables
        run -0 --separate-stderr cell -- sh -c 'echo $V999'
        assert_equal output "$output" 1
    }
    each_caller variables
}

@test "any home that an image gives is made inside the cell" {
    local homes=('' relative ../../up /../../up /proc/1 /dev/shm /dev/null /etc/passwd $'/line\nroot2:x:0:0::/:' /home/:x:
        "$TRAP/new" "/$(head -c 5000 /dev/zero | tr '\0' x)" /proc/self/fd/3 / '/a b') i
    for i in "${!homes[@]}"; do
        hostile_image "home-$i" "$(jq -nc --arg home "HOME=${homes[i]}" '{config: {Env: [$home]}}')"
    done
    homes() {
        for i in "${!homes[@]}"; do
            IMAGE=oci:$LAYOUT:home-$i
            run --separate-stderr cell --user 4321 -- sh -c 'cd "$HOME" && touch file && echo usual'
            assert_usual_or_refused "home ${homes[i]:0:40}"
            assert_trap_untouched
        done
    }
    each_caller homes
}

@test "no home of an image takes the masks off what the engine mounted" {
    local place layer=$BATS_TEST_TMPDIR/layer
    for place in proc proc/sys dev dev/shm sys; do
        hostile_image "mask-${place//\//.}" "{\"config\": {\"Env\": [\"HOME=/$place\"]}}"
        mkdir -p "$layer/home"
        ln -s "../$place" "$layer/home/link"
        hostile_image "mask-link-${place//\//.}" '{"config": {"Env": ["HOME=/home/link"]}}' "$(layer_of "$layer")"
        rm -r "$layer"
    done
    masked() {
        local image option mounts
        mounts=$(mounts_of_engine)
        for image in mask-{,link-}{proc,proc.sys,dev,dev.shm,sys}; do
            IMAGE=oci:$LAYOUT:$image
            for option in "" --read-only; do
                run --separate-stderr cell --network none --user 0 $option -- sh -c 'echo "$HOME"
                    echo other >/proc/sys/kernel/domainname && echo "wrote to /proc/sys"
                    head -c 1 /proc/kcore; cat /proc/interrupts; ls -A /proc/acpi /sys/firmware | grep -v "^$\|:$"
                    awk "$1" /proc/mounts' sh "$MOUNTS"
                assert_equal "$image $option" "$output" $'/home/step\n'"$mounts"
            done
        done
    }
    # One of each, without a second one on it.
    mounts_of_engine() {
        IMAGE=oci:$IMAGES/busybox:latest
        cell --network none --user 0 -- awk "$MOUNTS" /proc/mounts
    }
    local MOUNTS='$2 ~ "^/(proc|sys|dev)$" { print $2, $3 }'
    each_caller masked
}

@test "no home of an image makes its /etc or its programs writable under --read-only" {
    local layer=$BATS_TEST_TMPDIR/layer
    mkdir -p "$layer/home" "$layer/etc"
    for place in etc bin home; do
        hostile_image "home-$place" "{\"config\": {\"Env\": [\"HOME=/$place\"]}}"
    done
    ln -s ../etc "$layer/home/link"
    hostile_image home-link '{"config": {"Env": ["HOME=/home/link"]}}' "$(layer_of "$layer")"
    ln -s ../etc "$layer/home/step"
    hostile_image home-step '{"config": {"Env": ["HOME=/home/step"]}}' "$(layer_of "$layer")"
    homes() {
        local image
        for image in etc bin home link step; do
            IMAGE=oci:$LAYOUT:home-$image
            run -0 --separate-stderr cell --network none --user 0 --read-only -- sh -c 'echo "$HOME"; touch "$HOME/x"
                for place in /etc /bin /home; do touch "$place/x" 2>/dev/null && echo "wrote to $place"; done; :'
            [ "$image" = step ] || assert_equal "$image" "$output" /home/step
            [ "$image" != step ] || assert_equal "$image" "$output" /run/stepcell/home
        done
    }
    each_caller homes
}

@test "messages carry no control characters and no orders to the orchestrator out of an image" {
    local evil=$'\e]0;title\a\e[2J\u202e\u0085\nline ##octopus[setVariable name=\'a\' value=\'b\'] ##teamcity[x] ##vso[y]'
    local layer=$BATS_TEST_TMPDIR/layer
    hostile_image evil-entrypoint "$(jq -nc --arg evil "$evil" '{config: {Entrypoint: [$evil], Env: ["A=" + $evil], User: $evil},
        history: [{created_by: ("ENTRYPOINT " + $evil)}]}')"
    hostile_image evil-user "$(jq -nc --arg evil "$evil" '{config: {User: $evil}}')"
    hostile_image evil-variant "$(jq -nc --arg evil "${evil:0:10}" '{variant: $evil}')"
    mkdir -p "$layer/$evil"
    touch "$layer/$evil/.wh."
    hostile_image evil-layer '{}' "$(layer_of "$layer")"
    clean() {
        local text=$output$stderr
        [ "$status" = 0 ] || [ -n "$text" ]
        [[ $text != *$'\e'* && $text != *$'\a'* && $text != *$'\u202e'* && $text != *$'\u0085'* ]]
        [[ $text != *'##octopus['* && $text != *'##teamcity['* && $text != *'##vso['* ]]
    }
    messages() {
        local name
        for name in entrypoint user variant layer; do
            IMAGE=oci:$LAYOUT:evil-$name
            run --separate-stderr cell -- true
            assert_equal status "$status" 125
            assert_match "$stderr" "stepcell: *"
            clean
            for command in pull inspect list remove; do
                [ $command = list ] && set -- list || set -- "$command" "$IMAGE"
                run --separate-stderr stepcell image "$@"
                clean
                [[ $command != @(list|inspect) ]] || run --separate-stderr stepcell image "$@" --json
                clean
            done
            run -125 --separate-stderr stepcell explain --json --workdir "$WORK" "$IMAGE" true
            clean
            jq -e .explain.violations <<<"$output" >/dev/null
        done
    }
    each_caller messages
}

# Everything that other engines were seen to execute or load out of an image.
HELPERS="newuidmap newgidmap gzip gunzip unpigz pigz xz zstd tar sh bash mount umount fusermount3 nsenter
    crun runc ip nft iptables slirp4netns passt netavark ldconfig docker-credential-helper stepcell
    stepcell-image stepcell-events stepcell-init"
LIBRARIES="libnss_files.so.2 libnss_dns.so.2 libc.so.6 libcurl.so.4 libarchive.so.13 libcrypto.so.3
    libz.so.1 libzstd.so.1 libjansson.so.4 ld-linux-x86-64.so.2"

@test "programs and libraries of the image are never run on the host" {
    local name folder mark=$ATTACKS/marks/mark layer=$BATS_TEST_TMPDIR/layer program=$BATS_TEST_TMPDIR/program
    mkdir -m 1777 "$ATTACKS/marks"
    musl-gcc -static -DMARK="\"$mark\"" -o "$program" "$TESTS/lib/mark.c"
    cc -shared -fPIC -DMARK="\"$mark\"" -o "$program.so" "$TESTS/lib/mark.c"
    mkdir -p "$layer/etc"
    for folder in bin sbin usr/bin usr/sbin usr/local/bin libexec/stepcell; do
        mkdir -p "$layer/$folder"
        for name in $HELPERS; do cp "$program" "$layer/$folder/$name"; done
    done
    for folder in lib lib64 usr/lib lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu; do
        mkdir -p "$layer/$folder"
        for name in $LIBRARIES; do cp "$program.so" "$layer/$folder/$name"; done
    done
    echo /lib/libc.so.6 >"$layer/etc/ld.so.preload"
    echo 'passwd: files' >"$layer/etc/nsswitch.conf"
    hostile_image helpers '{"config": {"Env": ["LD_PRELOAD=/lib/libc.so.6", "LD_LIBRARY_PATH=/lib"], "User": "app"}}' \
        "$(layer_of "$layer")"
    # The trap itself works: the program does leave a mark where it can, and so does the library.
    as "$program"
    LD_PRELOAD=$program.so /bin/true
    assert_equal marks "$(wc -l <"$mark")" 2
    rm "$mark"
    helpers() {
        IMAGE=oci:$LAYOUT:helpers
        run -0 --separate-stderr stepcell image pull "$IMAGE"
        run -0 --separate-stderr cell -- /bin/busybox true
        # Inside, they do run: the step's own shell is one of them.
        run -0 --separate-stderr cell -- sh
        run -0 --separate-stderr script_cell --user 0 --script - <<<'echo x'
        run -0 --separate-stderr stepcell image inspect "$IMAGE"
        run -0 --separate-stderr stepcell image remove "$IMAGE"
        [ ! -e "$mark" ] || cat "$mark"
        [ ! -e "$mark" ]
    }
    each_caller helpers
}

# break_layout PART KIND: a layout of an image with one part of it being something else
break_layout() {
    local layout=$ATTACKS/$1-$2 file
    cp -r "$ATTACKS/whole" "$layout"
    file=$(jq -c '.manifests[0]' "$layout/index.json" | blob_path "$layout")
    case $1 in
    index.json) file=$layout/index.json ;;
    config) file=$(jq -c .config "$file" | blob_path "$layout") ;;
    layer) file=$(jq -c '.layers[0]' "$file" | blob_path "$layout") ;;
    esac
    mv "$file" "$layout/outside"
    case $2 in
    fifo) mkfifo "$file" ;;
    outside) ln -s "$layout/outside" "$file" ;;
    device) ln -s /dev/zero "$file" ;;
    esac
}

@test "a layout on the disk is read as plain files inside it" {
    local part kind
    new_layout "$ATTACKS/whole"
    tar -C "$TESTS/lib" -cf "$BATS_TEST_TMPDIR/layer.tar" attack.c
    put_image "$ATTACKS/whole" '{}' "$BATS_TEST_TMPDIR/layer.tar" | name_image "$ATTACKS/whole" latest
    for part in index.json manifest config layer; do
        for kind in fifo outside device; do break_layout "$part" "$kind"; done
    done
    chmod -R a+rX "$ATTACKS"
    layouts() {
        for part in index.json manifest config layer; do
            for kind in fifo outside device; do
                run --separate-stderr as timeout 20 "$STEPCELL" image pull "oci:$ATTACKS/$part-$kind:latest"
                echo "$part as $kind: $status $stderr"
                assert_equal status "$status" 125
            done
        done
        run -0 --separate-stderr stepcell image pull "oci:$ATTACKS/whole:latest"
    }
    each_caller layouts
}

@test "names with traversal stay in the store" {
    traversal() {
        local name before
        before=$(find "$TEST_DIR" -maxdepth 3 -not -path "*/store/*" | sort)
        for name in ../x a/../b .. '127.0.0.1:1/../../x' '127.0.0.1:1/a:../../x' 'oci:../../etc:latest' '127.0.0.1:1/a@sha256:../../x' \
            "127.0.0.1:1/$(head -c 3000 /dev/zero | tr '\0' a)" $'127.0.0.1:1/a\n../b' '127.0.0.1:1/%2e%2e/x' '/etc/passwd' \
            'oci-archive:../../../etc/passwd:../x' ''; do
            for command in pull inspect remove; do
                run --separate-stderr as timeout 20 "$STEPCELL" image "$command" "$name"
                [ "$status" != 0 ]
                [ "$status" != 124 ]
            done
        done
        assert_equal "files outside of stores" "$(find "$TEST_DIR" -maxdepth 3 -not -path "*/store/*" | sort)" "$before"
    }
    each_caller traversal
}
