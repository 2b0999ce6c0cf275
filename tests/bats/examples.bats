# The examples, with a real registry, a real builder and a feed of files.

load ../lib/common
load ../lib/registry
load ../lib/images

setup_file() {
    export MADE=$TEST_DIR/examples
    mkdir -p "$MADE/bin"
    ln -s "$STEPCELL" "$MADE/bin/stepcell"
    # Of Debian the images have nothing in these tests.
    export PATH=$MADE/bin:$PATH PROFILE=plain STEPCELL_STORE=$MADE/store
}

teardown_file() {
    rm -rf "$MADE"
}

setup() {
    EXAMPLES=$TESTS/../examples
    start_registry
    cat >"$MADE/registries.conf" <<END
[[registry]]
location = "$REGISTRY"
insecure = true
END
    export CONTAINERS_REGISTRIES_CONF=$MADE/registries.conf
    mkdir -p "$MADE/www"
    /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$MADE/www" 0 >"$MADE/server" 2>&1 3>&- &
    SERVER=$!
    wait_for grep -q 'port [0-9]' "$MADE/server"
    DOWNLOADS=http://127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$MADE/server")
    FEED=$DOWNLOADS/maven-metadata.xml IMAGE=$REGISTRY/team/flyway BASE=$REGISTRY/team/base:latest
    PLATFORMS=linux/amd64
    export DOWNLOADS FEED IMAGE BASE PLATFORMS
}

teardown() {
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
    stop_registry
}

# release VERSION...: what the feed says, and what can be downloaded
release() {
    local version
    printf '<metadata><versioning><versions>%s</versions></versioning></metadata>' \
        "$(printf '<version>%s</version>' "$@")" >"$MADE/www/maven-metadata.xml"
    for version in "$@"; do
        mkdir -p "$MADE/flyway-$version"
        printf '#!/bin/sh\necho flyway %s\n' "$version" >"$MADE/flyway-$version/flyway"
        chmod +x "$MADE/flyway-$version/flyway"
        tar -C "$MADE" -czf "$MADE/www/flyway-commandline-$version.tar.gz" "flyway-$version"
    done
}

# base CONTENT: the base image, of busybox in place of Debian, which differs by its content
base() {
    local layer=$MADE/base.tar
    mkdir -p "$MADE/root/etc"
    echo "$1" >"$MADE/root/etc/content"
    tar -C "$MADE/root" --numeric-owner --owner=0 --group=0 -cf "$layer" etc
    rm -rf "$MADE/layout"
    cp -r "$IMAGES/busybox" "$MADE/layout"
    umoci raw add-layer --image "$MADE/layout:latest" "$layer"
    push "oci:$MADE/layout:latest" team/os:latest
    OS_IMAGE=$REGISTRY/team/os:latest "$EXAMPLES/base/build" --build-arg PACKAGES= >/dev/null
}

# windows_image NAME:TAG VERSION LAYER.tar...: as a Windows machine would push it, put together by hand
windows_image() {
    local to=$1 config
    config=$(jq -nc --arg version "$2" '{os: "windows", architecture: "amd64", "os.version": $version}')
    shift 2
    rm -rf "$MADE/windows"
    new_layout "$MADE/windows"
    put_image "$MADE/windows" "$config" "$@" | name_image "$MADE/windows" image
    push "oci:$MADE/windows:image" "$to"
}

# windows_base VERSION: a base for Linux, busybox itself, and for that Windows
windows_base() {
    mkdir -p "$MADE/root"
    echo "$1" >"$MADE/root/version"
    tar -C "$MADE/root" --numeric-owner --owner=0 --group=0 -cf "$MADE/windows.tar" version
    tar -C "$MADE/root" --numeric-owner --owner=0 --group=0 --transform 's,^,flyway/,' -cf "$MADE/root.tar" version
    push "oci:$IMAGES/busybox:latest" team/base:linux
    windows_image team/base:windows "$1" "$MADE/windows.tar"
    stepcell manifest create "$BASE" "$REGISTRY/team/base:"{linux,windows} >/dev/null
}

# night: what the workflow does in one night; sets status, and `did` to what it did. The machine for Windows is
# the function that is called so, if any.
night() {
    local -x GITHUB_OUTPUT=$MADE/variables CURRENT_FLYWAY_VERSION=''
    did=nothing status=0
    : >"$GITHUB_OUTPUT"
    "$EXAMPLES/flyway/check" || status=$?
    [ "$status" = 0 ] || return 0
    [ "$(sed -n 's/^Continue=//p' "$GITHUB_OUTPUT")" = Yes ] || return 0
    CURRENT_FLYWAY_VERSION=$(sed -n 's/^CURRENT_FLYWAY_VERSION=//p' "$GITHUB_OUTPUT")
    did="built $CURRENT_FLYWAY_VERSION"
    PLATFORM=linux/amd64 "$EXAMPLES/flyway/build" || status=$?
    [[ $PLATFORMS != *windows* ]] || windows || status=$?
    [ "$status" != 0 ] || "$EXAMPLES/flyway/publish" || status=$?
}

# assert_night STATUS DID
assert_night() {
    night
    assert_equal status "$status" "$1"
    assert_equal did "$did" "$2"
}

@test "nights of the flyway example: new, same, half failed, base moved, feed broken" {
    base one
    release 10.9.0
    assert_night 0 "built 10.9.0"
    run -0 stepcell run --workdir "$MADE/root" --progress none "$IMAGE:10.9.0" -- flyway
    assert_equal flyway "$output" "flyway 10.9.0"
    assert_equal label "$(skopeo inspect --tls-verify=false "docker://$IMAGE:10.9.0" |
        jq -r '.Labels["org.opencontainers.image.version"]')" 10.9.0
    # Of Debian it has nothing in this test; what an image is told to be is the example's own.
    run stepcell image check --json "$IMAGE:10.9.0"
    assert_equal checked "$(jq -r '.passed | index("entrypoint") != null' <<<"$output")" true
    assert_night 0 nothing
    # A new version, the download of which is not there yet.
    release 10.9.0 10.10.0
    mv "$MADE/www/flyway-commandline-10.10.0.tar.gz" "$MADE/later"
    night
    [ "$status" != 0 ]
    mv "$MADE/later" "$MADE/www/flyway-commandline-10.10.0.tar.gz"
    assert_night 0 "built 10.10.0"
    assert_night 0 nothing
    base two
    assert_night 0 "built 10.10.0"
    assert_night 0 nothing
    # The feed goes back, then serves another page, then nothing.
    release 10.9.0
    assert_night 1 nothing
    echo '<html>Moved</html>' >"$MADE/www/maven-metadata.xml"
    assert_night 1 nothing
    rm "$MADE/www/maven-metadata.xml"
    assert_night 1 nothing
}

@test "one tag for Linux and Windows comes when both are there, and again when Windows was patched" {
    local -x PLATFORMS=linux/amd64,windows/amd64
    # platforms: of the published tag, with the build that Windows hosts look for
    platforms() {
        skopeo inspect --raw --tls-verify=false "docker://$IMAGE:latest" |
            jq -r '[.manifests[].platform | [.os, .["os.version"] // empty] | join(" ")] | join(", ")'
    }
    release 1.0
    windows_base 10.0.20348.2227
    windows() { return 1; }
    night
    assert_equal "status of half a night" "$status" 1
    run -1 skopeo inspect --raw --tls-verify=false "docker://$IMAGE:1.0"
    windows() { windows_image "team/flyway:$CURRENT_FLYWAY_VERSION-windows-amd64" "$version" "$MADE/windows.tar" "$MADE/root.tar"; }
    version=10.0.20348.2227
    assert_night 0 "built 1.0"
    assert_equal platforms "$(platforms)" "linux, windows 10.0.20348.2227"
    assert_night 0 nothing
    version=10.0.20348.2322
    windows_base "$version"
    assert_night 0 "built 1.0"
    assert_equal platforms "$(platforms)" "linux, windows 10.0.20348.2322"
    assert_night 0 nothing
}

@test "the workflow runs what these tests run" {
    local script
    for script in check build publish; do
        grep -qxE "( {6}-|  {6}) run: examples/flyway/$script" "$EXAMPLES/flyway/workflow.yml"
    done
    grep -qx "    if: needs.check.outputs.Continue == 'Yes'" "$EXAMPLES/flyway/workflow.yml"
}
