# Durable steps: a step survives its caller, never runs twice, and is never called a success unseen.

load ../lib/common
load ../lib/steps

# counting: a command that notes each of its starts, and writes a line ten times a second, for ever or $1 times
counting() {
    printf 'echo started >>starts; i=0; while [ $i -lt %s ]; do i=$((i + 1)); echo line $i; echo $i >last; sleep 0.1; done; exit 7' "$1"
}
starts() { if [ -e starts ]; then wc -l <starts; else echo 0; fi; }

# assert_unknown: what every way of asking says of a step that was lost
assert_unknown() {
    run -125 --separate-stderr durable sh -c "$1"
    assert_match "$stderr" "stepcell: the supervisor of the step was killed*"
    assert_equal outcome "$(result_field .outcome)" unknown
    assert_equal cleanup "$(result_field .cleanup.verified)" true
    run -125 stepcell wait --id "$ID"
    assert_equal status "$(stepcell status --id "$ID")" "finished unknown 125"
}

@test "run --id runs a step once, whoever asks however often" {
    once() {
        local i
        new_id
        for i in 1 2 3; do
            run -3 --separate-stderr durable sh -c 'echo started >>starts; echo out; echo err >&2; exit 3'
            assert_equal stdout "$output" out
            assert_equal stderr "$stderr" err
            assert_equal id "$(result_field .id)" "$ID"
            assert_equal outcome "$(result_field .outcome)" exited
        done
        assert_equal starts "$(starts)" 1
        assert_equal lines "$(result_field '[.output.stdout.lines, .output.stderr.lines] | join(" ")')" "1 1"
        assert_equal sha256 "$(result_field .output.stdout.sha256)" "$(echo out | sha256sum | cut -c1-64)"
    }
    each_caller once
}

@test "many who ask at once get one step, and all of its output" {
    many() {
        local i pids=()
        new_id
        for i in $(seq 8); do
            durable sh -c "$(counting 5)" >"../out.$i" 2>"../err.$i" &
            pids+=($!)
        done
        for i in $(seq 8); do
            ended "${pids[i - 1]}"
            assert_equal "status $i" "$status" 7
            assert_equal "output $i" "$(cat "../out.$i")" "$(printf 'line %s\n' 1 2 3 4 5)"
        done
        assert_equal starts "$(starts)" 1
    }
    each_caller many
}

@test "start returns once the step is recorded; status, logs and wait tell of it" {
    start_and_wait() {
        new_id
        started sh -c 'until [ -e go ]; do sleep 0.05; done; echo done; exit 9'
        assert_equal status "$(stepcell status --id "$ID")" running
        run -124 stepcell wait --timeout 1 --id "$ID"
        started sh -c 'until [ -e go ]; do sleep 0.05; done; echo done; exit 9'
        as touch go
        run -9 stepcell wait --result ../waited.json --id "$ID"
        assert_equal waited "$(jq -r .exit_code ../waited.json)" 9
        assert_equal status "$(stepcell status --id "$ID")" "finished exited 9"
        assert_equal logs "$(stepcell logs --id "$ID")" "done"
        assert_equal "ID alone" "$(stepcell logs "$ID")" "done"
        run -125 stepcell status --id nobody
        assert_match "$output" "*no step has the id 'nobody'*"
    }
    each_caller start_and_wait
}

@test "start makes up an id, and writes result and events itself" {
    made_up() {
        local id
        id=$(stepcell start --workdir "$WORK" --result ../r.json --events file:../e.ndjson "$IMAGE" -- echo here)
        [[ $id =~ ^[0-9a-f]{12}$ ]]
        stepcell wait --id "$id"
        wait_for test -e ../r.json
        assert_equal id "$(jq -r .id ../r.json)" "$id"
        assert_equal events "$(tail -n 1 ../e.ndjson | jq -r .type)" step.finished
        # Who starts it again finds it there, and changes nothing.
        stepcell start --id "$id" --workdir "$WORK" --result ../r.json --events file:../e.ndjson "$IMAGE" -- echo here
        assert_equal "events, again" "$(tail -n 1 ../e.ndjson | jq -r .type)" step.finished
        run --separate-stderr stepcell start --id refused-target --workdir "$WORK" --events file:/nonexistent/e "$IMAGE" -- true
        assert_equal "a bad target" "$status" 125
        run -125 stepcell status --id refused-target
        stepcell forget --id "$id"
    }
    each_caller made_up
}

@test "another step with the same id is step.conflict, and changes nothing" {
    conflict() {
        new_id
        durable true
        run --separate-stderr cell --id "$ID" -- false
        assert_refused step.conflict
        run --separate-stderr cell --id "$ID" -e A=1 -- true
        assert_refused step.conflict
        run --separate-stderr cell --id "$ID" --read-only -- true
        assert_refused step.conflict
        # What only concerns the caller is no difference.
        cell --id "$ID" -q --since 0 -- true
        durable true
        run --separate-stderr stepcell run --result "$RESULT" --id "$ID" -i "$IMAGE" -- true
        assert_refused option.invalid
        run --separate-stderr stepcell run --result "$RESULT" --id '../x' "$IMAGE" -- true
        assert_refused option.invalid
    }
    each_caller conflict
}

@test "a receiver that is none takes no id, and nothing runs" {
    none() {
        local target
        for target in http:// http://user@127.0.0.1/ file:/nonexistent/e fd:99 unix:/nonexistent/s; do
            new_id
            run --separate-stderr cell --id "$ID" --events "$target" -- touch started
            assert_refused option.invalid
            run -125 stepcell status --id "$ID"
            run -125 stepcell start --id "$ID" --workdir "$WORK" --events "$target" "$IMAGE" -- touch started
            run -125 stepcell status --id "$ID"
        done
        [ ! -e started ]
    }
    each_caller none
}

@test "a step that lacks a secret takes no id, and all that is wrong with it is told" {
    lacking() {
        local lacking=(--secret-env NOPE --package gone --events "http://127.0.0.1:9/") command
        new_id
        for command in run start; do
            run -125 --separate-stderr stepcell "$command" --id "$ID" --workdir "$WORK" "${lacking[@]}" "$IMAGE" true
            assert_match "$stderr" "*'NOPE'*'gone'*"
            [ ! -e "$TEST_DIR/store/$CALLER/steps/$ID" ]
        done
        run -0 cell --id "$ID" -- true
    }
    CALLER=plain as_caller lacking
}

@test "what the reader of a durable step does not take, or who gets its events, is said" {
    untaken() {
        new_id
        cell --id "$ID" -- sh -c 'yes | head -c 300000' 2>../err | head -c 10 >/dev/null || true
        assert_match "$(cat ../err)" "stepcell: * bytes of the output were not taken by who reads it"
        assert_equal logged "$(result_field .output.stdout.bytes)" 300000
        run -0 --separate-stderr cell --id "$ID" --events file:/dev/full -- sh -c 'yes | head -c 300000'
        assert_match "$stderr" "*stepcell: * bytes of events were not delivered to 'file:/dev/full'*"
    }
    each_caller untaken
}

# in_no_file TEXT...: neither these nor their SHA-256 are in a file of the step
in_no_file() {
    local text
    for text in "$@"; do
        ! grep -rF -e "$text" -e "$(printf %s "$text" | sha256sum | cut -c1-64)" "$(step_dir)" || return 1
    done
}

@test "another value of the environment is another step, and values are in no file of the step" {
    hidden() {
        new_id
        cell --id "$ID" -e PASSWORD=xyzzy-4711 -e PLAIN= -- true
        in_no_file xyzzy-4711
        cell --id "$ID" -e PASSWORD=xyzzy-4711 -e PLAIN= -- true
        for other in another ''; do
            run --separate-stderr cell --id "$ID" -e PASSWORD=$other -e PLAIN= -- true
            assert_refused step.conflict
            assert_match "$stderr" "*its 'env' is not the same*"
        done

        new_id
        PASSWORD=xyzzy-4711 cell --id "$ID" -e PASSWORD -- true
        in_no_file xyzzy-4711
        assert_equal mode "$(stat -c %a "$(step_dir)/key")" 600
        PASSWORD=xyzzy-4711 cell --id "$ID" -e PASSWORD -- true
        PASSWORD=another run --separate-stderr cell --id "$ID" -e PASSWORD -- true
        assert_refused step.conflict
        run --separate-stderr cell --id "$ID" -e PASSWORD -- true
        assert_refused step.conflict
        # The same value has another digest in another step.
        first=$(step_status '.ledger[0].step.env_hmac')
        new_id
        PASSWORD=xyzzy-4711 cell --id "$ID" -e PASSWORD -- true
        [ "$first" != "$(step_status '.ledger[0].step.env_hmac')" ]
    }
    each_caller hidden
}

@test "another content of an environment file is another step" {
    content() {
        new_id
        printf 'PIN=xyzzy-4711\nTAKEN\n' | as tee ../env.list >/dev/null
        TAKEN=plugh cell --id "$ID" --env-file ../env.list -- true
        in_no_file xyzzy-4711 plugh
        printf '# the same\nPIN=xyzzy-4711\nTAKEN\n' | as tee ../env.list >/dev/null
        TAKEN=plugh cell --id "$ID" --env-file ../env.list -- true
        TAKEN=two run --separate-stderr cell --id "$ID" --env-file ../env.list -- true
        assert_refused step.conflict
        assert_match "$stderr" "*its 'env_file' is not the same*"
        printf 'PIN=xyzzy-4712\nTAKEN\n' | as tee ../env.list >/dev/null
        TAKEN=plugh run --separate-stderr cell --id "$ID" --env-file ../env.list -- true
        assert_refused step.conflict
        # What is gone is not compared.
        rm ../env.list
        cell --id "$ID" --env-file ../env.list -- true
    }
    each_caller content
}

@test "a step whose record has no digests is found by its options" {
    older() {
        new_id
        printf 'A=1\n' | as tee ../env.list >/dev/null
        B=2 cell --id "$ID" -e B -e C=3 --env-file ../env.list -- echo out
        as rm "$(step_dir)/key"
        as sed -i -e 's/,"env_hmac":"[^"]*"//; s/,"env_file_hmac":"[^"]*"//; s/"C=[*]*"/"C=sha256:4e07"/' "$(step_dir)/ledger"
        assert_equal record "$(step_status '.ledger[0].step | has("env_hmac") or has("env_file_hmac")')" false
        assert_equal output "$(B=3 cell --id "$ID" -e B -e C=3 --env-file ../env.list -- echo out)" out
        run --separate-stderr cell --id "$ID" -e B -e D=3 --env-file ../env.list -- echo out
        assert_refused step.conflict
    }
    each_caller older
}

@test "the step goes on when its caller is killed, and the next call has all of it" {
    killed_caller() {
        local caller
        new_id
        durable sh -c "$(counting 12)" >../first &
        caller=$!
        wait_for grep -qs 'line 3' ../first
        pkill -KILL -P "$caller" || kill -KILL "$caller"
        wait "$caller" || true
        run -7 --separate-stderr durable sh -c "$(counting 12)"
        assert_equal output "$output" "$(seq -f 'line %g' 12)"
        assert_equal starts "$(starts)" 1
    }
    each_caller killed_caller
}

@test "the step goes on when the session and the process group of its caller end" {
    survives() {
        new_id
        as setsid bash -c '"$0" start --id "$1" --workdir "$2" "$3" -- sh -c "$4" >/dev/null; kill -HUP 0' \
            "$STEPCELL" "$ID" "$WORK" "$IMAGE" "$(counting 5)" || true
        run -7 stepcell wait --id "$ID"
        assert_equal starts "$(starts)" 1
    }
    each_caller survives
}

@test "a supervisor that is killed takes its cell along, and the outcome is unknown" {
    killed_supervisor() {
        local lines
        new_id
        durable sh -c "$(counting 1000)" >../first 2>/dev/null &
        wait_for grep -qs 'line 3' ../first
        kill -KILL "$(supervisor)"
        ended $!
        assert_equal status "$status" 125
        assert_unknown "$(counting 1000)"
        assert_equal starts "$(starts)" 1
        # What was read before the kill is there for everybody: as far as the step had come, but for the last.
        lines=$(stepcell logs --id "$ID" 2>/dev/null | wc -l)
        [ "$lines" -ge $(($(cat last) - 1)) ]
        assert_equal replay "$(stepcell logs --id "$ID" 2>/dev/null)" "$(cat ../first)"
        assert_equal counted "$(result_field .output.stdout.lines)" "$lines"
        assert_equal sha256 "$(result_field .output.stdout.sha256)" "$(sha256sum <../first | cut -c1-64)"
        lines=$(cat last)
        sleep 0.3
        assert_equal "goes on" "$(cat last)" "$lines"
    }
    each_caller killed_supervisor
}

@test "what a step has left to other ids when its supervisor was killed is given back before the result says so" {
    left_to_others() {
        new_id
        stepcell start --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c '
            mkdir d; touch d/a; chown -R 5:5 d; chmod 700 d; touch started; sleep 100' >/dev/null
        wait_for test -e started
        kill -KILL "$(supervisor)"
        run stepcell wait --id "$ID"
        assert_equal status "$status" 125
        stepcell status --json --id "$ID" >"$RESULT"
        assert_equal outcome "$(jq -r .result.outcome "$RESULT")" unknown
        assert_equal cleanup "$(jq -c .result.cleanup "$RESULT")" '{"verified":true,"left":[]}'
        assert_equal "what belongs to others" "$(find . ! -user "$(caller_name)")" ""
    }
    CALLERS="root ranges" each_caller left_to_others
}

@test "what another call still gives back is left, and not verified" {
    taken_down() {
        local place taker
        new_id
        stepcell start --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c '
            touch a; chown 5:5 a; touch started; sleep 100' >/dev/null
        wait_for test -e started
        place=$(grep -l --null-data -- " $ID\$" "$TEST_DIR/store/$CALLER"/cells/*/owners)
        place=${place%/owners}
        kill -KILL "$(supervisor)"
        flock "$place" sh -c 'echo; exec sleep 100' 3>&- >../taken &
        taker=$!
        wait_for test -s ../taken
        run stepcell wait --id "$ID"
        pkill -P $taker
        wait $taker || true
        stepcell status --json --id "$ID" >"$RESULT"
        assert_equal cleanup "$(jq -c .result.cleanup "$RESULT")" "{\"verified\":false,\"left\":[\"$place\"]}"
        run -0 stepcell run --workdir "$WORK" "$IMAGE" -- true
        assert_equal "what belongs to others" "$(find . ! -user "$(caller_name)")" ""
        rm ../taken
    }
    CALLERS="root ranges" each_caller taken_down
}

# killed_after CALL N RECORD: a step of which somebody dies at the Nth such call (see kill_at), behind this record
killed_after() {
    local call=$1 at=$2 record=$3
    new_id
    kill_at "$call" "$at" "$STEPCELL" run --id "$ID" --workdir "$WORK" "$IMAGE" -- sh -c 'echo started >>starts; echo out; exit 0' \
        >/dev/null 2>&1 || true
    wait_for has_record "$record"
}

@test "killed behind the first record: the next call runs the step, once" {
    accepted() {
        killed_after fsync 4 accepted
        assert_equal starts "$(starts)" 0
        assert_equal status "$(stepcell status --id "$ID")" accepted
        run -0 --separate-stderr durable sh -c 'echo started >>starts; echo out; exit 0'
        assert_equal output "$output" out
        assert_equal starts "$(starts)" 1
        durable sh -c 'echo started >>starts; echo out; exit 0'
        assert_equal starts "$(starts)" 1
    }
    each_caller accepted
}

@test "a supervisor that is killed behind any of its records is never followed by another, nor called a success" {
    behind_each() {
        local at record records=(supervised cell started ended) run=0
        for at in 0 1 2 3; do
            record=${records[at]}
            rm -f starts
            if [ "$at" = 0 ]; then
                # The caller writes the first record, too: it is given one that it need not write.
                killed_after fsync 4 accepted
                kill_at fdatasync 1 "$STEPCELL" run --id "$ID" --workdir "$WORK" "$IMAGE" -- \
                    sh -c 'echo started >>starts; echo out; exit 0' >/dev/null 2>&1 || true
            else
                killed_after fdatasync $((at + 1)) "$record"
            fi
            has_record "$record"
            assert_unknown 'echo started >>starts; echo out; exit 0'
            assert_equal "last record before the end" \
                "$(jq -rs '.[-2].record' "$(step_dir)/ledger")" "$record"
            run=$(starts)
            [ "$run" -le 1 ]
            if [ "$record" = supervised ] || [ "$record" = cell ]; then assert_equal starts "$run" 0; fi
            if [ "$record" = ended ]; then assert_equal output "$(stepcell logs --id "$ID" 2>/dev/null)" out; fi
            assert_unknown 'echo started >>starts; echo out; exit 0'
            assert_equal starts "$(starts)" "$run"
        done
    }
    each_caller behind_each
}

@test "killed when the result is on the disk: the step has ended as it did" {
    finished() {
        local at
        # Before the last event is flushed, and before the last record is: the result is there.
        for at in 6 7; do
            rm -f starts
            killed_after fdatasync "$at" ended
            run -0 --separate-stderr durable sh -c 'echo started >>starts; echo out; exit 0'
            assert_equal output "$output" out
            assert_equal starts "$(starts)" 1
            assert_equal outcome "$(result_field .outcome)" exited
            assert_equal "events at the end" "$(stepcell logs --json --id "$ID" | grep -c step.finished)" 1
        done
    }
    each_caller finished
}

@test "caller and supervisor killed at once: unknown, and nothing left" {
    both() {
        local caller
        new_id
        durable sh -c "$(counting 1000)" >../first 2>/dev/null &
        caller=$!
        wait_for grep -qs 'line 2' ../first
        kill -KILL $(pgrep -P "$caller") "$(supervisor)"
        wait "$caller" || true
        assert_unknown "$(counting 1000)"
        assert_equal starts "$(starts)" 1
    }
    each_caller both
}

@test "cancel ends a step with 143, whoever waits; twice at once" {
    canceled() {
        new_id
        started sh -c 'trap "echo ending; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
        is_ready() { [ "$(stepcell logs --id "$ID")" = ready ]; }
        wait_for is_ready
        stepcell cancel --id "$ID"
        run -143 stepcell wait --id "$ID"
        assert_equal logs "$(stepcell logs --id "$ID" | tail -n 1)" ending
        assert_equal outcome "$(step_status .result.outcome)" canceled
        stepcell cancel --id "$ID"

        new_id
        started sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
        wait_for has_record started
        sleep 0.3
        stepcell cancel --id "$ID"
        sleep 0.5
        stepcell cancel --id "$ID"
        run -143 stepcell wait --timeout 8 --id "$ID"
    }
    each_caller canceled
}

@test "a step whose end was seen has ended, also while its supervisor flushes that" {
    seen() {
        cell -- true
        new_id
        local UNDER=(strace -qq -f -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_enter=300000)
        # shellcheck disable=SC2016 # for the inner shell
        run -0 --separate-stderr as sh -c '"$0" run --id "$1" --workdir "$2" "$3" -- true && "$0" status --id "$1" &&
            "$0" report "$1"' "$STEPCELL" "$ID" "$WORK" "$IMAGE"
        assert_equal status "${lines[0]}" "finished exited 0"
        assert_match "$output" "*exited, status 0*"
    }
    as_caller seen
}

@test "INT and TERM to whoever is attached cancel the step" {
    signaled() {
        local signal expected
        for signal in INT:130 TERM:143; do
            new_id
            expected=${signal#*:}
            # A shell starts its background commands with INT ignored; strace's is as it comes.
            stepcell start --id "$ID" --workdir "$WORK" "$IMAGE" -- sleep 60 >/dev/null
            as env --default-signal=INT,TERM "$STEPCELL" run --id "$ID" --workdir "$WORK" --result "$RESULT" "$IMAGE" -- sleep 60 &
            sleep 0.5
            as pkill -"${signal%:*}" -f "run --id $ID " || true
            ended $!
            assert_equal status "$status" "$expected"
            assert_equal outcome "$(result_field .outcome)" canceled
        done
    }
    each_caller signaled
}

@test "a step that was accepted and that nobody carries on can be canceled" {
    nobody() {
        killed_after fsync 4 accepted
        stepcell cancel --id "$ID"
        run -143 stepcell wait --id "$ID"
        run -143 durable sh -c 'echo started >>starts; echo out; exit 0'
        assert_equal starts "$(starts)" 0
    }
    each_caller nobody
}

@test "--since replays from an event, and logs --json has them all" {
    since() {
        local seq
        new_id
        durable sh -c 'echo one; sleep 0.2; echo two; sleep 0.2; echo three'
        stepcell logs --json --id "$ID" >../events
        assert_equal numbers "$(jq -r .seq ../events | tr '\n' ' ')" "$(seq -s ' ' 0 $(($(wc -l <../events) - 1))) "
        assert_equal last "$(tail -n 1 ../events | jq -r .type)" step.finished
        seq=$(jq -r 'select(.text == "two\n") | .seq' ../events)
        assert_equal logs "$(stepcell logs --since "$seq" --id "$ID")" $'two\nthree'
        assert_equal run "$(cell --id "$ID" --since "$seq" -- sh -c 'echo one; sleep 0.2; echo two; sleep 0.2; echo three')" $'two\nthree'
        cell --id "$ID" --events file:../copy -- sh -c 'echo one; sleep 0.2; echo two; sleep 0.2; echo three' >/dev/null
        cmp ../events ../copy
    }
    each_caller since
}

@test "logs --follow shows what comes as it comes, and ends with the step" {
    follow() {
        new_id
        started sh -c 'echo first; until [ -e go ]; do sleep 0.05; done; echo second >&2'
        stepcell logs --follow --id "$ID" >../out 2>../err &
        wait_for grep -qs first ../out
        as touch go
        wait $!
        assert_equal stdout "$(cat ../out)" first
        assert_equal stderr "$(cat ../err)" second
    }
    each_caller follow
}

@test "a reader that goes away neither ends the step nor its caller's status" {
    gone() {
        new_id
        { durable sh -c 'for i in 1 2 3 4 5 6; do seq 20000; sleep 0.1; done; exit 5' || echo "status $?" >../status; } | head -n 1 >/dev/null
        assert_equal status "$(cat ../status)" "status 5"
        assert_equal lines "$(stepcell logs --id "$ID" | wc -l)" 120000
    }
    each_caller gone
}

@test "a NUL in what is text otherwise is replayed" {
    nul() {
        new_id
        durable printf 'a\000b\n' >../out
        assert_equal bytes "$(od -An -c ../out | tr -d ' \n')" 'a\0b\n'
    }
    each_caller nul
}

@test "binary output is replayed byte for byte" {
    binary() {
        new_id
        as sh -c 'head -c 3000000 /dev/urandom >a; printf "a\000\303" >b; printf "\244\n" >c'
        durable sh -c 'cat a; cat b; sleep 0.2; cat c; cat a >&2' >../a 2>../b
        cat a b c | cmp - ../a
        cmp a ../b
        stepcell logs --id "$ID" >../a 2>../b
        cat a b c | cmp - ../a
        cmp a ../b
        assert_equal sha256 "$(result_field .output.stdout.sha256)" "$(cat a b c | sha256sum | cut -c1-64)"
        # A NUL is UTF-8 as well.
        new_id
        durable head -c 100000 /dev/zero >../a
        head -c 100000 /dev/zero | cmp - ../a
    }
    each_caller binary
}

@test "forget removes a step that has ended; finished ones expire" {
    forget() {
        local i
        new_id
        started sleep 60
        run -125 stepcell forget --id "$ID"
        assert_match "$output" "*has not ended*"
        stepcell cancel --id "$ID"
        run -143 stepcell wait --id "$ID"
        stepcell forget --id "$ID"
        # Its supervisor may need a moment more.
        for i in 1 2 3 4 5; do
            durable true
            run -0 stepcell forget --id "$ID"
        done
        [ ! -e "$(step_dir)" ]
        run -125 stepcell logs --id "$ID"
        # The id is free again.
        durable true
        touch -d '8 days ago' "$(step_dir)/ledger" "$(step_dir)/../.swept"
        local old=$ID
        new_id
        durable true
        wait_for test ! -e "$(step_dir)/../$old"
    }
    each_caller forget
}

@test "logs end quietly when their reader goes away" {
    goes_away() {
        new_id
        durable seq 200000 >/dev/null
        run -0 --separate-stderr bash -o pipefail -c '"$0" logs --store "$1" --id "$2" | head -c 10' "$STEPCELL" "$TEST_DIR/store/$CALLER" "$ID"
        assert_equal "said" "$stderr" ''
        run -125 as sh -c '"$0" logs --id "$1" >/dev/full' "$STEPCELL" "$ID"
        # A signal ends the wait for a reader, and what it did not get is missing.
        as mkfifo ../fifo
        run -125 as sh -c 'timeout --preserve-status 1 "$0" logs --id "$1" 1<>../fifo' "$STEPCELL" "$ID"
        assert_match "$output" "*bytes of the logs could not be written*"
    }
    CALLERS=root each_caller goes_away
}

@test "a script from standard input, and a timeout, belong to the step" {
    from_stdin() { stepcell run --result "$RESULT" --id "$ID" --workdir "$WORK" --script - "$IMAGE"; }
    script() {
        new_id
        # What should have written the script has failed before its first byte.
        run --separate-stderr from_stdin </dev/null
        assert_refused script.missing
        run -125 stepcell status --id "$ID"
        # Nor does one begin that was accepted with a script, when its caller was killed.
        kill_at fsync 5 "$STEPCELL" run --id "$ID" --workdir "$WORK" --script - "$IMAGE" <<<'echo lost' >/dev/null 2>&1 || true
        assert_equal status "$(stepcell status --id "$ID")" accepted
        run --separate-stderr from_stdin </dev/null
        assert_refused script.missing
        new_id
        assert_equal output "$(echo 'echo from stdin' | from_stdin)" "from stdin"
        assert_equal again "$(echo 'echo from stdin' | from_stdin)" "from stdin"
        assert_equal "without it" "$(from_stdin </dev/null)" "from stdin"
        in_no_file 'echo from stdin' "$(echo 'echo from stdin' | sha256sum | cut -c1-64)"
        run --separate-stderr from_stdin <<<'echo something else'
        assert_refused step.conflict
        assert_match "$stderr" "*its 'script' is not the same*"
        new_id
        run -124 cell --id "$ID" --timeout 1s -- sleep 60
        assert_equal outcome "$(result_field .outcome)" timed-out
    }
    each_caller script
}

@test "a caller that is killed in the middle of its script has started nothing" {
    half() {
        new_id
        as mkfifo ../script
        stepcell run --id "$ID" --workdir "$WORK" --script - "$IMAGE" <../script &
        exec 9>../script
        echo 'touch half' >&9
        sleep 0.3
        kill_child $!
        exec 9>&-
        wait $! || true
        run -125 stepcell status --id "$ID"
        [ ! -e half ]
        assert_equal output "$(echo 'echo whole' | stepcell run --id "$ID" --workdir "$WORK" --script - "$IMAGE")" whole
        rm ../script
    }
    kill_child() { pkill -KILL -P "$1" || kill -KILL "$1"; }
    each_caller half
}

@test "a step that is refused stays refused, with its result" {
    refused() {
        new_id
        run --separate-stderr cell --id "$ID" --package /nonexistent -- true
        assert_refused mount.source-missing
        run --separate-stderr cell --id "$ID" --package /nonexistent -- true
        assert_refused mount.source-missing
    }
    each_caller refused
}
