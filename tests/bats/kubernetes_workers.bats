#!/usr/bin/env bats
# Durable steps as Pods, and workers that know nothing of each other but the cluster and a volume.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# on_worker NAME COMMAND...: with a host name and a store of its own
on_worker() {
    local name=$1
    shift
    HOME=$TEST_DIR/home/root STEPCELL_STORE=$TEST_DIR/store/$name RESULT=$TEST_DIR/$name.json \
        in_cluster unshare --uts -- sh -c 'hostname "$0" && exec "$@"' "$name" "$@"
}

# durable_cell WORKER COMMAND...: the step `across` as a Pod, on that worker
durable_cell() {
    on_worker "$1" "$STEPCELL" run --id "across-$NAMESPACE" --result "$TEST_DIR/$1.json" --workdir "$WORK" \
        --engine kubernetes --kubernetes-namespace "$NAMESPACE" --kubernetes-init "$INIT" \
        --kubernetes-volume "$WORK=hostPath" --grace 2s "$CLUSTER_REGISTRY/busybox:latest" -- "${@:2}"
}

of_worker() { jq -r '"\(.outcome) \(.exit_code) \(.error.code)"' "$TEST_DIR/$1.json"; }

has_up() { grep -qx up "$1"; }

# lose_worker NAME: its processes at once, as when the machine is gone
lose_worker() {
    local callers
    callers=$(pgrep -f "^$STEPCELL run --id across-$NAMESPACE --result $TEST_DIR/$1.json ")
    # shellcheck disable=SC2046,SC2086 # several
    kill -KILL $(pgrep -P "${callers//$'\n'/,}" stepcell-kube) $callers
}

@test "another worker carries on a durable step whose own one is gone: the whole output, one Pod, and nothing left" {
    local script='echo up; echo begun >>begun; until [ -e go ]; do sleep 0.1; done; echo done; exit 7'
    durable_cell first sh -c "$script" >"$TEST_DIR/first" 2>&1 3>&- 4>&- &
    wait_for has_up "$TEST_DIR/first"
    lose_worker first
    [ -n "$(the_pod)" ]
    run -125 --separate-stderr durable_cell other sh -c "$script; true"
    assert_equal other "$(of_worker other)" "refused 125 step.conflict"
    [ -n "$(the_pod)" ]
    durable_cell second sh -c "$script" >"$TEST_DIR/second" 2>"$TEST_DIR/second.err" 3>&- 4>&- &
    CELL=$!
    wait_for has_up "$TEST_DIR/second"
    # The first one's own clean-up leaves alone what is not its own any more.
    assert_equal first "$(on_worker first "$STEPCELL" status --id "across-$NAMESPACE")" "finished unknown 125"
    touch "$WORK/go"
    RESULT=$TEST_DIR/second.json ended_as 7 exited
    assert_equal output "$(xargs <"$TEST_DIR/second")" "up done"
    assert_equal begun "$(cat "$WORK/begun")" begun
    nothing_left
}

# A lost worker's directory and the other one's need not be the same. What it has pushed stays: a repository of its own.
@test "another worker brings back all that is in the Pod's working directory, and deletes nothing" {
    local there=/run/stepcell-work.$RANDOM script='echo up; echo new >new; rm old; until [ -e /.stepcell/home/go ]; do sleep 0.1; done'
    mkdir "$there"
    echo old | tee "$there/old" "$there/stays" >/dev/null
    returning_cell() {
        on_worker "$1" "$STEPCELL" run --id "across-$NAMESPACE" --result "$TEST_DIR/$1.json" --workdir "$there" \
            --engine kubernetes --kubernetes-namespace "$NAMESPACE" --kubernetes-ship "$CLUSTER_REGISTRY/lost" \
            --kubernetes-return "$CLUSTER_REGISTRY/busybox:latest" -- sh -c "$script"
    }
    returning_cell first >"$TEST_DIR/first" 2>&1 3>&- 4>&- &
    wait_for has_up "$TEST_DIR/first"
    lose_worker first
    rm "$there/stays"
    echo theirs >"$there/theirs"
    returning_cell second >"$TEST_DIR/second" 2>"$TEST_DIR/second.err" 3>&- 4>&- &
    CELL=$!
    wait_for has_up "$TEST_DIR/second"
    kube -n "$NAMESPACE" exec "$(basename "$(the_pod)")" -c step -- touch /.stepcell/home/go
    RESULT=$TEST_DIR/second.json ended_as 0 exited
    assert_equal tree "$(cd "$there" && grep -r '' | LC_ALL=C sort)" "new:new
old:old
stays:old
theirs:theirs"
    assert_match "$(cat "$TEST_DIR/second.err")" "*another worker has begun the step*"
    rm -r "$there"
    nothing_left
}

# Whoever ends first removes the Pod: the other one has seen the end by then, or says that it has not.
@test "two workers begin one durable step at once: its command runs once" {
    local worker pids=() script='echo up; echo begun >>begun; sleep 2; exit 7'
    for worker in first second; do
        durable_cell "$worker" sh -c "$script" >"$TEST_DIR/$worker" 2>&1 3>&- 4>&- &
        pids+=($!)
    done
    wait "${pids[@]}" || true
    assert_equal begun "$(cat "$WORK/begun")" begun
    [[ $(of_worker first)+$(of_worker second) = *"exited 7 null"* ]]
    for worker in first second; do
        assert_match "$(of_worker "$worker")" "@(exited 7 null|unknown 125 *)"
    done
    nothing_left
}
