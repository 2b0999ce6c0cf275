# Daemons with faults: never a hang, and never success without an exit status that was observed. Run by
# `scripts/test --engine ENGINE` alone.

load ../lib/common
load ../lib/daemons

teardown() {
    stop_faulty
    rm -f "$TEST_DIR/engine/disk/filler"
}

# faulty_cell NAME METHOD:PATTERN FAULT: a step by a daemon of its own that spoils these answers, in the background;
# its result is in ../NAME.json, and its exit status in ../NAME
faulty_cell() {
    local name=$1 result=${WORK%/*}/$1.json
    shift
    start_faulty "$@"
    {
        local RESULT=$result status=0
        engine_cell "$FAULTY" -- touch "started-$name" >/dev/null 2>&1 || status=$?
        echo "$status" >"${WORK%/*}/$name"
    } 3>&- &
    CELLS+=($!)
}

# assert_each: what a table on standard input says of steps with a fault each, all at once: the call, the fault, and
# exit status, outcome and whether the cleanup was verified
assert_each() {
    local rows row name call fault expected
    local -a CELLS=()
    mapfile -t rows
    for row in "${!rows[@]}"; do
        read -r call fault expected <<<"${rows[row]}"
        faulty_cell "row-$row" "$call" "$fault"
    done
    wait "${CELLS[@]}"
    for row in "${!rows[@]}"; do
        read -r call fault expected <<<"${rows[row]}"
        name=${WORK%/*}/row-$row
        assert_equal "$fault of $call" "$(cat "$name") $(jq -r '"\(.outcome) \(.cleanup.verified)"' "$name.json")" "$expected"
        [[ $expected != *false ]] || assert_match "$(jq -r '.cleanup.left[0]' "$name.json")" "container 'stepcell-*' of $ENGINE"
        # What may have been started is never called a failure.
        [[ $expected != *failed* ]] || [ ! -e "started-row-$row" ]
    done
}

@test "a daemon that breaks before the start ends in an error, with nothing left" {
    before() {
        local fault call
        for call in 'POST:/containers/create' 'POST:/start$' 'GET:/images/.*/json'; do
            for fault in close cut nonsense empty error; do
                # The answer to a start has no body that could be wrong.
                [[ $call != *start* || $fault = close || $fault = error ]] || continue
                start_faulty "$call" "$fault"
                run engine_cell "$FAULTY" -- touch started
                assert_equal "status of $call $fault" "$status" 125
                assert_match "$(result_field .error.code)" "engine.*"
                stop_faulty
                rm -f started
                has_none
            done
        done
    }
    as_caller before
}

@test "an answer without end or bytes one by one is no reason to hang" {
    odd() {
        start_faulty 'GET:/images/.*/json' huge
        run engine_cell "$FAULTY" -- true
        assert_equal status "$status" 125
        stop_faulty
        start_faulty '.*:' slow
        run -4 engine_cell "$FAULTY" -- sh -c 'exit 4'
        assert_equal cleanup "$(result_field .cleanup.verified)" true
        stop_faulty
    }
    as_caller odd
}

# cancel_deaf: a step that ignores TERM, whose daemon does not answer when it is to be killed; all its waiting is for
# the background
cancel_deaf() {
    start_faulty 'POST:/kill' silent
    RESULT=$RESULT.deaf engine_cell "$FAULTY" --grace 1 -- \
        sh -c 'trap "" TERM; touch deaf; while :; do sleep 0.1; done' 3>&- &
    DEAF=$!
    wait_for test -e deaf
    kill -TERM "$(pgrep -f -- "^$PROGRAM.*--workdir $WORK" | head -n 1)"
}

@test "what a daemon does not confirm is unknown, and one that is silent or gone keeps nobody waiting" {
    unconfirmed() {
        cancel_deaf
        assert_each <<'END'
POST:/wait close 125 unknown true
POST:/wait cut 125 unknown true
POST:/wait nonsense 125 unknown true
POST:/wait empty 125 unknown true
POST:/wait error 125 unknown true
POST:/wait code 125 unknown true
POST:/wait silent 125 unknown false
DELETE:/containers refuse 0 exited false
POST:/wait vanish 125 unknown false
GET:/containers/own/json code 125 unknown true
POST:/start$ vanish 125 unknown false
POST:/containers/create vanish 125 failed false
DELETE:/containers/own vanish 0 exited false
DELETE:/containers/own silent 0 exited false
END
        status=0
        wait "$DEAF" || status=$?
        assert_equal "status of the canceled one" "$status" 143
        stop_faulty
        run -0 cell -- true # the sweep takes what is left
        wait_for has_none
    }
    as_caller unconfirmed
}

@test "an image that somebody removes before its container is made is image.not-found" {
    unimaged() {
        start_faulty 'POST:/containers/create' unimage
        run engine_cell "$FAULTY" -- touch started
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" image.not-found
        [ ! -e started ]
        stop_faulty
        run -0 cell -- true # it is loaded again
        has_none
    }
    as_caller unimaged
}

# fill_disk: so that the daemon can write nothing more
fill_disk() { ! dd if=/dev/zero of="$TEST_DIR/engine/disk/filler" bs=1M 2>/dev/null; }

# bats test_tags=root
@test "a daemon whose disk is full takes no image and makes no container: store.full" {
    full() {
        run -0 cell -- true
        fill_disk
        run cell -- touch started
        assert_equal "status and code" "$status $(result_field .error.code)" "125 store.full"
        rm "$TEST_DIR/engine/disk/filler"
        wait_for has_none
        engine_api DELETE "/images/$(engine_api GET /images/json | jq -r '.[0].Id')?force=1" >/dev/null
        fill_disk
        run cell -- touch started
        assert_equal "status and code" "$status $(result_field .error.code)" "125 store.full"
        rm "$TEST_DIR/engine/disk/filler"
        run -0 cell -- true
        [ ! -e started ]
        wait_for has_none
    }
    as_caller full
}

# These end the daemon, and start it again.

# with_daemon_ended SIGNAL [OPTION...]: a step that has written a line; then the daemon is ended, started again with
# these options, and the step goes on. Its exit status is in $status.
with_daemon_ended() {
    local pid signal=$1
    shift
    rm -f started go
    cell -- sh -c 'echo first; touch started; until [ -e go ]; do sleep 0.1; done; echo second; exit 3' >../out 2>../err 3>&- &
    pid=$!
    wait_for test -e started
    stop_daemon "$signal"
    start_daemon "$@"
    touch go
    status=0
    wait "$pid" || status=$?
}

@test "a daemon that is restarted in mid-step, and leaves containers alone, interrupts nothing" {
    restarted() {
        local signal option=()
        if [ "$ENGINE" = docker ]; then
            option=(--live-restore)
            stop_daemon
            start_daemon "${option[@]}"
        fi
        for signal in TERM KILL; do
            with_daemon_ended "$signal" "${option[@]}"
            assert_equal output "$(cat ../out)" "$(printf 'first\nsecond')"
            assert_equal "status of $signal" "$status" 3
            assert_equal result "$(result_field '"\(.outcome) \(.cleanup.verified)"')" "exited true"
            has_none
        done
        if [ "$ENGINE" = docker ]; then
            stop_daemon
            start_daemon
        fi
    }
    as_caller restarted
}

# bats test_tags=docker
@test "a daemon that takes its containers down with it makes no success of a step" {
    taken_down() {
        with_daemon_ended TERM
        assert_equal output "$(head -n 1 ../out)" first
        assert_equal result "$(result_field '"\(.outcome) \(.signal)"') $status" "signaled 15 143"
        wait_for has_none
    }
    as_caller taken_down
}

@test "a daemon that is killed in mid-step takes no output away, and makes no success" {
    killed_daemon() {
        local pid
        cell -- sh -c 'echo first; touch started; until [ -e go ]; do sleep 0.1; done; echo second' >../out 2>../err 3>&- &
        pid=$!
        wait_for test -e started
        stop_daemon KILL
        touch go
        status=0
        wait "$pid" || status=$?
        assert_equal output "$(cat ../out)" "$(printf 'first\nsecond')"
        assert_equal status "$status" 125
        assert_equal outcome "$(result_field .outcome)" unknown
        assert_equal code "$(result_field .error.code)" engine.unavailable
        start_daemon
        run -0 cell -- true # the sweep takes what is left
        wait_for has_none
    }
    as_caller killed_daemon
}
