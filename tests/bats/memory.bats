# The memory of stepcell itself, with the optimised build.

load ../lib/common

setup() { STEPCELL=$STEPCELL_RELEASE; }

# peak OPTION... -- COMMAND...: the largest resident size of stepcell's own process, in KiB. Its children
# are not waited for by time(1), so the largest of what it reaps is stepcell or its pid 1.
peak() {
    as time --quiet -f %M -o ../peak "$STEPCELL" run -w "$WORK" "$@" >/dev/null
    tail -n 1 ../peak
}

@test "a warm step needs 4 MiB at the most" {
    small() {
        run -0 cell -- true
        local kib
        kib=$(peak "$IMAGE" true)
        echo "peak: $kib KiB"
        [ "$kib" -le 4096 ]
    }
    each_caller small
}

@test "a hundred megabytes of output need no more" {
    output() {
        run -0 cell -- true
        local kib
        kib=$(peak "$IMAGE" sh -c 'head -c 104857600 /dev/zero')
        echo "peak: $kib KiB"
        [ "$kib" -le 4096 ]
    }
    each_caller output
}

@test "a line of a gigabyte needs no more, and 6 MiB with events and a secret" {
    line() {
        local -x TOKEN=a-secret-value
        local kib start=$SECONDS
        run -0 cell -- true
        kib=$(peak "$IMAGE" sh -c 'head -c 1000000000 /dev/zero')
        echo "# peak: $kib KiB in $((SECONDS - start)) s" >&3
        [ "$kib" -le 4096 ]
        start=$SECONDS
        kib=$(peak --result "$RESULT" --events fd:7 --secret-env TOKEN "$IMAGE" \
            sh -c 'yes 0123456789012345678901234567890123456789012345678901234567890123 | tr -d "\n" | head -c 1000000000' 7>/dev/null)
        echo "# peak with events and a secret: $kib KiB in $((SECONDS - start)) s" >&3
        [ "$kib" -le 6144 ]
        assert_equal stdout "$(result_field '.output.stdout | [.bytes, .lines] | @csv')" 1000000000,1
    }
    as_caller line
}
