# How a step ends: the status of stepcell and what the result says of it.

load ../lib/common

# bats test_tags=local
@test "the script's own status passes through, whatever it is" {
    codes() {
        local code
        for code in 0 1 2 7 63 77 100 124 125 126 127 128 130 137 143 255; do
            run -$code cell -- sh -c "exit $code"
            assert_equal outcome "$(result_field .outcome)" exited
            assert_equal exit_code "$(result_field .exit_code)" $code
            assert_equal signal "$(result_field .signal)" null
            assert_equal error "$(result_field '.error // null')" null
        done
    }
    each_caller codes
}

# bats test_tags=slow
@test "all 256 codes pass through" {
    all() {
        local code
        for code in $(seq 0 255); do
            run -"$code" as "$STEPCELL_RELEASE" run -w "$WORK" "$IMAGE" sh -c "exit $code"
        done
    }
    as_caller all
}

@test "death by a signal is 128 and its number, and the result names it" {
    signals() {
        local pair
        for pair in TERM:143 KILL:137 SEGV:139 HUP:129 INT:130 USR1:138 ABRT:134; do
            run -"${pair#*:}" cell -- sh -c "kill -${pair%:*} \$\$"
            assert_equal outcome "$(result_field .outcome)" signaled
            assert_equal exit_code "$(result_field .exit_code)" "${pair#*:}"
            assert_equal signal "$(result_field .signal)" $((${pair#*:} - 128))
        done
    }
    each_caller signals
}

# bats test_tags=slow
@test "every signal that ends a command is told by its number" {
    every() {
        local signal
        musl-gcc -O1 -static -o die "$TESTS/lib/die.c"
        for signal in $(seq 1 64); do
            case $signal in
            17 | 18 | 23 | 28) continue ;; # nothing happens: CHLD, CONT, URG, WINCH
            19 | 20 | 21 | 22) continue ;; # it is stopped: STOP, TSTP, TTIN, TTOU
            esac
            run -$((128 + signal)) as "$STEPCELL_RELEASE" run --result "$RESULT" -w "$WORK" "$IMAGE" ./die "$signal"
            assert_equal outcome "$(result_field '.outcome, .signal, .exit_code' | paste -sd' ')" \
                "signaled $signal $((128 + signal))"
        done
    }
    as_caller every
}

@test "a command that is not there is 127, one that cannot be executed 126" {
    cannot() {
        run -127 --separate-stderr cell -- no-such-command
        assert_equal code "$(result_field .error.code)" command.not-found
        assert_equal outcome "$(result_field .outcome)" exited
        assert_match "$stderr" "stepcell: *no-such-command*"
        run -127 cell -- /no/such/path
        as sh -c 'echo text >plain; chmod 0644 plain'
        run -126 --separate-stderr cell -- "$WORK/plain"
        assert_equal code "$(result_field .error.code)" command.not-executable
        assert_equal outcome "$(result_field .outcome)" exited
        run -126 cell -- "$WORK"
    }
    each_caller cannot
}

@test "a timeout ends the step with TERM and is 124" {
    timeout_term() {
        run -124 cell --timeout 1s -- sh -c 'trap "echo asked to end; exit 0" TERM; sleep 30 & wait'
        assert_equal outcome "$(result_field .outcome)" timed-out
        assert_match "$output" "*asked to end*"
    }
    each_caller timeout_term
}

# bats test_tags=local
@test "who ignores TERM is killed after the grace" {
    timeout_kill() {
        local start=$EPOCHREALTIME
        run -124 cell --timeout 500ms --grace 500ms -- sh -c 'trap "" TERM; while :; do sleep 1; done'
        assert_equal outcome "$(result_field .outcome)" timed-out
        [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 5000000 ]
    }
    each_caller timeout_kill
}

@test "a step that ends before its timeout knows nothing of it" {
    in_time() {
        run -3 cell --timeout 1h -- sh -c 'exit 3'
        assert_equal outcome "$(result_field .outcome)" exited
    }
    as_caller in_time
}

# start_step SCRIPT: in the background, as the caller; sets STEP to stepcell's own process id, once the
# script has made the file `started`.
start_step() {
    # A shell without job control lets its background jobs ignore INT; env undoes that.
    as sh -c 'echo $$ >../pid; exec env --default-signal=INT "$@"' sh "$STEPCELL" run --quiet --result "$RESULT" -w "$WORK" \
        --grace "${GRACE:-10s}" "$IMAGE" -- sh -c "$1" >../output 2>&1 3>&- &
    BACKGROUND=$!
    wait_for test -e started
    STEP=$(cat ../pid)
}

end_step() {
    STATUS=0
    wait "$BACKGROUND" || STATUS=$?
}

@test "INT cancels a step: 130; TERM cancels it: 143" {
    cancel() {
        local pair
        for pair in INT:130 TERM:143; do
            rm -f started
            start_step 'trap "echo canceled; exit 9" INT TERM; touch started; sleep 30 & wait'
            kill -"${pair%:*}" "$STEP"
            end_step
            assert_equal status "$STATUS" "${pair#*:}"
            assert_equal outcome "$(result_field .outcome)" canceled
            assert_match "$(cat ../output)" "*canceled*"
        done
    }
    each_caller cancel
}

@test "who ignores the cancellation is killed after the grace" {
    stubborn() {
        GRACE=300ms start_step 'trap "" TERM; touch started; while :; do sleep 1; done'
        kill -TERM "$STEP"
        end_step
        assert_equal status "$STATUS" 143
        assert_equal outcome "$(result_field .outcome)" canceled
    }
    each_caller stubborn
}

@test "other signals are forwarded to the script" {
    forwarded() {
        start_step 'trap "echo usr1; exit 6" USR1; touch started; while :; do sleep 0.1; done'
        kill -USR1 "$STEP"
        end_step
        assert_equal status "$STATUS" 6
        assert_match "$(cat ../output)" "*usr1*"
    }
    as_caller forwarded
}

# bats test_tags=local
@test "when stepcell itself is killed no process survives, and the next run removes the scratch" {
    killed() {
        start_step 'touch started; sleep 1000'
        kill -KILL "$STEP"
        end_step
        assert_equal status "$STATUS" 137
        nothing_runs() { [ -z "$(processes_in_cells)" ]; }
        wait_for nothing_runs
        run -0 cell -- true
        assert_equal scratch "$(written_to_scratch "$TEST_DIR/store/$CALLER")" ""
    }
    each_caller killed
}

# bats test_tags=local
@test "a signal to the process and to its group is one wish" {
    grouped() {
        local i
        # As timeout(1) does it: the step has its grace all the same.
        for i in 1 2 3 4 5; do
            rm -f started ended
            start_step 'trap "sleep 0.2; touch ended; exit 0" TERM; touch started; while :; do sleep 0.1; done'
            kill -TERM "$STEP"
            sleep 0.0$i
            kill -TERM "$STEP"
            end_step
            assert_equal status "$STATUS" 143
            [ -e ended ]
            assert_equal verified "$(result_field .cleanup.verified)" true
        done
    }
    as_caller grouped
}

# bats test_tags=local
@test "signals that are repeated do not put off the end" {
    repeated() {
        GRACE=2s start_step 'trap "" TERM; touch started; while :; do sleep 1; done'
        kill -TERM "$STEP"
        sleep 0.5
        kill -TERM "$STEP"
        local start=$SECONDS
        end_step
        assert_equal status "$STATUS" 143
        [ $((SECONDS - start)) -lt 2 ]
    }
    as_caller repeated
}

@test "a step that waits for its script on standard input can be canceled" {
    waiting() {
        mkfifo pipe
        chown "$(caller_name):" pipe
        sleep 60 >pipe &
        local writer=$! step
        as "$STEPCELL" run --result "$RESULT" --workdir "$WORK" --script - "$IMAGE" <pipe &
        step=$!
        sleep 1
        pkill -TERM -P "$step" 2>/dev/null || kill -TERM "$step"
        STATUS=0
        wait "$step" || STATUS=$?
        kill "$writer"
        assert_equal status "$STATUS" 143
        assert_equal outcome "$(result_field .outcome)" canceled
    }
    as_caller waiting
}

@test "a caller that ignores the end of children and TERM changes nothing" {
    ignoring() {
        run -0 as timeout 20 sh -c 'trap "" CHLD TERM; exec "$@"' sh "$STEPCELL" run --quiet --result "$RESULT" \
            -w "$WORK" "$IMAGE" -- echo finished
        assert_equal output "$output" finished
    }
    as_caller ignoring
}

@test "cleanup is reported as verified" {
    verified() {
        run -0 cell -- true
        assert_equal verified "$(result_field .cleanup.verified)" true
        assert_equal left "$(result_field '.cleanup.left | length')" 0
    }
    each_caller verified
}

# bats test_tags=local
@test "a step with too few descriptors says so, and does not try for ever" {
    few() {
        local number
        run -0 cell -- true # the image is there
        for number in $(seq 8 24); do
            run as sh -c 'ulimit -n "$1"; shift; exec timeout 20 "$@"' sh "$number" \
                "$STEPCELL" run --workdir "$WORK" "$IMAGE" -- sh -c 'exit 3'
            [ "$status" = 3 ] || assert_match "$status: $output" "125: *"
        done
        run -0 cell -- true # removes what is left
    }
    as_caller few
}
