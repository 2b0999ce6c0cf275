# shellcheck shell=bash
# Once for a whole run of bats: two ordinary users, the fixtures, and a directory for everything.

setup_suite() {
    [ "$(id -u)" = 0 ] || {
        echo "the tests create users and so run as root; scripts/test sees to that" >&2
        return 1
    }
    # With tags to select, bats 1.8 leaves a comma in it.
    local root caller IFS=$' \t\n'
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export STEPCELL=${STEPCELL:-$root/build/bin/stepcell}
    export STEPCELL_RELEASE=${STEPCELL_RELEASE:-$root/build/bin/stepcell}
    TEST_DIR=$(mktemp -d /var/tmp/stepcell-test.XXXXXX)
    export TEST_DIR IMAGES=$TEST_DIR/images CANARY=$TEST_DIR/canary
    chmod 0755 "$TEST_DIR"
    mkdir -p "$TEST_DIR"/{home,store,tmp,work}
    echo untouched >"$CANARY"
    make_users
    for caller in root ranges plain; do
        mkdir "$TEST_DIR"/{home,store,tmp}/$caller
    done
    for caller in ranges plain; do
        chown "stepcell-$caller:" "$TEST_DIR"/{home,store,tmp}/$caller
    done
    # The callers' own surroundings must not decide a test.
    unset STEPCELL_STORE DOCKER_CONFIG XDG_RUNTIME_DIR XDG_DATA_HOME XDG_CONFIG_HOME
    (
        . "$root/tests/lib/images.bash"
        make_images
    ) >&2
    . "$root/tests/lib/engine.bash"
    . "$root/tests/lib/kubernetes.bash"
    if [ "${ENGINE:-native}" = kubernetes ]; then
        start_cluster >&2
        return
    fi
    # What it has started would keep bats waiting.
    start_engine >&2 || {
        stop_engine
        return 1
    }
}

# stepcell-ranges has subordinate ids, stepcell-plain has none.
make_users() {
    local name
    for name in stepcell-ranges stepcell-plain; do
        id "$name" >/dev/null 2>&1 ||
            useradd --system --user-group --shell /bin/bash --home-dir "$TEST_DIR/home/${name#*-}" "$name"
    done
    if ! grep -qs '^stepcell-ranges:' /etc/subuid; then
        usermod --add-subuids 1700000-1765535 --add-subgids 1700000-1765535 stepcell-ranges
    fi
    sed -i '/^stepcell-plain:/d' /etc/subuid /etc/subgid
}

teardown_suite() {
    . "$BATS_TEST_DIRNAME/../lib/engine.bash"
    . "$BATS_TEST_DIRNAME/../lib/kubernetes.bash"
    stop_cluster
    stop_engine
    userdel stepcell-ranges 2>/dev/null || true
    userdel stepcell-plain 2>/dev/null || true
    sed -i '/^stepcell-\(ranges\|plain\):/d' /etc/subuid /etc/subgid
    case ${TEST_DIR:-} in
    /var/tmp/stepcell-test.*) chmod -R u+rwX "$TEST_DIR" && rm -rf "$TEST_DIR" ;;
    esac
}
