#!/usr/bin/env bats
# Every code of docs/errors.md that says what befell a Pod, provoked: errors.bats has all others.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# meets CODE OUTCOME [OPTION...] -- COMMAND...: how such a step ends, with a result of its own
meets() {
    local RESULT=$TEST_DIR/$1.json status=0
    pod_cell "${@:3}" >"$TEST_DIR/$1.out" 2>"$TEST_DIR/$1.err" || status=$?
    assert_equal "$1" "$status $(result_field '"\(.outcome) \(.error.code)"')" "125 $2 $1" || {
        cat "$RESULT"
        return 1
    }
    # What a lost node keeps is said as well.
    assert_match "$(cat "$TEST_DIR/$1.err")" "*stepcell: [!A-Z]*"$'\n'"stepcell: hint: ?*"
}

# says CODE FIELD PATTERN: of its result
says() { assert_match "$(RESULT=$TEST_DIR/$1.json result_field "$2")" "$3"; }

provoke_pod_unscheduled() {
    meets pod.unscheduled failed --memory 1000g -- true
    says pod.unscheduled .error.message 'no node of the cluster takes the step: *nsufficient memory*'
    says pod.unscheduled .error.detail '*nsufficient memory*'
    says pod.unscheduled .cleanup.verified true
}
provoke_pod_image_not_pulled() { POD_INIT=$CLUSTER_REGISTRY/nowhere:1 meets pod.image-not-pulled failed -- true; }
# What the kubelet finds in a volume beyond its size.
provoke_pod_evicted() {
    meets pod.evicted unknown --tmpfs /full:size=1m -- sh -c 'head -c 8m /dev/zero >/full/x; sleep 300'
    says pod.evicted .error.detail '*EmptyDir*exceeds the limit*'
    says pod.evicted .cleanup.verified true
}
provoke_pod_deleted() {
    meets pod.deleted unknown --label provoke=deleted -- sh -c 'echo up; sleep 300' &
    local step=$!
    wait_for grep -qsx up "$TEST_DIR/pod.deleted.out"
    kube -n "$NAMESPACE" delete pods -l provoke=deleted --wait=false
    wait "$step"
    says pod.deleted .error.message '*deleted the Pod*'
}
# Nobody can say that its step has ended until the node is back.
provoke_pod_node_lost() {
    meets pod.node-lost unknown --grace 1s -- sh -c 'echo up; sleep 600'
    says pod.node-lost '"\(.cleanup.verified) \(.cleanup.left[0])"' "false Pod 'stepcell-*' of Kubernetes"
}

# begin CODE: that step, aside
begin() {
    local name=${1//[.-]/_}
    "provoke_$name" 3>&- 4>&- &
    steps[$1]=$!
}

node_state() { kube get node "$NODE" --no-headers | awk '{ print $2 }'; }

bring_back() {
    start_part "$NODE"
    wait_for_node "$NODE" true
    kube uncordon "$NODE"
    NODE=
}

teardown() {
    [ -z "${NODE:-}" ] || bring_back
    remove_namespace
}

# The kernel chooses what it kills for memory, and the first process is small: test_pod.c has that code.
@test "every code of docs/errors.md for Pods comes with one sentence and one fix" {
    local code node
    local -A steps=()
    begin pod.node-lost
    wait_for grep -qsx up "$TEST_DIR/pod.node-lost.out"
    NODE=$(kube -n "$NAMESPACE" get pods -o jsonpath='{.items[0].spec.nodeName}')
    # The others go to the other node.
    kube cordon "$NODE"
    stop_part "$NODE"
    for code in $(sed -n 's/^## `\(pod\..*\)`$/\1/p' "$TESTS/../docs/errors.md"); do
        [[ $code = pod.@(node-lost|out-of-memory) ]] || begin "$code"
    done
    assert_equal codes "$(printf '%s\n' "${!steps[@]}" | sort | xargs)" \
        "pod.deleted pod.evicted pod.image-not-pulled pod.node-lost pod.unscheduled"
    for code in "${!steps[@]}"; do wait "${steps[$code]}"; done
    assert_equal "state of the node" "$(node_state)" NotReady,SchedulingDisabled
    node=$NODE
    bring_back
    wait_for nothing_left
    pod again "$CLUSTER_REGISTRY/busybox:latest" 'exit 6' '.spec.nodeName = "'"$node"'"'
    wait_for_exit again 6
}
