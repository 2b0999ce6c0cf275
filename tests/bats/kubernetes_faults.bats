#!/usr/bin/env bats
# What befalls steps in a cluster: none of it is a success, and nothing is left. What has a code of its own is in
# kubernetes_errors.bats.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# node_of_pod: where the one step runs
node_of_pod() { kube -n "$NAMESPACE" get pods -o jsonpath='{.items[0].spec.nodeName}'; }

kubelet_of() { pgrep -f "^kubelet --config=$CLUSTER/$1/kubelet.yaml "; }

# log_of_pod KUBELET: the file that the runtime writes, by the node's own names
log_of_pod() { ls "/proc/$1/root/var/log/pods/${NAMESPACE}"_*/step/0.log; }

# is_rotated KUBELET: what was the log has got another name
is_rotated() { compgen -G "/proc/$1/root/var/log/pods/${NAMESPACE}_*/step/0.log.*" >/dev/null; }

# is_said MESSAGE: a pattern
is_said() { assert_match "$(result_field .error.message)" "$1"; }

@test "fifty steps at once: all outputs are whole, and nothing is left" {
    local i cells=() STEPCELL=$RELEASE_PROGRAM
    for i in $(seq 50); do
        RESULT=$TEST_DIR/many-$i.json pod_cell -- sh -c \
            "seq $i 1000; echo $i >&2; exit $i" >"$TEST_DIR/many-$i" 2>"$TEST_DIR/many-$i.err" 3>&- 4>&- &
        cells+=($!)
    done
    wait "${cells[@]}" || true
    for i in $(seq 50); do
        seq "$i" 1000 | cmp - "$TEST_DIR/many-$i"
        assert_equal "stderr of $i" "$(cat "$TEST_DIR/many-$i.err")" "$i"
        assert_equal "step $i" "$(jq -r '"\(.outcome) \(.exit_code) \(.cleanup.verified)"' "$TEST_DIR/many-$i.json")" \
            "exited $i true"
    done
    nothing_left
}

@test "a Pod that the API evicts is no success" {
    local name
    # Nor one whose command has heard of it and ends as if it were done.
    begin_cell "$TEST_DIR/evicted" sh -c 'trap "exit 0" TERM; echo up; sleep 60 & wait; echo done'
    name=$(the_pod)
    jq -n --arg name "${name#*/}" '{apiVersion: "policy/v1beta1", kind: "Eviction", metadata: {name: $name}}' |
        kube create --raw "/api/v1/namespaces/$NAMESPACE/pods/${name#*/}/eviction" -f -
    ended_as 125 unknown
    is_said '*deleted the Pod*'
    nothing_left
}

@test "a log that is cut is seen, and is no success" {
    local kubelet
    begin_cell "$TEST_DIR/cut" sh -c 'echo up; until [ -e go ]; do sleep 0.1; done; seq 2 5000; touch written
        until [ -e end ]; do sleep 0.1; done; echo last'
    kubelet=$(kubelet_of "$(node_of_pod)")
    # It reads the log for everybody.
    kill -STOP "$kubelet"
    touch "$WORK/go"
    wait_for test -e "$WORK/written"
    sleep 0.5
    : >"$(log_of_pod "$kubelet")"
    touch "$WORK/end"
    kill -CONT "$kubelet"
    ended_as 125 unknown
    is_said '*the log of the Pod is cut*'
    assert_match "$(result_field .error.hint)" '*containerLogMaxSize*'
    assert_equal "first and last line" "$(sed -n '1p;$p' "$TEST_DIR/cut" | xargs)" "up last"
    nothing_left
}

@test "a log that is cut where it has been read already is whole" {
    begin_cell "$TEST_DIR/read" sh -c 'echo up; until [ -e go ]; do sleep 0.1; done; seq 2 5000; exit 4'
    : >"$(log_of_pod "$(kubelet_of "$(node_of_pod)")")"
    touch "$WORK/go"
    ended_as 4 exited
    assert_equal lines "$(wc -l <"$TEST_DIR/read")" 5000
    nothing_left
}

# tell_seen: to the step, how many of its 14286 lines each have come
tell_seen() {
    echo $(($(wc -l <"$TEST_DIR/rotated") / 14286)) >"$WORK/seen.new"
    mv "$WORK/seen.new" "$WORK/seen"
}

@test "a log that its node rotates while it is read is whole" {
    local i STEPCELL=$RELEASE_PROGRAM
    # That one does so at 1 MiB, and looks every ten seconds. The step is less than that ahead of its reader, since what
    # is rotated twice before it is read is lost.
    kube cordon n2
    echo 0 >"$WORK/seen"
    begin_cell "$TEST_DIR/rotated" sh -c 'echo up; more=20 i=0
        while [ $more -gt 0 ]; do
            until [ $i -lt $(($(cat seen) + 5)) ]; do sleep 0.1; done
            seq 100000 114285; i=$((i + 1)); sleep 0.1
            [ ! -e rotated ] || more=$((more - 1))
        done
        echo $i >count; exit 4'
    kube uncordon n2
    until is_rotated "$(kubelet_of n1)"; do
        tell_seen
        sleep 0.1
    done
    touch "$WORK/rotated"
    while kill -0 "$CELL" 2>/dev/null; do
        tell_seen
        sleep 0.1
    done
    ended_as 4 exited
    for i in $(seq "$(cat "$WORK/count")"); do seq 100000 114285; done | cmp - <(sed 1d "$TEST_DIR/rotated")
    nothing_left
}

@test "an image that nodes cannot get is told as that" {
    POD_IMAGE=$CLUSTER_REGISTRY/gone:1
    in_cluster skopeo copy --quiet --src-cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" --dest-cert-dir \
        "$CLUSTER/certs.d/$CLUSTER_REGISTRY" "docker://$CLUSTER_REGISTRY/busybox:latest" "docker://$POD_IMAGE"
    in_stepcell image pull --quiet "$POD_IMAGE"
    in_cluster skopeo delete --cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" "docker://$POD_IMAGE"
    run -125 --separate-stderr pod_cell -- true
    assert_match "$(result_field .outcome)" '@(failed|refused)'
    is_said '*cannot get an image*'
    nothing_left
}
