# shellcheck shell=bash
# Steps as Pods of the cluster of kubernetes.bash, which is loaded before.

# The program itself: the options of the engine are given here.
STEPCELL=$STEPCELL_PROGRAM

setup() {
    make_namespace
    work_dir
}

teardown() { remove_namespace; }

# in_stepcell ARG...: the program under test, in the cluster's network
in_stepcell() { as in_cluster "$STEPCELL" "$@"; }

# pod_cell [OPTION...] -- COMMAND [ARG...]: one step as a Pod of $POD_IMAGE, in $WORK, which the nodes have at the same
# path; with the init image $POD_INIT, if any
pod_cell() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    in_stepcell run --result "$RESULT" --workdir "$WORK" --engine kubernetes --kubernetes-namespace "$NAMESPACE" \
        ${POD_INIT:+--kubernetes-init "$POD_INIT"} --kubernetes-volume "$WORK=hostPath" "${options[@]}" \
        "${POD_IMAGE:-$CLUSTER_REGISTRY/busybox:latest}" "$@"
}

# begin_cell FILE COMMAND...: the same, aside, with its output in FILE, once its Pod has written `up`
begin_cell() {
    pod_cell --grace 2s -- "${@:2}" >"$1" 2>"$1.err" 3>&- 4>&- &
    CELL=$!
    wait_for grep -qx up "$1"
}

# ended_as STATUS OUTCOME: what became of it
ended_as() {
    local status=0
    wait "$CELL" || status=$?
    assert_equal status "$status" "$1"
    assert_equal outcome "$(result_field .outcome)" "$2"
}

pods_of_steps() { kube -n "$NAMESPACE" get pods,secrets -l app.kubernetes.io/managed-by=stepcell -o name; }
nothing_left() { [ -z "$(pods_of_steps)" ] && [ -z "$(find "$WORK" -name '.stepcell-probe*')" ]; }
the_pod() { kube -n "$NAMESPACE" get pods -l app.kubernetes.io/managed-by=stepcell -o name; }
