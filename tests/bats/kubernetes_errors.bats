#!/usr/bin/env bats
# Every code of docs/errors.md that says what befell a Pod, provoked: errors.bats has all others.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# meets CODE STATUS OUTCOME [OPTION...] -- COMMAND...: how such a step ends, with a result of its own
meets() {
    local RESULT=$TEST_DIR/$1.json status=0
    pod_cell "${@:4}" >"$TEST_DIR/$1.out" 2>"$TEST_DIR/$1.err" || status=$?
    assert_equal "$1" "$status $(result_field '"\(.outcome) \(.error.code)"')" "$2 $3 $1"
    # What a lost node keeps is said as well.
    assert_match "$(cat "$TEST_DIR/$1.err")" "*stepcell: [!A-Z]*"$'\n'"stepcell: hint: ?*"
}

provoke_pod_unscheduled() { meets pod.unscheduled 125 failed --memory 1000g -- true; }
provoke_pod_image_not_pulled() {
    POD_INIT=$CLUSTER_REGISTRY/nowhere:1 meets pod.image-not-pulled 125 failed -- true
}
# What the kubelet finds in a volume beyond its size.
provoke_pod_evicted() {
    meets pod.evicted 125 unknown --tmpfs /full:size=1m -- sh -c 'head -c 8m /dev/zero >/full/x; sleep 300'
}
provoke_pod_deleted() {
    meets pod.deleted 125 unknown --label provoke=deleted -- sh -c 'echo up; sleep 300' &
    local step=$!
    wait_for grep -qx up "$TEST_DIR/pod.deleted.out"
    kube -n "$NAMESPACE" delete pods -l provoke=deleted --wait=false
    wait "$step"
}
provoke_pod_node_lost() {
    local node step
    meets pod.node-lost 125 unknown --grace 1s --label provoke=lost -- sh -c 'echo up; sleep 300' &
    step=$!
    wait_for grep -qx up "$TEST_DIR/pod.node-lost.out"
    node=$(kube -n "$NAMESPACE" get pods -l provoke=lost -o jsonpath='{.items[0].spec.nodeName}')
    stop_part "$node"
    wait "$step"
    start_part "$node"
    wait_for_node "$node" true
}

@test "every code of docs/errors.md for Pods comes with one sentence and one fix" {
    local code name last
    local -A steps=()
    for code in $(sed -n 's/^## `\(pod\..*\)`$/\1/p' "$TESTS/../docs/errors.md"); do
        name=${code//[.-]/_}
        # The kernel chooses what it kills for memory, and the first process is small: test_pod.c has that code. No
        # other step may be on a node that is lost.
        [[ $code = pod.@(node-lost|out-of-memory) ]] || {
            "provoke_$name" 3>&- 4>&- &
            steps[$code]=$!
        }
    done
    assert_equal codes "$(printf '%s\n' "${!steps[@]}" | sort | xargs)" \
        "pod.deleted pod.evicted pod.image-not-pulled pod.unscheduled"
    # This one is on no node, and takes a minute.
    last=${steps[pod.unscheduled]}
    unset 'steps[pod.unscheduled]'
    for code in "${!steps[@]}"; do wait "${steps[$code]}"; done
    provoke_pod_node_lost
    wait "$last"
}
