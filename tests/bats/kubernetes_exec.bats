#!/usr/bin/env bats
# Into a Pod: `stepcell exec`, -i, -t, `stepcell shell` and --keep with `--engine kubernetes`.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# With a command before it, if UNDER has one.
in_stepcell() { as "$SCRIPTS/kubernetes" exec "$CLUSTER" "$STEPCELL" "$@"; }

# the_cell: the id of the one that runs or is kept
has_cell() { [ "$(in_stepcell ps --json | jq '.cells | length')" != 0 ]; }
the_cell() {
    wait_for has_cell >&2 || return
    in_stepcell ps --json | jq -r '.cells[0].id'
}

# at_terminal WORD... -- OPTION... -- COMMAND...: pod_cell with a person at its terminal (tests/lib/terminal.py)
at_terminal() {
    local words=() UNDER
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    UNDER=(timeout 60 python3 "$TESTS/lib/terminal.py" "${words[@]}" --)
    pod_cell "$@"
}

# What a process has of its step.
PROBE='for i in /proc/self/ns/*; do readlink $i; done; env | sort; pwd; umask
    grep -E "^(Uid|Gid|Groups|Umask|NoNewPrivs|Seccomp|Cap...|Sig(Ign|Blk)):" /proc/self/status; cat /proc/self/limits'

@test "exec: streams, stdin, status and signals, with all that the step has and no more" {
    local id
    begin_cell "$TEST_DIR/visited" sh -c "{ $PROBE; } >step; echo up; until [ -e go ]; do sleep 0.1; done; exit 3"
    id=$(the_cell)
    run -7 --separate-stderr in_stepcell exec "$id" -- sh -c 'echo out; echo err >&2; exit 7'
    assert_equal streams "$output $stderr" "out err"
    in_stepcell exec "$id" -- sh -c "$PROBE" >"$WORK/visitor"
    diff "$WORK/step" "$WORK/visitor"
    head -c 3000000 /dev/urandom >"$WORK/data"
    in_stepcell exec -i "$id" -- cat <"$WORK/data" | cmp - "$WORK/data"
    # One that does not read it, and one that is told while it waits to be read.
    run -0 in_stepcell exec -i "$id" -- true <"$WORK/data"
    interrupted() {
        local UNDER=(timeout --preserve-status -s INT 2)
        in_stepcell exec -i "$id" -- sleep 60 </dev/zero
    }
    run -130 interrupted
    run -137 in_stepcell exec "$id" -- sh -c 'kill -9 $$'
    run -127 --separate-stderr in_stepcell exec "$id" -- nowhere
    assert_match "$stderr" "stepcell: *'nowhere'*"
    # One whose output nobody reads gets its signals all the same.
    unread() {
        in_stepcell exec "$id" -- sh -c 'trap "touch told; exit 9" USR1; touch full; yes & while :; do sleep 0.1; done' |
            { wait_for [ -e "$WORK/told" ] && wc -c >"$TEST_DIR/read"; }
        return "${PIPESTATUS[0]}"
    }
    unread 3>&- 4>&- &
    wait_for [ -e "$WORK/full" ]
    sleep 2
    pkill -USR1 -f "^[^ ]*/stepcell exec $id"
    status=0
    wait $! || status=$?
    assert_equal status "$status" 9
    [ "$(cat "$TEST_DIR/read")" -gt 1000000 ]
    # Who only sees the door cannot come in by it.
    run -1 in_stepcell exec "$id" -- sh -c 'rm -f /.stepcell/sent/stepcell-pod || echo 7 >/.stepcell/sent/stepcell-pod'
    touch "$WORK/go"
    ended_as 3 exited
    assert_equal left "$(cat "$TEST_DIR/visited.err")" ''
    nothing_left
}

@test "-i: stdin byte for byte, with its end, and a step that does not read it" {
    head -c 3000000 /dev/urandom >"$WORK/data"
    pod_cell -i -- cat <"$WORK/data" | cmp - "$WORK/data"
    run -4 pod_cell -i -- sh -c 'exec <&-; exit 4' <"$WORK/data"
    nothing_left
}

@test "a connection that is lost is no end of stdin" {
    local visit
    mkfifo "$WORK/never" "$WORK/neither"
    exec 8<>"$WORK/never" 9<>"$WORK/neither"
    echo part >&8
    pod_cell -i -- sh -c 'cat >got; touch ended' <"$WORK/never" 3>&- 4>&- 8>&- 9>&- &
    CELL=$!
    wait_for [ -s "$WORK/got" ]
    in_stepcell exec -i "$(the_cell)" -- sh -c 'touch visited; cat; touch ended' <"$WORK/neither" >"$TEST_DIR/visit" 2>&1 \
        3>&- 4>&- 8>&- 9>&- &
    visit=$!
    wait_for [ -e "$WORK/visited" ]
    stop_part apiserver
    run -125 wait "$visit"
    start_part apiserver
    ended_as 125 failed
    assert_match "$(result_field .error.message)" '*standard input*was lost*'
    exec 8>&- 9>&-
    assert_match "$(cat "$TEST_DIR/visit")" '*gives no answer: the connection broke*'
    [ ! -e "$WORK/ended" ]
    nothing_left
}

@test "a shell in a Pod: a terminal of its own, whose size follows" {
    run -7 at_terminal size=31x97 expect='[#$] ' send='PS1=rea""dy:\n' expect=ready: send='tty; stty size\n' \
        expect=/dev/pts/0 expect='31 97' expect=ready: resize=33x99 send='stty size\n' expect='33 99' expect=ready: \
        send='sh -c "echo $((4+3))x; exec sleep 60"\n' expect=7x send='\x03' expect=ready: send='exit 7\n' \
        -- -it -- sh
    run -0 pod_cell -t -- tty
    assert_match "$output" '/dev/pts/0*'
    nothing_left
}

@test "a Pod is kept, entered at a terminal too, and ended by its deadline, by cancel or by others" {
    local id
    run -5 pod_cell -q --keep on-failure -- sh -c 'echo kept >/tmp/kept; sleep 60 & exit 5'
    id=$(the_cell)
    run -0 in_stepcell exec "$id" -- cat /tmp/kept
    assert_equal kept "$output" kept
    run -0 in_stepcell exec "$id" -- ps
    [[ $output != *sleep* ]]
    enter() {
        local UNDER=(timeout 60 python3 "$TESTS/lib/terminal.py" "$@" --)
        in_stepcell exec -it "$id" -- sh -c 'tty; stty size; read -r line; stty size; exit "$line"'
    }
    run -3 enter size=31x97 expect=/dev/pts/0 expect='31 97' resize=33x99 send='3\n' expect='33 99'
    in_stepcell cancel "$id"
    nothing_left
    run -5 pod_cell -q --keep always --keep-for 1s -- sh -c 'exit 5'
    wait_for nothing_left
    run -5 pod_cell -q --keep always -- sh -c 'exit 5'
    kube -n "$NAMESPACE" delete "$(the_pod)" --wait=false
    wait_for nothing_left
    ! has_cell
}

# Again, since a signal that comes before the step is known to run is none of the step's.
signaled() {
    pkill -USR1 -f "^$STEPCELL run --result $RESULT "
    assert_match "$(cat "$TEST_DIR/said")" "stepcell: SIGUSR1 did not reach the step: *this user may not" >/dev/null
}

@test "who comes into a Pod needs pods/exec, and nobody else does" {
    worker() { KUBECONFIG=$CLUSTER/kubeconfig/worker pod_cell "$@"; }
    sed -n '/^   apiVersion: rbac/,/^   ```/p' "$TESTS/../docs/kubernetes.md" | sed '/```/d; s/^   //' >"$TEST_DIR/role"
    grep -v pods/exec "$TEST_DIR/role" | kube -n "$NAMESPACE" create -f -
    kube -n "$NAMESPACE" create rolebinding stepcell --role=stepcell --group=workers
    run -125 --separate-stderr worker -i -- touch began </dev/null
    assert_match "$stderr" "stepcell: *does not let stepcell bring the step its input: 'get' of pods/exec is not allowed*"
    [ ! -e "$WORK/began" ]
    nothing_left
    # Nor is a signal lost without a word.
    start_worker() { worker -- sh -c 'trap "exit 9" USR1; touch up; while [ ! -e go ]; do sleep 0.1; done'; }
    start_worker 2>"$TEST_DIR/said" 3>&- 4>&- &
    wait_for [ -e "$WORK/up" ]
    wait_for signaled
    touch "$WORK/go"
    wait $!
    nothing_left
    kube -n "$NAMESPACE" apply -f "$TEST_DIR/role"
    run -0 worker -i -- cat <<<fine
    assert_equal stdout "$output" fine
    nothing_left
}
