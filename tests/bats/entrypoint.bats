# The rule of the product: an image with an entrypoint does not run.

load ../lib/common

refused() {
    IMAGE=$IMAGES_AT/busybox:entrypoint
    run --separate-stderr cell "$@" -- touch started
    assert_refused image.entrypoint
    assert_equal outcome "$(result_field .outcome)" refused
    [ ! -e started ]
    assert_match "$stderr" "*busybox:entrypoint*"        # the image
    assert_match "$stderr" '*"/bin/echo"*"entered"*'     # the entrypoint
    assert_match "$stderr" '*ENTRYPOINT \["/bin/echo"*' # the history line that set it
    assert_match "$stderr" '*ENTRYPOINT \[\]*'           # the first way out
    assert_match "$stderr" "*--entrypoint clear*"        # the second
}

@test "an image with an entrypoint is refused before anything starts" {
    each_caller refused
    as_caller refused --entrypoint refuse
}

@test "it is refused the second time too, from the store" {
    twice() {
        refused
        refused --pull never
    }
    each_caller twice
}

@test "--entrypoint clear runs the command alone" {
    clear() {
        IMAGE=$IMAGES_AT/busybox:entrypoint
        run -0 cell --entrypoint clear -- echo bare
        assert_equal output "$output" bare
    }
    each_caller clear
}

@test "null, an empty list and a list of one empty string are no entrypoint" {
    none() {
        local tag
        for tag in null none blank; do
            IMAGE=$IMAGES_AT/busybox:entrypoint-$tag
            run -0 cell -- echo "$tag"
            assert_equal output "$output" "$tag"
        done
    }
    each_caller none
}

@test "a default command of the image is harmless" {
    cmd() {
        IMAGE=$IMAGES_AT/busybox:cmd
        run -0 cell -- echo mine
        assert_equal output "$output" mine
    }
    as_caller cmd
}
