# A cell to look into: shell, exec, run -t, --keep, ps, cancel (docs/design/keep-and-exec.md).

load ../lib/common

setup() { UNDER=(); }

# What a failed test has left would run on, or be kept for an hour.
teardown() {
    UNDER=()
    for CALLER in ${CALLERS:-root ranges plain}; do
        for id in $(cells '.cells[].id'); do
            timeout 20 "$STEPCELL" cancel --store "$TEST_DIR/store/$CALLER" "$id" || true
        done
    done
}

# at_terminal WORD... -- COMMAND...: as the caller, with a person at its terminal (tests/lib/terminal.py)
at_terminal() {
    local words=() UNDER
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    UNDER=(timeout 60 python3 "$TESTS/lib/terminal.py" "${words[@]}" --)
    as "$@"
}

# A prompt that nothing else prints; what is typed is echoed in two parts.
PROMPT=(expect='[#$] ' send='PS1=rea""dy:\n' expect=ready:)

# A job in the foreground, which has its own process group when it says so.
SLEEP=(send='sh -c "echo $((4+3))x; exec sleep 60"\n' expect=7x)

cells() { stepcell ps --json | jq -r "$1"; }
has_cell() { [ "$(cells '.cells | length')" != 0 ]; }
# The door of a cell opens when it is 50 ms old.
the_id() {
    wait_for has_cell >&2 || return
    cells '.cells[0].id'
}
is_running() { [ "$(cells '.cells | map(select(.state == "running")) | length')" = 1 ]; }
somebody_runs() { ! nobody_runs; }
nobody_runs() { [ "$(cells '.cells | length')" = 0 ]; }

@test "a shell has a terminal of its own, and the caller's is afterwards what it was" {
    open_shell() {
        run at_terminal size=31x97 "${PROMPT[@]}" send='tty; stty size; pwd\n' expect=/dev/pts/0 expect='31 97' \
            expect="$WORK" expect=ready: send='exit 7\n' \
            -- "$STEPCELL" shell --result "$RESULT" -w "$WORK" "$IMAGE" -- no such command
        assert_equal status "$status" 7
        assert_match "$output" '*stepcell: cell '"$(result_field .id)"': a shell instead of ?"no", "such", "command"?*'
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal clean "$(result_field .cleanup.verified)" true
    }
    each_caller open_shell
}

@test "a shell: the size follows, Ctrl-C ends the foreground job alone, jobs are controlled" {
    work_with_jobs() {
        run at_terminal "${PROMPT[@]}" resize=33x99 send='stty size\n' expect='33 99' expect=ready: \
            "${SLEEP[@]}" send='\x03' send='echo aft""er $?\n' expect='after 130' \
            "${SLEEP[@]}" send='\x1a' expect=topped expect=ready: send='jobs | wc -l\n' expect='1\r' expect=ready: \
            send='kill %1; fg; echo go""ne $(jobs | wc -l)\n' expect='gone 0' expect=ready: send='exit 0\n' \
            -- "$STEPCELL" shell -w "$WORK" "$IMAGE"
        assert_equal status "$status" 0
    }
    CALLER=plain
    as_caller work_with_jobs
}

@test "a shell is bash where the image has it, or what --shell says; it needs a terminal, and has no id" {
    choose() {
        printf '#!/bin/sh\necho this is bash; exit 5\n' >bash
        chmod +x bash
        run at_terminal expect='this is bash' -- "$STEPCELL" shell -w "$WORK" -v "$WORK/bash:/bin/bash" "$IMAGE"
        assert_equal status "$status" 5
        run at_terminal expect=done -- "$STEPCELL" shell -w "$WORK" --shell 'echo done' "$IMAGE"
        assert_equal status "$status" 0
        run --separate-stderr stepcell shell --result "$RESULT" -w "$WORK" "$IMAGE" </dev/null
        assert_refused option.invalid
        run --separate-stderr stepcell shell --id x --result "$RESULT" -w "$WORK" "$IMAGE" </dev/null
        assert_refused option.invalid
    }
    as_caller choose
}

@test "run -t: all output comes, also the last of it, and the status; a killed command leaves no raw terminal" {
    run_there() {
        run at_terminal -- "$STEPCELL" run -q --result "$RESULT" -it -w "$WORK" "$IMAGE" -- \
            sh -c '[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && seq 30000; exit 3'
        assert_equal status "$status" 3
        assert_equal lines "$(tr -d '\r' <<<"$output")" "$(seq 30000)"
        assert_equal bytes "$(result_field .output.stdout.bytes)" "$(seq 30000 | sed 's/$/\r/' | wc -c)"
        run at_terminal expect=go signal=TERM -- "$STEPCELL" run -q --result "$RESULT" -it -w "$WORK" "$IMAGE" -- \
            sh -c 'echo go; sleep 60'
        assert_equal status "$status" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        # Without stdin, and without a terminal of the caller's
        run -0 cell -t -- tty
        assert_match "$output" '/dev/pts/0*'
    }
    each_caller run_there
}

# Everything by which the kernel tells two processes apart that should be alike
PROBE='for i in /proc/self/ns/*; do readlink $i; done; cat /proc/self/uid_map /proc/self/gid_map /proc/self/cgroup /proc/self/limits \
    /proc/self/mountinfo /proc/self/oom_score_adj /proc/self/loginuid 2>/dev/null
    grep -E "^(Uid|Gid|Groups|Umask|NoNewPrivs|Seccomp|Seccomp_filters|Cap...|Sig(Ign|Blk|Cgt)):" /proc/self/status
    env | sort; pwd; ls /proc/self/fd; for i in 0 1 2; do readlink /proc/self/fd/$i | sed "s/[0-9]*//g"; done
    stat -L -c "%u %a" /proc/self/fd/1'

@test "a visitor has the confinement of the step, in every point, beside it and after it" {
    # limits need root's cgroups; the rest is the same for everybody
    compare() {
        local options=(--keep always --cap-drop chown -e GIVEN=1 --secret-env HIDDEN)
        # An ordinary user's daemon has none on cgroups of version 1; root's would raise what is not given.
        [ "${ENGINE:-native}/$CALLER" = podman/ranges ] || options+=(--ulimit nofile=77 --ulimit nproc=1000:1000)
        if [ "$CALLER" = root ]; then
            options+=(--memory 64m --network private -u app)
            chown 1000:1000 . # app: no engine that is a daemon gives a file to somebody else
        fi
        export HIDDEN=long-enough
        stepcell run -q -i -w "$WORK" --result "$RESULT" "${options[@]}" "$IMAGE" -- sh -c \
            "{ $PROBE; } >step; touch ready; while [ ! -e go ]; do sleep 0.1; done" </dev/null 3>&- &
        wait_for test -e ready
        stepcell exec -i "$(the_id)" -- sh -c "$PROBE" </dev/null >beside
        touch go
        wait $!
        assert_equal state "$(cells '.cells[0].state')" kept
        stepcell exec -i "$(result_field .id)" -- sh -c "$PROBE" </dev/null >after
        # What the step had of its own: stdout is a file here.
        diff <(sed '/^pipe\|^\//d; $d' step) <(sed '/^pipe\|^\//d; $d' beside)
        diff beside after
        assert_match "$(cat step)" *$'\n'HIDDEN=long-enough$'\n'*
        stepcell cancel "$(result_field .id)"
    }
    each_caller compare
}

@test "a visitor reaches the abstract sockets of the step, and the host's as little as the step does" {
    local server
    make_attempt "$BATS_TEST_TMPDIR/attempt"
    meet() {
        cp "$BATS_TEST_TMPDIR/attempt" .
        cell -q -- ./attempt serve-abstract 3>&- >serving &
        wait_for grep -qs serving serving
        run -0 stepcell exec "$(the_id)" -- ./attempt connect-abstract
        assert_equal inside "$output" 'connect-abstract ok'
        stepcell cancel "$(the_id)"
        wait $! || true
        ./attempt serve-abstract 3>&- >host &
        server=$!
        wait_for grep -qs serving host
        run -0 cell -q --keep always -- ./attempt connect-abstract
        assert_equal outside "$(stepcell exec "$(the_id)" -- ./attempt connect-abstract)" "$output"
        kill "$server"
        stepcell cancel "$(the_id)"
    }
    as_caller meet
}

@test "exec passes stdin, both streams, the status and signals; what cannot be executed is told" {
    visit() {
        cell -q --keep always -- true
        local id
        id=$(result_field .id)
        run -0 --separate-stderr bash -c 'printf "a\nb" | "$@"' - "$STEPCELL" exec --store "$TEST_DIR/store/$CALLER" \
            -i "$id" -- sh -c 'cat; echo error >&2'
        assert_equal stdout "$output" $'a\nb'
        assert_equal stderr "$stderr" error
        run -9 stepcell exec "$id" sh -c 'exit 9'
        run -137 stepcell exec "$id" -- sh -c 'kill -9 $$'
        run -0 stepcell exec "$id" -- cat
        assert_equal empty "$output" ""
        run -127 stepcell exec "$id" nothing-of-that-name
        assert_match "$output" "stepcell: command 'nothing-of-that-name' is not in the image*hint: install it in the image*"
        run -126 stepcell exec "$id" /etc/passwd
        run -125 stepcell exec "$id" --
        assert_match "$output" "stepcell: a cell and a command are needed"$'\n'*hint:*
        run -0 stepcell exec "$id" -- sh -c 'seq 200000 | md5sum; seq 200000'
        assert_equal all "$(md5sum <<<"${output#*$'\n'}")" "${output%%$'\n'*}"
        run -0 stepcell exec "$id" -- printf '%s|' -it -- --store
        assert_equal words "$output" '-it|--|--store|'
        stepcell exec "$id" -- sh -c 'trap "touch told; exit 4" TERM; touch up; while :; do sleep 0.05; done' 3>&- &
        wait_for test -e up
        pkill_child TERM $!
        status=0
        wait $! || status=$?
        assert_equal status "$status" 4
        [ -e told ]
        stepcell cancel "$id"
        run -125 stepcell exec "$id" true
        assert_match "$output" "stepcell: no cell has the id '$id'*hint:*stepcell ps*"
    }
    CALLER=ranges
    as_caller visit
}

# pkill_child SIGNAL PID: to the stepcell that this job of the shell is, or has as its child
pkill_child() { pkill "-$1" -P "$2" -x stepcell || kill "-$1" "$2"; }

@test "exec -t: a terminal of its own; whoever is killed takes the command along" {
    visit() {
        cell -q --keep always -- true
        local id
        id=$(result_field .id)
        run at_terminal size=20x50 "${PROMPT[@]}" send='stty size; tty; echo $TERM\n' expect='20 50' expect=/dev/pts/0 \
            resize=21x51 send='stty size\n' expect='21 51' expect=ready: "${SLEEP[@]}" \
            send='\x03' expect=ready: send='exit $?\n' -- "$STEPCELL" exec -it "$id" sh
        assert_equal status "$status" 130
        run at_terminal expect=go signal=KILL -- "$STEPCELL" exec -it "$id" -- sh -c 'echo go; sleep 60'
        wait_for alone "$id"
        stepcell cancel "$id"
    }
    as_caller visit
}

@test "exec ends when nobody reads its output any more" {
    unread() {
        cell -q --keep always -- true
        local id
        id=$(result_field .id)
        for options in "" -t; do
            # shellcheck disable=SC2086 # no word
            run -0 as timeout 20 bash -c '"$@" | head -1; echo "${PIPESTATUS[0]}" >../status' - "$STEPCELL" exec $options "$id" -- yes
            assert_equal output "${output%$'\r'}" y
            assert_match "$(cat ../status)" "$([ -n "$options" ] && echo 129 || echo 141)"
        done
        # What has no room is no such thing.
        run -125 as bash -c '"$@" >/dev/full' - "$STEPCELL" exec "$id" -- echo hi
        assert_match "$output" "stepcell: cannot write the output: No space left*hint: *"
        run -3 as bash -c '"$@" >/dev/full' - "$STEPCELL" exec "$id" -- sh -c 'echo hi; exit 3'
        # The same for stderr.
        run -0 as timeout 20 bash -c '{ "$@" 2>&1 >../out | :; }' - "$STEPCELL" exec "$id" -- sh -c 'echo lost >&2; sleep 0.2; echo lost >&2; echo out'
        assert_equal out "$(cat ../out)" ""
        wait_for alone "$id"
        stepcell cancel "$id"
    }
    as_caller unread
}

@test "32 commands run in a cell at once, and do not hide it" {
    crowd() {
        local id i
        stepcell run -q --id crowd --keep always -w "$WORK" "$IMAGE" -- true
        for i in {1..32}; do
            stepcell exec crowd -- sh -c 'echo in; exec sleep 60' >>in 2>&1 3>&- &
        done
        wait_for lines 32 in
        assert_equal listed "$(the_id)" crowd
        run -125 --separate-stderr stepcell exec crowd -- true
        assert_match "$stderr" '*32 commands run in the cell already*hint: wait*'
        run -0 stepcell cancel crowd
        assert_equal output "$output" ""
        nobody_runs
        ended() { [ "$(grep -c 'hint: with its step, by .stepcell cancel' in)" = 32 ]; }
        wait_for ended
    }
    as_caller crowd
}

@test "a store that cannot be read is no store without cells" {
    unreadable() {
        local words
        as mkdir ../none
        chmod 0700 ../none
        chown 0:0 ../none
        for words in "ps --store ../none" "ps --json --store /nonexistent" "exec --store ../none x true"; do
            # shellcheck disable=SC2086 # several words
            run -125 --separate-stderr stepcell $words
            assert_equal output "$output" ""
            assert_match "$stderr" "*cannot read the store*hint: *--store*"
        done
        for words in "status x" "report x"; do
            # shellcheck disable=SC2086 # several words
            run -125 --separate-stderr stepcell $words --store ../none
            assert_match "$stderr" "*cannot read step 'x' in the store*hint: *--store*"
        done
        # Before the first step there is none.
        run -0 as env STEPCELL_STORE="$PWD/new" "$STEPCELL" ps
        assert_match "$output" "ID *"
    }
    CALLER=plain
    as_caller unreadable
}

# lines COUNT FILE
lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }

# alone ID: nothing runs in the cell but pid 1 and who looks
alone() { [ "$(stepcell exec "$1" -- sh -c 'ls -d /proc/[0-9]*' | wc -l)" -le 3 ]; }

@test "a step gets nothing of who enters its cell" {
    musl-gcc -O1 -static -o "$BATS_TEST_TMPDIR/spy" "$TESTS/lib/spy.c"
    look() {
        local path i
        cp "$BATS_TEST_TMPDIR/spy" .
        # A long way to the command is a long time in which the visitor is still stepcell-init.
        path=$(printf '/nowhere/%d:' {1..3000})/bin
        cell -q -e PATH="$path" -- "$WORK/spy" >seen 3>&- &
        wait_for is_running
        for i in 1 2; do
            stepcell exec "$(the_id)" -- nothing-of-that-name 2>/dev/null || true
            stepcell exec "$(the_id)" -- true
        done
        # CVE-2019-5736: the program of who enters, made to run as the command
        run stepcell exec "$(the_id)" -- /proc/1/exe
        [ "$status" -ne 0 ]
        run stepcell exec "$(the_id)" -- /bin/sh -c ': >/proc/1/exe'
        assert_match "$output" '*1/exe*'
        stepcell cancel "$(the_id)"
        wait $! || true
        assert_equal seen "$(sort -u seen)" saw
    }
    # As root of a cell, which has all capabilities that there are in one; as the caller's own id.
    as_caller look
    CALLER=plain
    as_caller look
}

@test "nobody comes to a door from inside of a cell, be the store mounted there" {
    try_the_door() {
        cell -q --keep always -- true
        local id
        id=$(result_field .id)
        run -0 cell -q -v "$STEPCELL_RELEASE:/stepcell" -v "$TEST_DIR/store/$CALLER:/store:ro" -- sh -c \
            '/stepcell ps --json --store /store; ! /stepcell exec --store /store '"$id"' true'
        assert_match "$output" '*"cells": ??*'"no cell has the id '$id'"*
        assert_equal outside "$(the_id)" "$id"
        stepcell cancel "$id"
    }
    # root's cells have other ids, and an ordinary user's have the caller's
    CALLER=plain
    as_caller try_the_door
}

@test "a step that fails is kept until its deadline, with what it wrote, and nothing of it runs" {
    fail() {
        local STORE=$TEST_DIR/store/$CALLER
        # Who reads the output to its end does not wait for the deadline, nor on any other descriptor of the step's.
        run cell --keep on-failure --keep-for 3s -- sh -c 'echo out; echo there >/file; sleep 60 & exit 3' 7> >(cat >/dev/null)
        [[ $(date -u +%Y-%m-%dT%H:%M:%S.%NZ) < $(result_field .kept_until) ]]
        assert_equal status "$status" 3
        assert_match "$output" "*out*stepcell: the cell is kept until *'stepcell exec -it $(result_field .id) -- sh'*"
        assert_equal verified "$(result_field .cleanup.verified)" false
        assert_match "$(result_field .cleanup.left[])" 'the cell, which is kept until 20*'
        assert_equal until "$(cells '.cells[0].until')" "$(result_field .kept_until)"
        run -0 stepcell exec "$(result_field .id)" -- sh -c 'cat /file; ls -d /proc/[0-9]* | wc -l'
        assert_match "$output" $'there\n[1-4]'
        assert_match "$(stepcell ps)" "*$(result_field .id) *kept *KiB *sh -c*"
        wait_for nobody_runs
        run -125 stepcell exec "$(result_field .id)" true
        run cell --store "$STORE" --keep always --keep-for 1s -- true
        assert_match "$output" "*'stepcell exec --store $STORE -it * -- sh'*'stepcell cancel --store $STORE *'*"
        wait_for nobody_runs
    }
    each_caller fail
}

@test "of a step whose process behind the caller's was killed nobody knows the end, nor what is left" {
    lost() {
        cell --keep on-failure -- sleep 60 2>../err &
        local front=$! pid
        wait_for somebody_runs
        pid=$(cells '.cells[0].supervisor')
        kill -KILL "$pid"
        status=0
        wait "$front" || status=$?
        assert_equal status "$status" 125
        assert_equal outcome "$(result_field .outcome)" unknown
        assert_equal cleanup "$(result_field '.cleanup | tojson')" '{"verified":false,"left":["the cell"]}'
        assert_match "$(cat ../err)" "*the process that runs the step was killed*"
        wait_for nobody_runs
        run -0 cell -- true # which removes what is left
    }
    each_caller lost
}

@test "ps shows nothing that drives a terminal" {
    drive() {
        local names=$'../i\e]0;owned\a\u009b31m'
        cp -r "$IMAGES/busybox" "$names"
        IMAGE=oci:$PWD/$names:latest cell -q --keep always -- sh -c $': \u009b31m\e[1m'
        run -0 stepcell ps
        [[ $output != *[$'\e\a\u009b']* ]]
        assert_match "$output" '*/i?x1b?0;owned?x07?xc2?x9b31m:latest *sh -c : ?xc2?x9b31m?u001B?1m'
        stepcell cancel "$(result_field .id)"
    }
    CALLER=plain as_caller drive
}

@test "who asks for the record of a cell whose step had no id learns why there is none" {
    unrecorded() {
        local command
        cell -q --keep always -- true
        for command in report status logs; do
            run -125 stepcell "$command" "$(result_field .id)"
            assert_match "$output" "*the step of the cell '$(result_field .id)' had no --id*hint: 'stepcell exec *--id*"
        done
        stepcell cancel "$(result_field .id)"
        run -125 stepcell report "$(result_field .id)"
        assert_match "$output" "*no step has the id*"
    }
    CALLER=plain as_caller unrecorded
}

@test "what is kept: failures and timeouts, or whatever has ended; never what was canceled" {
    kept() {
        run cell -q "$@"
        assert_equal kept "$(cells '.cells | length')" "$expected"
        [ "$expected" = 0 ] || stepcell cancel "$(result_field .id)"
        nobody_runs
    }
    table() {
        expected=0 kept --keep on-failure -- true
        expected=0 kept --keep never -- false
        expected=1 kept --keep always -- true
        expected=1 kept --keep on-failure -- sh -c 'kill -9 $$'
        expected=1 kept --keep on-failure -- /etc/passwd
        expected=1 kept --keep on-failure --timeout 500ms --grace 500ms -- sh -c 'trap "" TERM; while :; do sleep 0.1; done'
        assert_equal outcome "$(result_field .outcome)" timed-out
        expected=0 kept --keep always -u no-such-user -- true
        cell -q --keep always -- sh -c 'touch up; sleep 60' 3>&- &
        wait_for test -e up
        wait_for is_running
        stepcell cancel "$(the_id)"
        status=0
        wait $! || status=$?
        assert_equal status "$status" 143
        nobody_runs
        assert_equal outcome "$(result_field .outcome)" canceled
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    as_caller table
}

@test "a holder that is killed, or whose cell is killed, leaves nothing" {
    kill_it() {
        cell -q --keep always -- true
        kill -9 "$(cells '.cells[0].supervisor')"
        wait_for nobody_runs
        run -125 stepcell exec "$(result_field .id)" true
        cell -q -- true
        written=$(written_to_scratch "$TEST_DIR/store/$CALLER")
        assert_equal "the scratch" "$written" ""
        # Its first process alone
        cell -q --keep always -- true
        kill -9 "$(first_process)"
        wait_for nobody_runs
        # Who calls is killed while the step runs
        as "$STEPCELL" run -q --keep always -w "$WORK" "$IMAGE" -- sh -c 'touch up; sleep 60' 3>&- &
        wait_for test -e up
        wait_for is_running
        kill -9 "$(ps -o ppid= "$(cells '.cells[0].supervisor')")"
        wait $! || true
        wait_for nobody_runs
        cell -q -- true
    }
    each_caller kill_it
}

@test "a durable step's cell is kept under its id, and ends when it is canceled or forgotten" {
    keep() {
        run -5 stepcell run -q --id one --keep on-failure -w "$WORK" "$IMAGE" -- sh -c 'echo x; exit 5'
        run -5 stepcell run -q --id one -w "$WORK" "$IMAGE" -- sh -c 'echo x; exit 5'
        assert_equal state "$(stepcell status one)" \
            "finished exited 5, its cell is kept until $(cells '.cells[0].until')"
        assert_equal until "$(stepcell status --json one | jq -r .kept_until)" "$(cells '.cells[0].until')"
        run -0 stepcell exec one echo inside
        assert_equal output "$output" inside
        stepcell cancel one
        nobody_runs
        assert_equal state "$(stepcell status one)" 'finished exited 5'
        stepcell forget one
        run -5 stepcell run -q --id one --keep on-failure -w "$WORK" "$IMAGE" -- sh -c 'exit 5'
        assert_equal kept "$(the_id)" one
        stepcell forget one
        nobody_runs
    }
    each_caller keep
}

@test "a cell whose holder does not answer is there: nothing is said or done as if it were not" {
    stopped() {
        local holder
        run -5 stepcell run -q --id one --keep on-failure -w "$WORK" "$IMAGE" -- sh -c 'exit 5'
        holder=$(cells '.cells[0].supervisor')
        kill -STOP "$holder"
        assert_equal state "$(cells '.cells[0] | "\(.state) \(.id)"')" "unresponsive null"
        local command
        for command in cancel forget; do
            run -125 --separate-stderr stepcell "$command" one
            assert_match "$stderr" "*a cell does not answer*/cells/*"
        done
        assert_match "$(stepcell status one)" "finished exited 5, its cell is kept until *"
        kill -CONT "$holder"
        stepcell forget one
        nobody_runs
        run -125 stepcell status one
    }
    CALLER=root as_caller stopped
}

@test "limits and a private network of a kept cell are held with it, and end with it" {
    hold() {
        cell -q --keep always --memory 32m --pids-limit 20 --network private -- sh -c 'ip route >route'
        run -0 stepcell exec "$(result_field .id)" -- sh -c \
            'ip route | diff - route; for i in $(seq 40); do sleep 1 & done 2>&1 | grep -o "an.t fork" | sort -u'
        assert_equal forks "$output" "an't fork"
        stepcell cancel "$(result_field .id)"
    }
    CALLER=root
    as_caller hold
}
