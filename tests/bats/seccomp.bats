# Which system calls a step can make: the default filter, and --seccomp.

load ../lib/common

setup_file() {
    export ATTEMPT=$BATS_FILE_TMPDIR/attempt
    make_attempt "$ATTEMPT"
    chmod 755 "$BATS_FILE_TMPDIR"
}

# attempt [OPTION...] -- WORD...: what tests/lib/attempt.c says of them in a cell
attempt() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    cp "$ATTEMPT" attempt
    cell "${options[@]}" -- ./attempt "$@"
}

# Only what the kernel itself would allow an ordinary user shows that the filter is what forbids.
@test "the default filter is on, in the command and in what it starts" {
    filter() {
        run -0 cell -- grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status
        assert_equal status "$output" $'NoNewPrivs:\t1\nSeccomp:\t2'
    }
    each_caller filter
}

@test "what docker's default profile forbids gives its errors" {
    forbidden() {
        local word denied=(unshare-user unshare-mount clone-user setns mount open-tree keyctl add-key bpf perf
            io-uring userfaultfd open-by-handle kexec module reboot swap settime pivot-root
            personality-no-random socket-alg socket-vsock)
        run -0 attempt -- "${denied[@]}"
        for word in "${denied[@]}"; do
            assert_match "$output"$'\n' "*$word EPERM"$'\n*'
        done
        run -0 attempt -- clone3 from-the-future getpid-x32
        assert_equal errors "$output" $'clone3 ENOSYS\nfrom-the-future ENOSYS\ngetpid-x32 ENOSYS'
    }
    each_caller forbidden
}

@test "what programs need is allowed" {
    allowed() {
        run -0 attempt -- socket-inet socket-unix socket-netlink personality-linux socket-unix-64-bits
        [ "$(grep -c ' ok$' <<<"$output")" = 5 ]
    }
    each_caller allowed
}

# The kernel looks at 32 bits of the family, a comparison by order at 64: docker's own profile lets this pass.
@test "a family of sockets is closed for numbers of 64 bits, too" {
    families() {
        run -0 attempt -- socket-alg-64-bits
        assert_equal error "$output" "socket-alg-64-bits EPERM"
    }
    each_caller families
}

@test "the 32-bit system calls are there only for who asks for a 32-bit platform" {
    [ "$(uname -m)" = x86_64 ] || skip "kernel lacks 32-bit system calls"
    local platform
    modes() {
        run -0 attempt -- getpid-32 socketcall-alg
        assert_equal "in a 64-bit image" "$output" $'getpid-32 ENOSYS\nsocketcall-alg ENOSYS'
        IMAGE=oci:$IMAGES/busybox:386
        # An image may claim to be what it likes.
        run --separate-stderr attempt -- getpid-32
        assert_refused image.platform
        run -0 attempt --platform linux/386 -- getpid-32 getpid-x32 unshare-user socket-alg from-the-future
        assert_equal "in a 32-bit image" "$output" \
            $'getpid-32 ok\ngetpid-x32 ENOSYS\nunshare-user EPERM\nsocket-alg EPERM\nfrom-the-future ENOSYS'
        IMAGE=oci:$IMAGES/busybox:latest
    }
    each_caller modes
}

@test "--seccomp takes docker's and podman's own profiles" {
    profiles() {
        # Podman's, as Debian ships it: what is not named gives ENOSYS, and namespaces may be made.
        run -0 attempt --seccomp /usr/share/containers/seccomp.json -- unshare-user userfaultfd io-uring bpf kexec
        assert_equal "with podman's profile" "$output" \
            $'unshare-user ok\nuserfaultfd EPERM\nio-uring ENOSYS\nbpf EPERM\nkexec EPERM'
        jq '.syscalls += [{names: ["keyctl"], action: "SCMP_ACT_ALLOW"}]' \
            "$TESTS/../runtime/confine/seccomp_default.json" >../profile.json
        run -0 attempt --seccomp ../profile.json -- unshare-user clone3 from-the-future getpid-32 keyctl
        assert_equal "with one in docker's form" "$output" \
            $'unshare-user EPERM\nclone3 ENOSYS\nfrom-the-future ENOSYS\ngetpid-32 ok\nkeyctl EINVAL'
    }
    each_caller profiles
}

@test "--seccomp can forbid by name, argument and error, and in a JSON step" {
    forbid() {
        echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errno": "EINVAL",
             "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}]}' >../profile.json
        run -1 --separate-stderr cell --seccomp ../profile.json -- mkdir new
        assert_match "$stderr" "*Permission denied*"
        run -0 attempt --seccomp ../profile.json -- socket-inet socket-unix
        assert_equal sockets "$output" $'socket-inet EINVAL\nsocket-unix ok'
        jq -n --arg image "$IMAGE" --arg work "$WORK" --arg result "$RESULT" --arg profile "$PWD/../profile.json" \
            '{image: $image, workdir: $work, result: $result, seccomp: $profile, command: ["mkdir", "new"]}' >../step.json
        run -1 stepcell run --step ../step.json
    }
    each_caller forbid
}

@test "a profile that cannot be understood is refused before anything starts" {
    refused() {
        local text
        while read -r text; do
            echo "$text" >../profile.json
            run --separate-stderr cell --seccomp ../profile.json -- touch started
            assert_refused config.invalid
            assert_equal outcome "$(result_field .outcome)" refused
            assert_match "$stderr" "*profile.json*"
            [ ! -e started ]
        done <<'PROFILES'
no json
{"defaultAction": "SCMP_ACT_MAYBE"}
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdirr"], "action": "SCMP_ACT_ERRNO"}]}
{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
PROFILES
        run --separate-stderr cell --seccomp ../nothing.json -- true
        assert_refused config.invalid
    }
    each_caller refused
}

@test "a profile that allows too little to start the command is an error, not a success" {
    too_little() {
        echo '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}' >../profile.json
        run --separate-stderr cell --seccomp ../profile.json -- true
        assert_equal status "$status" 126
        assert_equal code "$(result_field .error.code)" command.not-executable
        echo '{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": []}' >../profile.json
        run --separate-stderr cell --seccomp ../profile.json -- true
        assert_equal status "$status" 159
    }
    each_caller too_little
}

@test "the caller's session keyring is out of reach, whatever the filter allows" {
    keys() {
        echo '{"defaultAction": "SCMP_ACT_ALLOW"}' >../profile.json
        cp "$ATTEMPT" attempt
        run -0 as ./attempt with-key ./attempt find-key
        assert_equal "on the host" "$output" "find-key ok"
        stepcell() { as ./attempt with-key "$STEPCELL" "$@"; }
        run -0 cell --seccomp ../profile.json -- ./attempt find-key
        assert_equal "in a cell" "$output" "find-key ENOKEY"
    }
    each_caller keys
}
