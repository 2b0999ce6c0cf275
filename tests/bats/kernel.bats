# What an older kernel lacks, taken away from this one: the fallbacks work.

load ../lib/common

@test "before Linux 6.13, where overlayfs takes no layers by descriptor, steps run the same" {
    local helper=$BATS_FILE_TMPDIR/old_kernel
    cc -O1 -o "$helper" "$TESTS/lib/old_kernel.c"
    chmod 755 "$BATS_FILE_TMPDIR"
    stepcell() { as "$helper" "$STEPCELL" "$@"; }
    older() {
        as mkdir ../package
        as sh -c 'echo kept >../package/file'
        run -0 cell --package-cow ../package --volume "$PWD/../package:/new/place" -- \
            sh -c 'echo changed >../package/file && cat ../package/file /new/place/file && touch /made made'
        assert_equal output "$output" $'changed\nkept'
        assert_equal package "$(cat ../package/file)" kept
        assert_equal owner "$(owner made)" "$(caller_name):$(caller_name)"
    }
    # newuidmap is a set-user-ID program, which the filter that makes the kernel older keeps from working.
    CALLERS="root plain" each_caller older
}
