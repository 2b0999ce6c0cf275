# The events image.progress: how far a pull is, for whoever has no terminal.

load ../lib/common
load ../lib/registry
load ../lib/faults
load ../lib/steps

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    start_registry
    push "$IMAGE" busybox:1
}

teardown() {
    stop_faults
    stop_registry
}

# progress FILTER: of the events of that type in ../events
progress() { jq -rs "[.[] | select(.type == \"image.progress\")] | $1" ../events; }

# assert_pulled: the progress of a whole pull
assert_pulled() {
    assert_equal "has events" "$(progress 'length >= 2')" true
    assert_equal first "$(progress '.[0] | .bytes == 0 and .total > 0 and .layers == 0 and .layers_total == 1')" true
    assert_equal last "$(progress 'last | .bytes == .total and .layers == .layers_total')" true
    assert_equal "only rises" "$(progress '[.[].bytes] | . == sort')" true
    assert_equal "stands before" "$(jq -rs '([.[] | select(.type == "image.progress") | .seq] | max) <
        (.[] | select(.type == "image.resolved") | .seq)' ../events)" true
}

# pulling OPTION...: a step with a store of its own
pulling() {
    stepcell run --store "${WORK%/*}/store" --workdir "$WORK" --progress none "$@" "$REGISTRY/busybox:1" -- true
}

@test "a pull tells how far it is, to its end; an image that is there tells nothing" {
    told() {
        pulling --events file:../events
        assert_pulled
        pulling --events file:../events
        assert_equal "when it is there" "$(progress length)" 0
    }
    each_caller told
}

@test "a durable step tells of its pull as well" {
    durably() {
        new_id
        pulling --id "$ID" --events file:../copy
        stepcell logs --store "${WORK%/*}/store" --json --id "$ID" >../events
        assert_pulled
        cmp ../events ../copy
    }
    each_caller durably
}

@test "a pull that takes its time tells of it twice a second at the most" {
    start_before slow slow
    slowly() {
        as timeout 4 "$STEPCELL" run --store "${WORK%/*}/store" --workdir "$WORK" --progress none --events file:../events \
            "$(faults slow)/busybox:1" -- true || true
        [ "$(progress length)" -ge 3 ]
        [ "$(progress length)" -le 10 ]
        assert_equal "some of it" "$(progress 'last | .bytes > 0 and .bytes < .total')" true
    }
    as_caller slowly
}
