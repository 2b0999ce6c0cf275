# shellcheck shell=bash
# Event logs as a step would write them, a receiver (event_receiver.py), and the deliverer between them.

EVENTS=${STEPCELL%/bin/*}/libexec/stepcell/stepcell-events

# events_setup: fresh places, as $STEPS and $RECEIVER, for the caller of the moment
events_setup() {
    EVENT_PIDS=()
    EVENTS_DIR=$(mktemp -d "$TEST_DIR/events.XXXXXX")
    STEPS=$EVENTS_DIR/steps RECEIVER=$EVENTS_DIR/receiver
    mkdir "$STEPS" "$RECEIVER"
    chown "$(caller_name):" "$STEPS"
    chmod 755 "$EVENTS_DIR"
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY SSL_CERT_FILE
}

events_teardown() {
    local pid
    for pid in "${EVENT_PIDS[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$EVENTS_DIR"
}

# start_receiver [OPTION...]: RECEIVER_PID, and $PORT on the loopback interface
start_receiver() {
    rm -f "$RECEIVER/port"
    touch "$RECEIVER/requests" "$RECEIVER/received"
    /usr/bin/python3 "$TESTS/lib/event_receiver.py" "$RECEIVER" "$@" >"$RECEIVER/out" 2>&1 3>&- &
    RECEIVER_PID=$!
    EVENT_PIDS+=("$!")
    wait_for test -s "$RECEIVER/port"
    PORT=$(cat "$RECEIVER/port")
}

# faults WORD...: what the receiver does wrong from now on
faults() { echo "$*" >"$RECEIVER/faults"; }

requests() { jq -r "$1" "$RECEIVER/requests"; }

# step ID [TOKEN-FILE]: a step's directory as $DIR, with an empty log, whose events go to $PORT
step() {
    DIR=$STEPS/$1 COPY=$EVENTS_DIR/$1.log
    mkdir -m 700 "$DIR"
    touch "$DIR/lock" "$DIR/events.ndjson" "$COPY"
    jq -n --arg url "${SCHEME:-http}://127.0.0.1:$PORT/in?of=$1" --arg token "${2:-}" \
        '{schema: "stepcell.target/1", url: $url, token_file: (if $token == "" then null else $token end)}' \
        >"$DIR/target.json"
    chown -R "$(caller_name):" "$DIR"
}

# write_events FROM TO [LENGTH]: into the log, and into $COPY, which stays
write_events() {
    awk -v from="$1" -v to="$2" -v len="${3:-1}" 'BEGIN {
        for (text = "x"; length(text) < len; text = text text)
            ;
        for (i = from; i <= to; i++)
            print "{\"seq\":" i ",\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"" substr(text, 1, len) "\"}"
    }' | tee -a "$COPY" >>"$DIR/events.ndjson"
}

# write_end SEQ: the last event
write_end() {
    printf '{"seq":%d,"type":"step.finished","result":{"outcome":"exited"}}\n' "$1" |
        tee -a "$COPY" >>"$DIR/events.ndjson"
}

# hold_lock: as the writer of the log does, by WRITER_PID
hold_lock() {
    rm -f "$EVENTS_DIR/held"
    /usr/bin/python3 -c 'import fcntl, sys, time
lock = open(sys.argv[1] + "/lock", "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
open(sys.argv[2], "w")
time.sleep(300)' "$DIR" "$EVENTS_DIR/held" 3>&- &
    WRITER_PID=$!
    EVENT_PIDS+=("$!")
    wait_for test -e "$EVENTS_DIR/held"
}

# let_go: the writer is killed
let_go() {
    kill -9 "$WRITER_PID"
    wait "$WRITER_PID" || true
}

# deliver: in the foreground
deliver() { as timeout 60 "$EVENTS" "$DIR"; }

# deliver_beside: as root in the background, by DELIVERER_PID; what it says is in $EVENTS_DIR/said
deliver_beside() {
    "$EVENTS" "$DIR" >"$EVENTS_DIR/said" 2>&1 </dev/null 3>&- &
    DELIVERER_PID=$!
    EVENT_PIDS+=("$!")
}

# deliverer_ends STATUS: within ten seconds or so
deliverer_ends() {
    local status=0
    wait_for deliverer_is_gone
    wait "$DELIVERER_PID" || status=$?
    assert_equal "status of the deliverer" "$status" "$1"
}

deliverer_is_gone() { ! kill -0 "$DELIVERER_PID" 2>/dev/null; }

# has_received COUNT: so many lines, duplicates included
has_received() { [ "$(wc -l <"$RECEIVER/received")" -ge "$1" ]; }

# assert_delivered: everything that was written has come, in order, without a gap; duplicates apart
assert_delivered() { cmp <(awk '!seen[$0]++' "$RECEIVER/received") "$COPY"; }

assert_no_duplicates() { cmp "$RECEIVER/received" "$COPY"; }

acked() { jq -c '[.offset, .seq]' "$DIR/acked"; }
