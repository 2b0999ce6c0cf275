# shellcheck shell=bash
# Durable steps: asking for one, and killing who carries it on.

STEP_COUNT=0

# new_id: an id that no other test has, as $ID
new_id() { ID=test-$BATS_SUITE_TEST_NUMBER-$CALLER-$((++STEP_COUNT)); }

# durable COMMAND [ARG...]: the step $ID, as `cell`
durable() { cell --id "$ID" -- "$@"; }

# started COMMAND [ARG...]: the step $ID by `start`
started() {
    local id
    id=$(stepcell start --id "$ID" --workdir "$WORK" "$IMAGE" -- "$@")
    assert_equal "printed id" "$id" "$ID"
}

step_dir() { echo "$TEST_DIR/store/$CALLER/steps/$ID"; }
step_status() { stepcell status --json --id "$ID" | jq -r "$1"; }
supervisor() { step_status '.supervisor // empty'; }

# has_record NAME: whether the ledger of $ID has it
has_record() { grep -qs "\"record\":\"$1\"" "$(step_dir)/ledger"; }

# kill_at CALL N COMMAND...: runs it; whichever of its processes makes the Nth of these system calls (each counts
# its own) dies there. A record of a ledger is whole when it is flushed by fdatasync; a step is known when the
# directory of all steps is flushed, by the fourth fsync of who makes it. root traces, whoever calls: set-user-ID
# programs have no rights otherwise.
kill_at() {
    local call=$1 at=$2
    local UNDER=(strace -qq -f -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at")
    shift 2
    as "$@"
}

# ended PID: waits for a background command and leaves its status in $status
ended() {
    status=0
    wait "$1" || status=$?
}
