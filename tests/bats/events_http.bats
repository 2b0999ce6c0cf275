# The event log of a step, delivered to an HTTP receiver by stepcell-events.

load ../lib/common
load ../lib/registry
load ../lib/faults
load ../lib/events # its `faults` is another one

setup() { events_setup; }

teardown() { events_teardown; }

@test "events arrive in order and once, and the directory goes" {
    arrive() {
        events_teardown
        events_setup
        start_receiver
        step a.1
        write_events 0 4999
        write_end 5000
        deliver
        assert_no_duplicates
        [ ! -e "$DIR" ]
        assert_equal types "$(requests .type | sort -u)" application/x-ndjson
        assert_equal steps "$(requests .step | sort -u)" a.1
        assert_equal paths "$(requests .path | sort -u)" "/in?of=a.1"
        assert_equal tokens "$(requests .authorization | sort -u)" null
        assert_equal "whole lines" "$(requests .whole | sort -u)" true
    }
    each_caller arrive
}

@test "a durable step's directory stays, and says how far its receiver is" {
    start_receiver
    step one
    touch "$DIR/ledger"
    write_events 0 9
    write_end 10
    deliver
    assert_no_duplicates
    assert_equal acked "$(acked)" "[$(stat -c %s "$COPY"),10]"
    cmp "$DIR/events.ndjson" "$COPY"
    # Once more: there is nothing to do.
    deliver
    assert_equal requests "$(requests .answer | wc -l)" 1
}

@test "a directory with a file that is not ours stays as it is" {
    start_receiver
    step one
    write_end 0
    touch "$DIR/notes.txt"
    run -125 deliver
    assert_match "$output" "*'notes.txt'*"
    assert_no_duplicates
    [ -e "$DIR/events.ndjson" ]
    rm "$DIR/notes.txt"
    touch "$DIR/target.json.tmp0badcafe" "$DIR/result.json"
    deliver
    [ ! -e "$DIR" ]
    assert_no_duplicates
}

@test "a removal that was killed is finished, and nothing is sent again" {
    start_receiver
    step one
    write_end 0
    echo "{\"offset\": $(stat -c %s "$COPY"), \"seq\": 0}" >"$DIR/acked"
    rm "$DIR/events.ndjson"
    deliver
    [ ! -e "$DIR" ]
    mkdir "$DIR"
    touch "$DIR/deliverer"
    deliver
    [ ! -e "$DIR" ]
    # Not removed: what never had a log, and what was confirmed to its end is removed.
    step two
    rm "$DIR/events.ndjson"
    run -125 deliver
    [ -e "$DIR/target.json" ]
    write_end 0
    echo "{\"offset\": $(stat -c %s "$COPY"), \"seq\": 0}" >"$DIR/acked"
    deliver
    [ ! -e "$DIR" ]
    assert_equal requests "$(requests .answer)" ""
}

@test "events come while they are written, five times a second at the most, and the end at once" {
    local i
    start_receiver
    step one
    hold_lock
    deliver_beside
    sleep 0.3
    write_events 0 0
    wait_for has_received 1
    for i in $(seq 1 200); do
        write_events "$i" "$i"
    done
    wait_for has_received 201
    write_events 201 201
    write_end 202
    deliverer_ends 0
    assert_no_duplicates
    [ ! -e "$DIR" ]
    # Before the last request nothing was waited for. Each other one comes a fifth of a second after the one before; the
    # receiver may see the first and the last of them a little late.
    requests .time | awk '{ time[NR] = $1 } END { exit !(NR > 6 && NR - 2 <= 5 * (time[NR - 1] - time[1]) + 1) }' || {
        requests .time
        return 1
    }
}

@test "a log to which nothing is written costs no processor time" {
    local before after
    start_receiver
    step one
    hold_lock
    write_events 0 9
    deliver_beside
    wait_for has_received 10
    sleep 0.5
    before=$(awk '{ print $14 + $15 }' "/proc/$DELIVERER_PID/stat")
    sleep 3
    after=$(awk '{ print $14 + $15 }' "/proc/$DELIVERER_PID/stat")
    echo "ticks: $((after - before))"
    [ $((after - before)) -le 2 ]
    write_end 10
    deliverer_ends 0
    assert_no_duplicates
}

@test "an unfinished line waits for its end" {
    start_receiver
    step one
    hold_lock
    write_events 0 2
    printf '{"seq":3,"type":"output",' >>"$DIR/events.ndjson"
    deliver_beside
    wait_for has_received 3
    sleep 0.5
    assert_equal lines "$(wc -l <"$RECEIVER/received")" 3
    printf '"text":"x"}\n' >>"$DIR/events.ndjson"
    printf '{"seq":3,"type":"output","text":"x"}\n' >>"$COPY"
    wait_for has_received 4
    # Cut off and written anew, as it is done for a writer that was killed.
    printf '{"seq":4,"type":"output","text":"a long one' >>"$DIR/events.ndjson"
    sleep 0.5
    truncate -s "$(stat -c %s "$COPY")" "$DIR/events.ndjson"
    write_end 4
    deliverer_ends 0
    assert_no_duplicates
    assert_equal whole "$(requests .whole | sort -u)" true
}

@test "whatever a receiver answers but 2xx is tried again, and nothing is left out" {
    start_receiver
    step one
    faults refuse 500 429/1 401
    write_events 0 999
    hold_lock
    deliver_beside
    wait_for has_received 1000
    faults 403 404 302 503
    write_events 1000 1999
    wait_for has_received 2000
    faults =204
    write_end 2000
    deliverer_ends 0
    assert_no_duplicates
    assert_equal answers "$(requests .answer | paste -sd' ')" "refuse 500 429/1 401 200 403 404 302 503 200 =204"
    # Retry-After was honoured.
    requests .time | awk 'NR == 4 && $1 - last < 1 { exit 1 } { last = $1 }'
    assert_match "$(cat "$EVENTS_DIR/said")" "*the receiver answers 503; trying again*"
}

@test "an answer that does not arrive makes duplicates of its batch alone" {
    local first
    start_receiver
    step one
    faults cut =503
    write_events 0 99
    hold_lock
    deliver_beside
    wait_for has_received 300
    write_end 100
    deliverer_ends 0
    assert_delivered
    assert_equal lines "$(wc -l <"$RECEIVER/received")" 301
    first=$(head -n 100 "$COPY")
    assert_equal "first batch" "$(head -n 100 "$RECEIVER/received")" "$first"
    assert_equal "second try" "$(sed -n 101,200p "$RECEIVER/received")" "$first"
}

@test "a receiver that is away gets everything when it is back" {
    PORT=$(free_port)
    step one
    hold_lock
    write_events 0 99
    deliver_beside
    sleep 1
    start_receiver --port "$PORT"
    wait_for has_received 100
    kill -9 "$RECEIVER_PID"
    write_events 100 149
    sleep 1
    write_events 150 199
    start_receiver --port "$PORT"
    write_end 200
    wait_for has_received 201
    deliverer_ends 0
    assert_no_duplicates
}

@test "a receiver that accepts and never answers is tried again after ten seconds" {
    start_receiver
    step one
    faults hang
    write_end 0
    deliver
    assert_no_duplicates
    requests .time | awk 'NR == 2 { waited = $1 - last; print waited; exit !(waited > 9 && waited < 15) } { last = $1 }'
}

@test "a receiver that takes its time is waited for" {
    start_receiver
    step one
    faults slow
    write_end 0
    deliver
    assert_no_duplicates
    assert_equal requests "$(requests .answer)" slow
}

@test "a token is read for each request" {
    start_receiver
    local token=$EVENTS_DIR/token
    step one "$token"
    faults token:first
    hold_lock
    write_events 0 9
    deliver_beside
    # Not there yet, then with line ends, then another.
    wait_for grep -q "cannot read '$token'" "$EVENTS_DIR/said"
    assert_equal requests "$(requests .answer)" ""
    printf 'first\r\n\n' >"$token"
    wait_for has_received 10
    faults token:second
    write_events 10 19
    wait_for grep -q 401 "$RECEIVER/requests"
    printf second >"$token"
    write_end 20
    wait_for has_received 21
    deliverer_ends 0
    assert_no_duplicates
    assert_equal tokens "$(requests .authorization | uniq | paste -sd,)" "Bearer first,Bearer second"
    ! grep -E 'first|second' "$EVENTS_DIR/said"
}

@test "a token file that holds anything else is not sent" {
    start_receiver
    local token=$EVENTS_DIR/token
    step one "$token"
    write_end 0
    printf 'a\nX-Other: b\n' >"$token"
    deliver_beside
    wait_for grep -q "not valid" "$EVENTS_DIR/said"
    printf 'a\0b' >"$token"
    wait_for grep -q "holds no token" "$EVENTS_DIR/said"
    head -c 70000 /dev/zero | tr '\0' x >"$token"
    wait_for grep -q "larger than" "$EVENTS_DIR/said"
    assert_equal requests "$(requests .answer)" ""
    echo good >"$token"
    deliverer_ends 0
    assert_no_duplicates
}

@test "413 makes batches smaller, and an event that is too large alone waits" {
    start_receiver
    step one
    faults max:20000
    hold_lock
    write_events 0 999 100
    deliver_beside
    wait_for has_received 1000
    assert_equal "too large" "$(requests 'select(.answer == "413" or .bytes > 20000) | .bytes' | wc -l)" 3
    write_events 1000 1000 30000
    write_events 1001 1001
    sleep 1
    assert_equal lines "$(wc -l <"$RECEIVER/received")" 1000
    faults max:40000
    write_end 1002
    deliverer_ends 0
    assert_no_duplicates
}

@test "a batch has a mebibyte at the most, a longer event goes alone" {
    start_receiver
    step one
    write_events 0 29999 100
    write_events 30000 30000 3000000
    write_events 30001 30002
    write_end 30003
    deliver
    assert_no_duplicates
    assert_equal "larger ones" "$(requests 'select(.bytes > 1048576) | .lines')" 1
    # And they are not smaller than they need to be.
    [ "$(requests .answer | wc -l)" -le 8 ]
}

@test "kill -9 at any moment loses nothing" {
    local i
    start_receiver
    step one
    hold_lock
    write_events 0 99
    (
        for i in $(seq 1 60); do
            write_events $((i * 100)) $((i * 100 + 99)) 1000
            sleep 0.1
        done
        write_end 6100
    ) 3>&- &
    EVENT_PIDS+=("$!")
    for i in $(seq 1 25); do
        deliver_beside
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        kill -9 "$DELIVERER_PID" 2>/dev/null || true
        wait "$DELIVERER_PID" || true
        [ -e "$DIR" ] || break
        touch "$DIR/acked.tmp0000000$((i % 10))"
    done
    wait_for grep -q step.finished "$COPY"
    if [ -e "$DIR" ]; then
        deliver_beside
        deliverer_ends 0
    fi
    assert_delivered
    [ ! -e "$DIR" ]
}

@test "what was confirmed is known to the next one" {
    start_receiver
    step one
    hold_lock
    write_events 0 99
    deliver_beside
    wait_for has_received 100
    wait_for test -e "$DIR/acked"
    kill -9 "$DELIVERER_PID"
    wait "$DELIVERER_PID" || true
    assert_equal acked "$(acked)" "[$(stat -c %s "$COPY"),99]"
    write_end 100
    deliver
    assert_no_duplicates
    # What says nothing of use is as good as none: all of it comes again.
    for text in '{"offset": 5, "seq": 1}' '{"offset": 99999999, "seq": 1}' '{"offset": -1, "seq": 0}' 'x' ''; do
        rm -f "$RECEIVER/received"
        step "other-${#text}"
        write_events 0 9
        write_end 10
        echo "$text" >"$DIR/acked"
        deliver
        assert_no_duplicates
    done
}

@test "TERM ends it at once, and the next one goes on" {
    start_receiver
    step one
    faults hang
    write_end 0
    deliver_beside
    wait_for grep -q hang "$RECEIVER/requests"
    kill "$DELIVERER_PID"
    deliverer_ends 143
    deliver
    assert_no_duplicates
    [ ! -e "$DIR" ]
}

@test "of two deliverers one ends at once" {
    start_receiver
    step one
    hold_lock
    write_events 0 9
    deliver_beside
    wait_for has_received 10
    run -0 timeout 2 "$EVENTS" "$DIR"
    assert_equal output "$output" ""
    write_end 10
    deliverer_ends 0
    assert_no_duplicates
}

@test "a writer that was killed: what is there arrives, and no end is made up" {
    start_receiver
    step one
    hold_lock
    write_events 0 9
    printf '{"seq":10,' >>"$DIR/events.ndjson"
    deliver_beside
    wait_for has_received 10
    sleep 2.5
    # It waits as long as the lock is held, however long that is.
    kill -0 "$DELIVERER_PID"
    let_go
    deliverer_ends 3
    assert_no_duplicates
    [ -e "$DIR/events.ndjson" ]
    # Recovered: the line that was cut is gone, the end is written, the deliverer is started again.
    truncate -s "$(stat -c %s "$COPY")" "$DIR/events.ndjson"
    write_end 10
    deliver
    assert_no_duplicates
    [ ! -e "$DIR" ]
}

@test "a lock that is handed on is no death of the writer" {
    start_receiver
    step one
    hold_lock
    write_events 0 9
    deliver_beside
    wait_for has_received 10
    let_go
    sleep 1
    hold_lock
    sleep 4
    kill -0 "$DELIVERER_PID"
    write_end 10
    deliverer_ends 0
    assert_no_duplicates
}

@test "a log of 300 megabytes needs no more memory than a short one" {
    local kib
    EVENTS=${STEPCELL_RELEASE%/bin/*}/libexec/stepcell/stepcell-events
    start_receiver
    step one
    write_events 0 299999 1000
    write_end 300000
    as time --quiet -f %M -o "$EVENTS_DIR/peak" "$EVENTS" "$DIR"
    assert_no_duplicates
    kib=$(tail -n 1 "$EVENTS_DIR/peak")
    echo "peak: $kib KiB"
    [ "$kib" -le 24576 ]
}

@test "https needs a certificate of an authority that is trusted; SSL_CERT_FILE names one more" {
    FAULTS_DIR=$EVENTS_DIR
    make_authority
    make_certificate server IP:127.0.0.1
    start_receiver --tls "$CERTS/server.cert" "$CERTS/server.key"
    SCHEME=https step one
    write_end 0
    deliver_beside
    wait_for grep -q certificate "$EVENTS_DIR/said"
    kill "$DELIVERER_PID"
    deliverer_ends 143
    assert_equal requests "$(requests .answer)" ""
    export SSL_CERT_FILE=$CERTS/none.crt
    deliver_beside
    wait_for grep -q "SSL_CERT_FILE: cannot read" "$EVENTS_DIR/said"
    kill "$DELIVERER_PID"
    deliverer_ends 143
    export SSL_CERT_FILE=$CERTS/ca.crt
    deliver
    assert_no_duplicates
}

@test "what cannot be delivered says why" {
    start_receiver
    step one
    write_end 0
    run -125 "$EVENTS"
    assert_match "$output" "*usage: stepcell-events DIR*"
    run -125 "$EVENTS" "$DIR.none"
    assert_match "$output" "*cannot open the directory*"
    for text in '{' '[]' '{"schema": "stepcell.target/2", "url": "http://x"}' '{"schema": "stepcell.target/1"}'; do
        echo "$text" >"$DIR/target.json"
        run -125 deliver
        assert_match "$output" "*'target.json'*"
    done
    rm "$DIR/target.json"
    run -125 deliver
    cmp "$DIR/events.ndjson" "$COPY"
}
