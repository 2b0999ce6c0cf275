# --events: what a receiver is told of a step, wherever it listens, however it listens.

load ../lib/common
load ../lib/registry
load ../lib/events
load ../lib/steps

setup() { events_setup; }
teardown() {
    [ -z "${REGISTRY_PID:-}" ] || stop_registry
    events_teardown
}

# check FILE: the events in it are those of one step, whole and right, and end with the result in $RESULT
check() {
    /usr/bin/python3 "$TESTS/lib/check_events.py" "$TESTS/../docs/events.md" "$1" >"$EVENTS_DIR/told" || {
        cat "$1"
        return 1
    }
    diff <(jq -S . "$EVENTS_DIR/told") <(jq -S . "$RESULT")
}

# told FILTER: of the events in ../events
told() { jq -r "$1" ../events; }
types() { told .type | uniq | paste -sd' '; }

# cell_events OPTION... -- COMMAND...: a step with its events in ../events, which are right
cell_events() {
    status=0
    cell --events file:../events "$@" >../out 2>../err || status=$?
    check ../events
}

# listen HOW: a receiver at ../socket, which writes to ../events
listen() {
    rm -f ../socket ../events
    /usr/bin/python3 "$TESTS/lib/event_socket.py" "$1" ../socket ../events 3>&- &
    EVENT_PIDS+=("$!")
    LISTENER=$!
    wait_for test -S ../socket
}

@test "every kind of target gets the same" {
    targets() {
        local shape='{type, stream, text, image, workdir, engine}'
        cell -- true
        cell_events -- sh -c 'echo one; sleep 0.2; echo two >&2'
        told "$shape" >../expected
        assert_equal types "$(types)" "step.accepted image.resolved cell.started output step.finished"
        cell --events fd:7 -- sh -c 'echo one; sleep 0.2; echo two >&2' 7>../events
        check ../events
        diff <(told "$shape") ../expected
        (cell --events fd:7 -- sh -c 'echo one; sleep 0.2; echo two >&2') 7> >(cat >../events)
        wait_for grep -q step.finished ../events
        check ../events
        diff <(told "$shape") ../expected
        listen all
        # A step may have made the link.
        as ln -s ../socket link
        run -125 --separate-stderr cell --events unix:link -- true
        assert_match "$stderr" "*'unix:link'*hint: no link is followed*"
        cell --events unix:../socket -- sh -c 'echo one; sleep 0.2; echo two >&2'
        wait "$LISTENER"
        check ../events
        diff <(told "$shape") ../expected
    }
    each_caller targets
}

@test "the events of all kinds of steps are right" {
    kinds() {
        cell -- true # whose image is there from now on
        cell_events -- true
        assert_equal types "$(types)" "step.accepted image.resolved cell.started step.finished"
        cell_events -- sh -c 'echo out; echo err >&2; exit 7'
        assert_equal status "$status" 7
        cell_events -- sh -c 'kill -SEGV $$'
        cell_events --timeout 300ms -- sleep 10
        assert_equal status "$status" 124
        cell_events -- no-such-command
        assert_equal status "$status" 127
        cell_events -- sh -c 'sleep 100 & sleep 0.3'
        assert_match "$(told 'select(.type == "warning") | .message')" "killed 'sleep'*"
        cell_events -- printf 'no line end'
        cell_events -- printf '\377\376 no text \303'
        cell_events --secret-env HOME -- sh -c 'echo $HOME'
        cell_events --verbose --quiet -- true
        cell_events -- sh -c 'head -c 3000000 /dev/urandom; head -c 1000000 /dev/zero >&2'
        assert_equal "bytes" "$(result_field '.output.stdout.bytes, .output.stderr.bytes' | paste -sd' ')" "3000000 1000000"
    }
    refused() {
        cell_events --package /no/such/package -- true
        assert_equal types "$(types)" "step.accepted step.finished"
        cell_events --volume "$WORK:/proc" -- true
        IMAGE=oci:$IMAGES/busybox:entrypoint cell_events -- true
        assert_equal code "$(told 'select(.type == "step.finished") | .result.error.code')" image.entrypoint
        IMAGE=oci:/no/such/layout cell_events -- true
        IMAGE='Not A Reference' cell_events -- true
        cell_events --secret-env NO_SUCH_VARIABLE -- true || true
    }
    each_caller kinds
    each_caller refused
}

@test "a working directory of any bytes is told" {
    bytes() {
        local name=$'\xff\xfe "dir"\n'
        as mkdir "$name"
        cd "$name"
        WORK=$WORK/$name
        status=0
        cell --events file:../../events -- echo x || status=$?
        cd ..
        WORK=${WORK%/*}
        assert_equal status "$status" 0
        check ../events
        assert_match "$(told 'select(.type == "cell.started") | .workdir')" '*\\xff\\xfe "dir"*'
    }
    each_caller bytes
}

@test "text is text whatever the writes cut, and anything else is base64" {
    cut() {
        # é in two writes, 😀 in four, an end without its rest, a beginning that is none.
        cell_events -- sh -c 'p() { printf "$1"; sleep 0.1; }
            p "a\303"; p "\251b\n"; p "\360"; p "\237"; p "\230"; p "\200\n"; p "x\303"; p "y\n"; p "\200\n"; printf "end\342\202"'
        cmp <(printf 'a\303\251b\n\360\237\230\200\nx\303y\n\200\nend\342\202') ../out
        assert_equal texts "$(told 'select(.type == "output" and .text) | .text' | tr -d '\n')" "aéb😀xyend"
        assert_equal base64 "$(told 'select(.type == "output" and .base64) | .base64' | paste -sd' ')" "ww== gAo= 4oI="
        cell_events -- printf 'a\000b'
        assert_equal base64 "$(told 'select(.type == "output").base64')" YQBi
        # Characters of three bytes across the borders of all reads.
        cell_events -- sh -c 'yes "€" | head -c 4000000'
        assert_equal "events of base64" "$(told 'select(.base64).seq')" ""
    }
    each_caller cut
}

@test "a receiver that is slow loses nothing" {
    slow() {
        listen slow
        cell --events unix:../socket -- sh -c 'yes 0123456789 | head -c 5000000' >../out
        wait "$LISTENER"
        check ../events
        cell --events fd:7 -- sh -c 'yes 0123456789 | head -c 5000000' >../out 7> >(
            sleep 1
            cat >../events
        )
        wait_for grep -q step.finished ../events
        check ../events
    }
    each_caller slow
}

@test "a receiver that goes away stops nothing, and it is said what it did not get" {
    gone() {
        local command='echo first; sleep 0.3; yes | head -c 3000000; echo done >finished'
        listen gone
        run -0 --separate-stderr cell --events unix:../socket -- sh -c "$command"
        [ -e finished ]
        assert_match "$stderr" "*stepcell: * bytes of events were not delivered to 'unix:../socket'*"
        assert_equal bytes "$(result_field '.output.stdout | [.bytes, .lost_bytes] | @csv')" "3000006,"
        rm finished
        run -0 --separate-stderr cell --events fd:7 -- sh -c "$command" 7> >(head -c 10 >/dev/null)
        [ -e finished ]
        assert_match "$stderr" "*stepcell: * bytes of events were not delivered to 'fd:7'*"
        # A disk that is full is such a receiver.
        run -0 --separate-stderr cell --events file:/dev/full -- sh -c "$command"
        assert_match "$stderr" "*stepcell: * bytes of events were not delivered to 'file:/dev/full'*"
    }
    each_caller gone
}

# stuck_step COMMAND OPTION...: in the background, with a receiver at descriptor 7 that never reads; its process
# is $STEP, once the command has made the file `started`
stuck_step() {
    local command=$1
    shift
    rm -f started
    # Held open for reading too, so that it is neither read nor gone.
    [ -p ../fifo ] || as mkfifo ../fifo
    as sh -c 'echo $$ >../pid; exec env --default-signal=INT "$@"' sh "$STEPCELL" run --quiet --result "$RESULT" \
        --workdir "$WORK" --events fd:7 --grace 1s "$@" "$IMAGE" -- sh -c "$command" >../out 2>&1 7<>../fifo 3>&- &
    BACKGROUND=$!
    wait_for test -e started
    STEP=$(cat ../pid)
}

@test "output variables that a receiver does not take are lost to it alone, and the result is written" {
    many() {
        # Six bytes each in JSON: more than the queue holds.
        stuck_step 'touch started; head -c 70000 /dev/zero | tr "\0" "\1" >value
            i=0; while [ $i -lt 200 ]; do echo "A<<END"; cat value; echo; echo END; i=$((i + 1)); done >"$STEPCELL_OUTPUT"'
        ended "$BACKGROUND"
        assert_equal status "$status" 0
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal outputs "$(result_field '.outputs | keys | join(" ")')" A
    }
    as_caller many
}

@test "a receiver that never reads keeps neither a cancellation nor a timeout from its end" {
    stuck() {
        local start
        stuck_step 'touch started; yes'
        sleep 0.3
        start=$EPOCHREALTIME
        kill -TERM "$STEP"
        ended "$BACKGROUND"
        assert_equal status "$status" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 10000000 ]
        # The command has ended, and only the events are left.
        stuck_step 'touch started; yes | head -c 300000'
        sleep 1
        kill -TERM "$STEP"
        ended "$BACKGROUND"
        assert_equal outcome "$(result_field .outcome)" exited
        stuck_step 'touch started; yes' --timeout 1s
        ended "$BACKGROUND"
        assert_equal status "$status" 124
    }
    each_caller stuck
}

@test "a reader of the output that reads nothing costs a file of events nothing" {
    stuck_output() {
        rm -f started
        [ -p ../fifo ] || as mkfifo ../fifo
        as sh -c 'echo $$ >../pid; exec "$@"' sh "$STEPCELL" run --quiet --result "$RESULT" --workdir "$WORK" \
            --events file:../e.ndjson --grace 1s "$IMAGE" -- sh -c 'touch started; seq 100000' 1<>../fifo 3>&- &
        BACKGROUND=$!
        wait_for test -e started
        sleep 0.3
        kill -TERM "$(cat ../pid)"
        ended "$BACKGROUND"
        assert_equal status "$status" 143
        assert_equal last "$(tail -n 1 ../e.ndjson | jq -r '.type, (.result.output.stdout | .bytes + .lost_bytes)' | xargs)" \
            "step.finished $(jq -j 'select(.type == "output").text' ../e.ndjson | wc -c)"
    }
    each_caller stuck_output
}

@test "what cannot be a target is refused before anything starts" {
    refused() {
        local target fd before
        before=$(ls "$TEST_DIR/store/$CALLER/steps" 2>/dev/null || true)
        for target in fd: fd:x fd:-1 fd:99 file: file:/no/such/dir/file unix: unix:/no/such/socket nothing: '' \
            "unix:/$(printf '%0200d' 0)" http:// "file:$WORK"; do
            run --separate-stderr cell --events "$target" -- touch ran
            echo "target '$target': $stderr"
            assert_refused option.invalid
        done
        # Whatever is open in stepcell itself was not opened by its caller.
        for fd in $(seq 8 30); do
            # Without an image, which saves looking into a cell for each.
            IMAGE=oci:/nonexistent run --separate-stderr cell --events "fd:$fd" -- touch ran
            assert_refused option.invalid
        done
        run --separate-stderr cell --events fd:7 -- touch ran 7</dev/null
        assert_refused option.invalid
        [ ! -e ran ]
        assert_equal "directories of steps" "$(ls "$TEST_DIR/store/$CALLER/steps")" "$before"
    }
    each_caller refused
}

@test "a pull is told of, and what a registry warns of" {
    start_registry
    skopeo copy -q --insecure-policy --dest-tls-verify=false "oci:$IMAGES/busybox:latest" "docker://$REGISTRY/tools:1"
    pull() {
        as mkdir ../fresh-store
        IMAGE=$REGISTRY/tools:1 cell_events --store "$(realpath ../fresh-store)" -- true
        cat ../err
        assert_equal status "$status" 0
        assert_equal types "$(types)" \
            "step.accepted image.progress image.resolved cell.started step.finished"
        told 'select(.type == "image.progress") | [.bytes <= .total, .layers <= .layers_total, .layers_total] | @csv' |
            grep -qx 'true,true,1'
        assert_equal layers "$(told 'select(.type == "image.progress") | .layer // empty | .bytes > 0 and .ms > 0')" true
    }
    each_caller pull
}

@test "an HTTP receiver gets everything, when it was away, too, and the directory goes" {
    http() {
        local store=$TEST_DIR/store/$CALLER
        events_teardown
        events_setup
        start_receiver
        cell --events "http://127.0.0.1:$PORT/in" -- sh -c 'echo one; head -c 300000 /dev/urandom; exit 0' >../out
        check "$RECEIVER/received"
        assert_equal steps "$(requests .step | sort -u)" "$(result_field .id)"
        # Away from the first event on, and for a while.
        kill -9 "$RECEIVER_PID"
        rm "$RECEIVER/received"
        cell --events "http://127.0.0.1:$PORT/in" -- sh -c 'echo while it was away' >../out 2>../err
        assert_match "$(cat ../err)" "*events are still being delivered*"
        start_receiver --port "$PORT"
        finished() { grep -qs step.finished "$RECEIVER/received"; }
        wait_for finished
        check "$RECEIVER/received"
        is_gone() { [ ! -e "$store/steps/$(result_field .id)" ]; }
        wait_for is_gone
    }
    each_caller http
}

@test "an HTTP receiver gets the token of a file, and the events of a durable step" {
    token() {
        events_teardown
        events_setup
        start_receiver
        faults token:t0ken-of-the-test
        as sh -c 'echo t0ken-of-the-test >../token'
        new_id
        cell --id "$ID" --events "http://127.0.0.1:$PORT/in" --events-token-file ../token -- sh -c 'echo durable' >../out
        finished() { grep -qs step.finished "$RECEIVER/received"; }
        wait_for finished
        check "$RECEIVER/received"
        assert_equal tokens "$(requests .authorization | sort -u)" "Bearer t0ken-of-the-test"
        stepcell logs --json --id "$ID" >../logs
        cmp ../logs "$RECEIVER/received"
        stepcell forget --id "$ID"
        # A step that is refused has events as well.
        rm "$RECEIVER/received"
        run -125 cell --events "http://127.0.0.1:$PORT/in" --events-token-file ../token --package /no/such -- true
        wait_for finished
        check "$RECEIVER/received"
    }
    each_caller token
}
