# Images of other platforms, and indexes.

load ../lib/common

refused_platform() {
    IMAGE=oci:$IMAGES/platforms:$1
    shift
    run --separate-stderr cell "$@" -- true
    assert_refused image.platform
}

@test "an index resolves to this platform, past attestations" {
    index() {
        IMAGE=oci:$IMAGES/platforms:latest
        run -0 cell -- /bin/busybox cat /platform
        assert_equal output "$output" linux/amd64
        assert_equal platform "$(result_field .image.platform)" linux/amd64
        [ "$(result_field .image.digest)" != "$(result_field .image.manifest_digest)" ]
    }
    each_caller index
}

@test "a Windows image on a Linux host is image.platform, and the message says what there is" {
    windows() {
        refused_platform windows
        assert_match "$stderr" "*windows*amd64*"
        [[ $stderr != *unknown* ]]
    }
    each_caller windows
}

@test "--platform does not make a host run what it cannot" {
    each_caller refused_platform windows --platform windows/amd64
}

@test "an image for another architecture is image.platform" {
    as_caller refused_platform arm64
    assert_match "$stderr" "*arm64*"
    as_caller refused_platform arm64-manifest
    each_caller refused_platform latest --platform linux/s390x
}

@test "an index that promises what the configuration does not keep is refused" {
    liar() {
        IMAGE=oci:$IMAGES/platforms:liar
        run --separate-stderr cell -- true
        assert_equal "exit status" "$status" 125
        assert_match "$(result_field .error.code)" "image.@(platform|corrupt)"
    }
    as_caller liar
}

@test "--platform is normalised as docker does it" {
    normal() {
        IMAGE=oci:$IMAGES/platforms:latest
        run -0 cell --platform Linux/x86_64 -- /bin/busybox true
        run -0 cell --platform linux/amd64/v1 -- /bin/busybox true
    }
    as_caller normal
}
