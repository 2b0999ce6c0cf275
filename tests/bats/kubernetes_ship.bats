#!/usr/bin/env bats
# `--kubernetes-ship`: what the nodes do not have of a step, against the cluster of scripts/kubernetes.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

SHIPPED=$CLUSTER_REGISTRY/shipped

setup_file() {
    mkdir -p "$TEST_DIR/home/root/.config/containers"
    ln -sfn "$CLUSTER/certs.d" "$TEST_DIR/home/root/.config/containers/certs.d"
}

setup() {
    make_namespace
    work_dir
    # Nodes see the host's files, but for these.
    PACKAGE=$(mktemp -d /run/stepcell-package.XXXXXX)
    chmod 755 "$PACKAGE"
}

teardown() {
    rm -rf "$PACKAGE"
    remove_namespace
}

# ship_cell [OPTION...] -- COMMAND [ARG...]: one step as a Pod, in $WORK, which the nodes have at the same path
ship_cell() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    as in_cluster "$STEPCELL" run --result "$RESULT" --workdir "$WORK" --engine kubernetes \
        --kubernetes-namespace "$NAMESPACE" --kubernetes-ship "$SHIPPED" --kubernetes-volume "$WORK=hostPath" \
        "${options[@]}" "$CLUSTER_REGISTRY/busybox:latest" "$@"
}

# layers: how many blobs of what was shipped the registry has; deleted: it has no manifest of it
layers() { find "$CLUSTER/registry/docker/registry/v2/repositories/shipped/_layers" -name link | wc -l; }
deleted() { [ -z "$(find "$CLUSTER/registry/docker/registry/v2/repositories/shipped/_manifests" -name link)" ]; }

@test "a package goes along: content, modes, links and times, read-only, at its path and by its other name" {
    local before
    mkdir -p "$PACKAGE/a/b" "$PACKAGE/closed"
    printf 'hello\377' >"$PACKAGE/a/b/file"
    printf '#!/bin/sh\necho ran\n' >"$PACKAGE/a/run"
    chmod 755 "$PACKAGE/a/run"
    chmod 500 "$PACKAGE/closed"
    ln -s a/b/file "$PACKAGE/link"
    ln -s /nowhere "$PACKAGE/dangling"
    mkfifo "$PACKAGE/fifo"
    touch "$PACKAGE/$(printf 'long%.0s' {1..50})" "$PACKAGE/a b"$'\n'c
    touch -d '2001-02-03 04:05:06 UTC' "$PACKAGE/a/b/file" "$PACKAGE/a"
    ln -sfn "$PACKAGE" "$TEST_DIR/other"
    # shellcheck disable=SC2016
    run -0 --separate-stderr ship_cell --package "App=$TEST_DIR/other" -- sh -c '
        cd "$1" && a/run && cat link | od -An -tx1 && readlink dangling && stat -c "%a %Y %n" a a/b/file closed && ls | wc -l
        touch x 2>/dev/null || echo read-only; [ "$STEPCELL_PACKAGE_APP" = "$2" ]; cat "$2/a/run" | wc -l' \
        - "$PACKAGE" "$TEST_DIR/other"
    assert_equal stdout "$output" "ran
 68 65 6c 6c 6f ff
/nowhere
755 981173106 a
644 981173106 a/b/file
700 $(stat -c %Y "$PACKAGE/closed") closed
6
read-only
2"
    deleted
}

@test "a copy can be written to, and what the host has stays as it was; an unchanged package is not pushed again" {
    local count
    echo one >"$PACKAGE/file"
    chown 1234:1234 "$WORK"
    # shellcheck disable=SC2016
    run -0 ship_cell --user 1234:1234 --package-cow "$PACKAGE" -- sh -c 'cd "$1" && echo two >file && echo >new && id -u && cat file' - "$PACKAGE"
    assert_equal output "$output" $'1234\ntwo'
    assert_equal host "$(cat "$PACKAGE/file") $(ls "$PACKAGE")" "one file"
    count=$(layers)
    run -0 ship_cell --user 1234:1234 --package-cow "$PACKAGE" -- cat "$PACKAGE/file"
    assert_equal output "$output" one
    assert_equal layers "$(layers)" "$count"
    deleted
}

@test "a working directory goes along: of the step's user, without what other mounts hide, and what is changed stays there" {
    mkdir -p "$PACKAGE/work/package/deep" "$PACKAGE/work/volume"
    echo script >"$PACKAGE/work/file"
    echo package >"$PACKAGE/work/package/deep/file"
    echo hidden >"$PACKAGE/work/volume/file"
    echo 'pwd; id -u; cat file package/deep/file; ls volume; echo new >new; echo changed >file; exit 5' \
        >"$PACKAGE/work/script.sh"
    chmod 600 "$PACKAGE/work/file"
    run -5 --separate-stderr as in_cluster "$STEPCELL" run --result "$RESULT" --workdir "$PACKAGE/work" --user 1234:1234 \
        --engine kubernetes --kubernetes-namespace "$NAMESPACE" --kubernetes-ship "$SHIPPED" \
        --kubernetes-volume "$WORK=hostPath" --package "$PACKAGE/work/package" --volume "$WORK:$PACKAGE/work/volume:ro" \
        --script "$PACKAGE/work/script.sh" "$CLUSTER_REGISTRY/busybox:latest"
    assert_equal stdout "$output" "$PACKAGE/work
1234
script
package"
    assert_match "$stderr" "*stays in its Pod*"
    assert_equal host "$(cat "$PACKAGE/work/file") $(cd "$PACKAGE/work" && echo *)" "script file package script.sh volume"
    deleted
}

@test "what cannot be shipped is refused with a reason, and without a repository it is as before" {
    touch "$PACKAGE/.wh.file"
    run -125 --separate-stderr ship_cell --package "$PACKAGE" -- true
    assert_match "$stderr" "*'$PACKAGE/.wh.file' cannot be shipped*"
    run -125 --separate-stderr ship_cell --package-rw "$PACKAGE" -- true
    assert_equal code "$(result_field .error.code)" mount.denied
    SHIPPED=$CLUSTER_REGISTRY/shipped:tag run -125 --separate-stderr ship_cell --package "$PACKAGE" -- true
    assert_equal code "$(result_field '"\(.outcome) \(.error.code)"')" "refused option.invalid"
    run -125 --separate-stderr as in_cluster "$STEPCELL" run --workdir "$WORK" --engine kubernetes \
        --kubernetes-init x --kubernetes-volume "$WORK=hostPath" --package "$PACKAGE" "$CLUSTER_REGISTRY/busybox:latest" true
    assert_match "$stderr" "*--kubernetes-ship*"
}
