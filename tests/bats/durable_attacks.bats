# Durable steps under attack: disks that are full, read-only or damaged, processes that do not end, callers that
# break off, and everybody at once. Each time: never run twice, never a success that was not seen, nobody hangs.

load ../lib/common
load ../lib/steps
load ../lib/events

setup() { DISK='' EVENT_PIDS=(); }
teardown() {
    [ -z "$DISK" ] || umount --lazy "$DISK"
    [ -z "${EVENTS_DIR:-}" ] || events_teardown
}

# asking COMMAND...: status and output of a command of stepcell that must not take longer than 30 seconds
asking() { asking_by "$STEPCELL" "$@"; }
asking_by() { run --separate-stderr as timeout -k 5 30 "$@"; }

# lost COMMAND...: a step of which the supervisor is killed while it runs
lost() {
    new_id
    started "$@"
    wait_for test -e started
    kill -KILL "$(supervisor)"
}

# last_record: of the ledger
last_record() { jq -rs '.[-1].record' "$(step_dir)/ledger"; }

@test "a process of another boot, or with a number that was given out again, is not waited for" {
    others() {
        local change start
        for change in '.boot = "another"' '.start = 1'; do
            rm -f started
            lost sh -c 'touch started; sleep 60'
            # This shell lives on.
            jq -c "if .record == \"started\" then .pid = $$ | .start = $(cut -d' ' -f22 /proc/$$/stat) | $change else . end" \
                "$(step_dir)/ledger" >../ledger
            as sh -c 'cat ../ledger >"$1"' sh "$(step_dir)/ledger"
            start=$SECONDS
            asking wait --id "$ID" --result "$RESULT"
            assert_equal status "$status" 125
            [ $((SECONDS - start)) -lt 5 ]
            assert_equal verified "$(result_field .cleanup.verified)" true
        done
    }
    as_caller others
}

@test "a ledger that cannot be understood is an error for everybody, until it is forgotten" {
    garbage() {
        local text
        for text in 'garbage' '{"record":"of another version"}' '{"record":"accepted"'; do
            new_id
            durable true
            as sh -c 'echo "$2" >>"$1"' sh "$(step_dir)/ledger" "$text"
            for command in status logs wait cancel; do
                asking $command --id "$ID"
                assert_equal "$command" "$status" 125
            done
            run -125 --separate-stderr durable true
            stepcell forget --id "$ID"
            run -125 stepcell status --id "$ID"
        done
    }
    as_caller garbage
}

@test "a ledger that has lost its records starts nothing a second time" {
    shortened() {
        local keep
        for keep in 0 1 2; do
            new_id
            rm -f starts
            durable sh -c 'echo started >>starts'
            as sh -c 'head -n "$2" "$1" >../short; cat ../short >"$1"; rm "${1%/*}/result.json"' sh "$(step_dir)/ledger" "$keep"
            run --separate-stderr durable sh -c 'echo started >>starts'
            [ "$status" = 0 ] || [ "$status" = 125 ]
            assert_equal starts "$(wc -l <starts)" 1
            asking status --id "$ID"
            assert_match "$output" "finished *"
        done
    }
    as_caller shortened
}

@test "a damaged event log is an error for who reads it, and the result is known all the same" {
    damaged() {
        local how
        for how in 'echo garbage >>"$1"' 'head -c 20 "$1" >../x; cat ../x >"$1"' ': >"$1"' 'printf "\000\377\n" >"$1"'; do
            new_id
            run -3 durable sh -c 'echo out; exit 3'
            as sh -c "head -n 2 \"\$1\" >../x; cat ../x >\"\$1\"; $how" sh "$(step_dir)/events.ndjson"
            asking wait --id "$ID"
            assert_equal "wait" "$status" 3
            asking status --id "$ID"
            assert_equal "status" "$output" "finished exited 3"
            asking logs --id "$ID"
            assert_equal "logs" "$status" 125
            asking logs --follow --id "$ID"
            assert_equal "logs --follow" "$status" 125
            asking run --id "$ID" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- sh -c 'echo out; exit 3'
            assert_equal "run" "$status" 125
            assert_equal "outcome" "$(result_field .outcome)" unknown
        done
    }
    as_caller damaged
}

@test "a step whose supervisor was killed is settled although its event log is damaged" {
    both() {
        lost sh -c 'echo out; touch started; sleep 60'
        as sh -c 'echo garbage >>"$1"' sh "$(step_dir)/events.ndjson"
        asking wait --id "$ID" --result "$RESULT"
        assert_equal status "$status" 125
        assert_equal outcome "$(result_field .outcome)" unknown
        assert_equal lines "$(result_field .output.stdout.lines)" null
        stepcell forget --id "$ID"
    }
    as_caller both
}

# small_disk: a file system of 24 MB as $DISK, with the image on it
small_disk() {
    DISK=${WORK%/*}/disk
    mkdir "$DISK"
    truncate -s 24M ../disk.img
    mke2fs -q -t ext4 -m 0 ../disk.img
    mount -o loop ../disk.img "$DISK"
    chown "$(caller_name)" "$DISK"
    stepcell run --store "$DISK/s" --workdir "$WORK" "$IMAGE" true
}

@test "a full disk fails a step at whichever record, and nothing is run twice" {
    full() {
        local free
        small_disk
        for free in 0 1 2 4 8 12 16 32; do
            new_id
            rm -f starts
            # shellcheck disable=SC2016 # for the inner shell
            as sh -c 'head -c 100M /dev/zero >"$1/filler" 2>/dev/null; truncate -s -"$2"K "$1/filler"' sh "$DISK" "$((free * 4))" || true
            asking run --store "$DISK/s" --id "$ID" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- \
                sh -c 'echo started >>starts; seq 2000; exit 7'
            echo "with $free blocks: $status $(jq -c '[.outcome, .error.message]' "$RESULT")"
            [ "$status" = 7 ] || [ "$status" = 125 ]
            rm -f "$DISK/filler"
            local starts=0
            [ ! -e starts ] || starts=$(wc -l <starts)
            [ "$starts" -le 1 ]
            local before=$status
            asking run --store "$DISK/s" --id "$ID" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- \
                sh -c 'echo started >>starts; seq 2000; exit 7'
            echo "with room: $status $(jq -c '[.outcome, .error.message]' "$RESULT")"
            [ "$before" != 7 ] || assert_equal again "$status" 7
            [ "$starts" = 0 ] || assert_equal starts "$(wc -l <starts)" 1
            [ "$(cat starts 2>/dev/null | wc -l)" -le 1 ]
            if [ "$status" = 7 ]; then
                assert_equal output "$output" "$(seq 2000)"
            else
                assert_equal status "$status" 125
            fi
            asking wait --store "$DISK/s" --id "$ID"
            assert_match "$status" "[17]*"
            # Each line of the log is one.
            jq -c . "$DISK/s/steps/$ID/events.ndjson" >/dev/null
        done
        umount "$DISK"
        DISK=''
    }
    as_caller full
}

@test "a store that cannot be written to tells so, and nobody waits for ever" {
    read_only() {
        small_disk
        ID=before
        stepcell run --store "$DISK/s" --id before --workdir "$WORK" "$IMAGE" -- sh -c 'echo out; exit 3' || true
        stepcell start --store "$DISK/s" --id lost --workdir "$WORK" "$IMAGE" -- sleep 60
        wait_for grep -qs '"started"' "$DISK/s/steps/lost/ledger"
        kill -KILL "$(stepcell status --store "$DISK/s" --json --id lost | jq .supervisor)"
        sleep 0.5
        mount -o remount,ro "$DISK"
        asking wait --store "$DISK/s" --id before
        assert_equal "a step that has ended" "$status" 3
        asking logs --store "$DISK/s" --id before
        assert_equal logs "$output" out
        for command in wait status 'logs --follow'; do
            # shellcheck disable=SC2086 # words
            asking $command --store "$DISK/s" --id lost
            assert_equal "$command" "$status" 125
        done
        asking run --store "$DISK/s" --id new --result "$RESULT" --workdir "$WORK" "$IMAGE" -- true
        assert_equal "a new step" "$status" 125
        mount -o remount,rw "$DISK"
        asking wait --store "$DISK/s" --id lost
        assert_equal "settled" "$status" 125
        umount "$DISK"
        DISK=''
    }
    as_caller read_only
}

@test "different steps under one id at once: one of them runs" {
    at_once() {
        local i pids=() ran=0
        new_id
        for i in $(seq 8); do
            stepcell run --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c "echo started >>starts; echo $i" >"../out.$i" 2>"../err.$i" &
            pids+=($!)
        done
        for i in $(seq 8); do
            ended "${pids[i - 1]}"
            if [ "$status" = 0 ]; then
                ran=$((ran + 1))
                assert_equal output "$(cat "../out.$i")" "$i"
            else
                assert_equal status "$status" 125
                assert_match "$(cat "../err.$i")" "*another step has the id*"
            fi
        done
        assert_equal "callers of the one" "$ran" 1
        assert_equal starts "$(wc -l <starts)" 1
    }
    each_caller at_once
}

@test "a caller whose connection breaks goes, and the step goes on" {
    broken() {
        local client
        new_id
        as sh -c 'echo $$ >../pid; exec "$@"' sh "$STEPCELL" run --id "$ID" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- \
            sh -c 'touch started; until [ -e go ]; do sleep 0.05; done; exit 6' 2>/dev/null 3>&- &
        client=$!
        wait_for test -e started
        kill -HUP "$(cat ../pid)"
        ended "$client"
        assert_equal status "$status" 125
        assert_equal outcome "$(result_field .outcome)" unknown
        as touch go
        run -6 stepcell wait --id "$ID"
    }
    each_caller broken
}

@test "where nobody tells that the log has grown it is looked at" {
    no_inotify() {
        new_id
        started sh -c 'echo first; until [ -e go ]; do sleep 0.05; done; echo second; exit 4'
        # shellcheck disable=SC2016 # for the inner shell
        unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_inotify_instances; exec timeout 30 "$@"' sh \
            "$STEPCELL" logs --store "$TEST_DIR/store/root" --follow --id "$ID" >../out 2>../err 3>&- &
        wait_for grep -qs first ../out
        touch go
        wait $!
        assert_equal output "$(cat ../out)" $'first\nsecond'
        run -4 stepcell wait --id "$ID"
    }
    as_caller no_inotify
}

@test "a stopped supervisor makes nobody else hang, and goes on" {
    stopped() {
        local process
        new_id
        started sh -c 'touch started; sleep 60'
        wait_for test -e started
        process=$(supervisor)
        kill -STOP "$process"
        assert_equal status "$(stepcell status --id "$ID")" running
        run -124 stepcell wait --timeout 1 --id "$ID"
        run -125 stepcell forget --id "$ID"
        stepcell logs --id "$ID"
        stepcell cancel --id "$ID"
        kill -CONT "$process"
        run -143 stepcell wait --id "$ID"
    }
    each_caller stopped
}

@test "closed, odd and few descriptors of a caller are no matter" {
    descriptors() {
        local limit
        new_id
        as sh -c 'exec "$@" <&- >&- 2>&- 3>&-' sh "$STEPCELL" start --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c 'echo out; exit 4'
        run -4 as sh -c 'exec "$@" <&- >&- 2>&- 3>&-' sh "$STEPCELL" wait --id "$ID"
        as sh -c 'exec "$@" >&- 2>&-' sh "$STEPCELL" logs --id "$ID"
        assert_equal logs "$(as sh -c 'exec "$@" <&- 2>&-' sh "$STEPCELL" logs --id "$ID")" out
        run -4 as sh -c 'exec "$@" >&- 2>&-' sh "$STEPCELL" run --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c 'echo out; exit 4'
        assert_equal "the log is as it was" "$(stepcell logs --id "$ID")" out
        for limit in 4 8 12 16 20 24 32; do
            new_id
            asking_by sh -c 'ulimit -n "$1"; shift; exec "$@"' sh "$limit" "$STEPCELL_RELEASE" run --id "$ID" \
                --workdir "$WORK" "$IMAGE" -- sh -c 'echo started >>starts; exit 4'
            [ "$status" = 4 ] || [ "$status" = 125 ]
        done
    }
    each_caller descriptors
}

@test "a step that is forgotten while somebody reads it is read to its end" {
    forgotten() {
        local reader
        new_id
        durable sh -c 'seq 300000'
        mkfifo ../pipe
        chown "$(caller_name)" ../pipe
        stepcell logs --follow --id "$ID" >../pipe &
        reader=$!
        exec 8<../pipe
        sleep 0.5
        stepcell forget --id "$ID"
        durable true
        assert_equal lines "$(cat <&8 | wc -l)" 300000
        exec 8<&-
        wait "$reader"
        run -0 stepcell wait --id "$ID"
    }
    each_caller forgotten
}

@test "a receiver of events gets the end of a step whose supervisor was killed" {
    receiver() {
        events_setup
        start_receiver
        new_id
        stepcell start --id "$ID" --workdir "$WORK" --events "http://127.0.0.1:$PORT/" "$IMAGE" -- \
            sh -c 'echo out; touch started; sleep 60'
        wait_for test -e started
        kill -KILL "$(supervisor)"
        run -125 stepcell wait --id "$ID"
        wait_for grep -qs step.finished "$RECEIVER/received"
        assert_equal outcome "$(jq -r 'select(.type == "step.finished") | .result.outcome' "$RECEIVER/received" | sort -u)" unknown
        wait_for nobody_delivers
        events_teardown
        EVENTS_DIR=''
    }
    nobody_delivers() { [ -z "$(pgrep -f "stepcell-events .*$ID" || true)" ]; }
    each_caller receiver
}

@test "a receiver of events gets the end of a step that was canceled before anybody carried it on" {
    canceled() {
        events_setup
        start_receiver
        new_id
        # Killed when the receiver is noted, and no supervisor is there yet.
        kill_at clone 1 "$STEPCELL" run --id "$ID" --workdir "$WORK" --events "http://127.0.0.1:$PORT/" "$IMAGE" -- true || true
        assert_equal status "$(stepcell status --id "$ID")" accepted
        stepcell cancel --id "$ID"
        wait_for grep -qs step.finished "$RECEIVER/received"
        events_teardown
        EVENTS_DIR=''
    }
    each_caller canceled
}

@test "a receiver that is named later gets the events from the first one, another one is refused" {
    later() {
        events_setup
        start_receiver
        new_id
        durable sh -c 'echo out'
        cell --id "$ID" --events "http://127.0.0.1:$PORT/" -- sh -c 'echo out' >/dev/null
        wait_for grep -qs step.finished "$RECEIVER/received"
        assert_equal events "$(cat "$RECEIVER/received")" "$(stepcell logs --json --id "$ID")"
        run --separate-stderr cell --id "$ID" --events "http://127.0.0.1:$PORT/other" -- sh -c 'echo out'
        assert_refused option.invalid
        events_teardown
        EVENTS_DIR=''
    }
    each_caller later
}

@test "forget keeps events that nobody has confirmed, unless it is forced" {
    undelivered() {
        local url
        events_setup
        start_receiver
        url=http://127.0.0.1:$PORT/
        kill "$RECEIVER_PID" && wait "$RECEIVER_PID" || true
        new_id
        stepcell start --id "$ID" --workdir "$WORK" --events "$url" "$IMAGE" -- echo out
        stepcell wait --id "$ID"
        run -125 stepcell forget --id "$ID"
        assert_match "$output" "*have not reached their receiver yet*--force*"
        # Whoever asks starts a delivery again that was killed.
        pkill -KILL -f "stepcell-events .*steps/$ID\$" || true
        start_receiver --port "$PORT"
        stepcell status --id "$ID"
        wait_for grep -qs step.finished "$RECEIVER/received"
        wait_for stepcell forget --id "$ID"
        kill "$RECEIVER_PID" && wait "$RECEIVER_PID" || true
        new_id
        stepcell start --id "$ID" --workdir "$WORK" --events "$url" "$IMAGE" -- echo out
        stepcell wait --id "$ID"
        stepcell forget --force --id "$ID"
        [ ! -e "$(step_dir)" ]
        events_teardown
        EVENTS_DIR=''
    }
    each_caller undelivered
}

@test "the end of a killed step that was not durable is told by a later call" {
    later_call() {
        local pid
        events_setup
        start_receiver
        stepcell run -q --workdir "$WORK" --events "http://127.0.0.1:$PORT/" "$IMAGE" -- sh -c 'touch started; sleep 60' &
        pid=$!
        wait_for test -e started
        pkill -KILL -P "$pid" -x stepcell || kill -KILL "$pid"
        wait "$pid" || true
        rm -f "$TEST_DIR/store/$CALLER/steps/.swept"
        stepcell run -q --workdir "$WORK" "$IMAGE" -- true
        wait_for grep -qs step.finished "$RECEIVER/received"
        assert_equal outcome "$(jq -r 'select(.type == "step.finished") | .result.outcome' "$RECEIVER/received" | sort -u)" unknown
        events_teardown
        EVENTS_DIR=''
    }
    each_caller later_call
}

@test "another script under the same name is another step, one that is gone is not compared" {
    script() {
        new_id
        echo 'echo one' | as tee script.sh >/dev/null
        assert_equal first "$(stepcell run --id "$ID" -w "$WORK" --script script.sh "$IMAGE")" one
        echo 'echo two' | as tee script.sh >/dev/null
        run --separate-stderr stepcell run --result "$RESULT" --id "$ID" -w "$WORK" --script script.sh "$IMAGE"
        assert_refused step.conflict
        rm script.sh
        assert_equal again "$(stepcell run --id "$ID" -w "$WORK" --script script.sh "$IMAGE")" one
    }
    each_caller script
}

@test "a step that a full disk does not let settle can be forgotten" {
    full() {
        local mount=${WORK%/*}/small
        mkdir "$mount"
        mount -t tmpfs -o size=8m,mode=700 none "$mount"
        chown "$(caller_name):" "$mount"
        stepcell run -q --store "$mount" -w "$WORK" "$IMAGE" -- true
        new_id
        stepcell run --store "$mount" --id "$ID" -w "$WORK" "$IMAGE" -- sh -c 'seq 1 3000000' >/dev/null 2>&1 || true
        stepcell forget --store "$mount" --id "$ID"
        stepcell run --store "$mount" --id "$ID" -w "$WORK" "$IMAGE" -- true
        umount "$mount"
    }
    as_caller full
}

@test "an id of another user's store is unknown" {
    elses() {
        new_id
        durable true
        local CALLER=ranges
        run -125 --separate-stderr stepcell status --id "$ID"
        assert_match "$stderr" "*no step has the id*"
        run -125 --separate-stderr stepcell status --store "$TEST_DIR/store/root" --id "$ID"
    }
    as_caller elses
}

@test "root believes no record in a store that is another user's, and ends its cells all the same" {
    others() {
        local store=$TEST_DIR/store/$CALLER command
        new_id
        durable true
        stepcell run --result "$RESULT" --keep always -w "$WORK" "$IMAGE" -- true
        local CALLER=root
        for command in status logs wait; do
            run -125 --separate-stderr stepcell $command --store "$store" --id "$ID"
            assert_match "$stderr" "*call as whose it is*"
        done
        run -125 --separate-stderr stepcell run --store "$store" --id "$ID" -w "$WORK" "$IMAGE" -- true
        stepcell cancel --store "$store" "$(result_field .id)"
    }
    CALLER=ranges as_caller others
}

@test "a store in memory keeps steps as any other" {
    memory() {
        DISK=${WORK%/*}/disk
        mkdir "$DISK"
        mount -t tmpfs -o mode=700 none "$DISK"
        run -3 stepcell run --store "$DISK" --id here --workdir "$WORK" "$IMAGE" -- sh -c 'echo started >>starts; exit 3'
        run -3 stepcell run --store "$DISK" --id here --workdir "$WORK" "$IMAGE" -- sh -c 'echo started >>starts; exit 3'
        assert_equal starts "$(wc -l <starts)" 1
        umount "$DISK"
        DISK=''
    }
    as_caller memory
}
