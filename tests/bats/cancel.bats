# Canceling a step in each of its phases: what is said of it, and that nothing is left. A table: each row is a phase,
# a way of canceling it, and what comes of it. What exit.bats has (a command that runs, plain) is not repeated.

load ../lib/common
load ../lib/registry
load ../lib/faults
load ../lib/steps

setup() {
    FAULT_PIDS=() READER=''
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    start_registry
    push "$IMAGE" busybox:1
    start_before slow slow
}

teardown() {
    [ -z "$READER" ] || kill "$READER" 2>/dev/null || true
    stop_faults
    stop_registry
}

# A phase_NAME sets the image and the command, and what slows the phase down; at_NAME tells that it is reached.
phase_pull() { FROM=$(faults slow)/busybox:1; }
at_pull() { grep -qs '"image.progress"' ../events "$STORE"/steps/*/events.ndjson; }

phase_unpack() { slow_call symlinkat; }
at_unpack() { find "$STORE" -name '*.part' 2>/dev/null | grep -q .; }

phase_create() { slow_call pivot_root; }
at_create() { grep -qs '"image.resolved"' ../events "$STORE"/steps/*/events.ndjson && [ -n "$(processes_in_cells)" ]; }

phase_run() { COMMAND='trap "echo ending; exit 3" TERM INT; touch started; while :; do sleep 0.05; done'; }
at_run() { [ -e started ]; }

# The grace is ten seconds: who waits it out is late.
phase_stubborn() { COMMAND='trap "" TERM INT; touch started; while :; do sleep 0.05; done'; }
at_stubborn() { [ -e started ]; }

# A reader that does not read: what the pipes hold is written, the rest waits for it.
phase_drain() {
    mkfifo ../stdout
    chown "$(caller_name)" ../stdout
    sleep 300 <>../stdout 3>&- &
    READER=$!
    STDOUT=../stdout COMMAND='head -c 100000 /dev/zero; touch started; exit 5'
}
at_drain() { [ -e started ] && [ -z "$(processes_in_cells)" ]; }

# slow_call NAME: each of these system calls takes two and a half seconds, also of a process that is killed in it
slow_call() { UNDER=(strace -qq -f -o /dev/null -e trace="$1" -e inject="$1:delay_enter=2500000"); }

# begin HOW: the step, in the background: plain, or durable and attached; CLIENT is the process to be signalled
begin() {
    local options=()
    if [ "$1" = plain ]; then options=(--events file:../events); else options=(--id "$ID"); fi
    # A shell without job control lets its background jobs ignore INT; env undoes that.
    as sh -c 'echo $$ >../pid; exec env --default-signal=INT "$@"' sh "$STEPCELL" run --quiet --store "$STORE" \
        --result "$RESULT" -w "$WORK" "${options[@]}" "$FROM" -- sh -c "$COMMAND" >"$STDOUT" 2>../stderr 3>&- &
    STEP=$!
}

# cancel_by HOW: INT, TERM, INT-INT, TERM-TERM, TERM-INT to the client, or once or twice by the command
cancel_by() {
    local one first=yes
    for one in ${1//-/ }; do
        [ -n "$first" ] || sleep 0.5
        first=''
        case $one in
        cancel) stepcell cancel --store "$STORE" --id "$ID" 2>/dev/null ;;
        *) kill -"$one" "$(cat ../pid)" 2>/dev/null || true ;;
        esac
    done
}

# canceled KIND PHASE HOW STATUS OUTCOME LAST: one row. LAST is the phase in which it ended, before what follows always.
canceled() {
    local kind=$1 phase=$2 how=$3 start
    echo "row: $*"
    rm -rf started ../pid ../events ../stdout "$RESULT" "$STORE"
    new_id
    FROM=$IMAGE COMMAND=true STDOUT=../output UNDER=()
    "phase_$phase"
    begin "$kind"
    wait_for "at_$phase"
    wait_for test -s ../pid
    sleep 0.3
    start=$SECONDS
    UNDER=()
    cancel_by "$how"
    ended "$STEP"
    [ $((SECONDS - start)) -lt 9 ]
    assert_equal status "$status" "$4"
    assert_equal result "$(result_field '"\(.outcome) \(.exit_code) \(.error) \(.cleanup.verified)"')" "$5 $4 null true"
    assert_equal "last phase" "$(result_field '[.phases[].name | select(. != "drain" and . != "cleanup")] | last')" "$6"
    if [ "$kind" = durable ]; then
        assert_equal "who asks" "$(stepcell status --store "$STORE" --id "$ID")" "finished $5 $4"
        assert_equal supervisor "$(stepcell status --json --store "$STORE" --id "$ID" | jq .supervisor)" null
    fi
    assert_equal "left in the scratch" "$(written_to_scratch "$STORE")" ""
    # Who asks twice does not wait until a layer that is half unpacked is removed: the next call does that.
    [[ $how == *-* ]] || assert_equal "left in the store" "$(find "$STORE" -name '*.part')" ""
    [ -z "$READER" ] || kill "$READER"
    READER=''
}

# rows: a table on stdin, one row after another
rows() {
    local row
    STORE=${WORK%/*}/store
    while read -r row; do
        # shellcheck disable=SC2086 # words
        canceled $row
    done <<<"$1"
}

@test "a step is canceled in each of its phases by INT and TERM" {
    CALLERS="root plain" each_caller rows "plain pull INT 130 canceled pull
        plain pull TERM 143 canceled pull
        plain unpack INT 130 canceled pull
        plain unpack TERM 143 canceled pull
        plain create INT 130 canceled start
        plain create TERM 143 canceled start
        durable pull INT 130 canceled pull
        durable unpack TERM 143 canceled pull
        durable create INT 130 canceled start
        durable run INT 130 canceled run
        durable run TERM 143 canceled run"
}

@test "a stderr that nobody reads keeps nothing from its end" {
    stuck() {
        as mkfifo ../fifo
        # It is full when stepcell has something to say.
        run -124 as timeout -s KILL 30 "$STEPCELL" run --timeout 500ms --grace 500ms --result "$RESULT" --workdir "$WORK" \
            "$IMAGE" sh -c 'yes >&2' 2<>../fifo
        assert_equal outcome "$(result_field .outcome)" timed-out
        # However much there is to say: each message would wait for five seconds of its own.
        exec 7<>../fifo
        head -c 65536 /dev/zero >&7
        run -125 as timeout -s KILL 14 "$STEPCELL" run --package missing --package gone --script lost "$IMAGE" 2>&7
        exec 7>&-
    }
    CALLERS=plain each_caller stuck
}

@test "a pipe of another user's that nobody reads keeps no step from its end" {
    # As with sudo and su: what is theirs cannot be opened again.
    stuck() {
        exec 7> >(exec sleep 60 >/dev/null 2>&1 3>&-)
        local reader=$! status=0
        as timeout -s KILL 20 "$STEPCELL" run --timeout 500ms --grace 500ms --result "$RESULT" --workdir "$WORK" "$IMAGE" \
            yes >&7 7>&- || status=$?
        exec 7>&-
        kill "$reader"
        assert_equal status "$status" 124
        assert_equal outcome "$(result_field .outcome)" timed-out
    }
    CALLERS=plain each_caller stuck
}

@test "who asks twice does not wait" {
    CALLERS=root each_caller rows "plain pull TERM-TERM 143 canceled pull
        plain unpack INT-INT 130 canceled pull
        plain stubborn TERM-TERM 143 canceled run
        plain stubborn INT-TERM 130 canceled run
        durable pull TERM-TERM 143 canceled pull
        durable unpack INT-INT 130 canceled pull
        durable stubborn TERM-TERM 143 canceled run
        durable stubborn INT-INT 130 canceled run"
}

@test "stepcell cancel ends a step in each of its phases, twice at once" {
    CALLERS=root each_caller rows "durable pull cancel 143 canceled pull
        durable unpack cancel 143 canceled pull
        durable create cancel 143 canceled start
        durable run cancel 143 canceled run
        durable stubborn cancel-cancel 143 canceled run
        durable pull cancel-cancel 143 canceled pull"
}

@test "a step that has ended is not canceled any more: its reader is not waited for" {
    CALLERS='root plain' each_caller rows "plain drain INT 5 exited run
        plain drain TERM 5 exited run
        plain drain TERM-TERM 5 exited run
        durable drain INT 5 exited run
        durable drain TERM 5 exited run"
}

@test "timeout(1), which signals its process and then the group, is one wish to a durable step as well" {
    wished() {
        local i
        for i in 1 2 3; do
            rm -f started ended
            new_id
            run -124 as timeout 2 "$STEPCELL" run --quiet --id "$ID" --result "$RESULT" -w "$WORK" "$IMAGE" -- \
                sh -c 'trap "sleep 0.3; touch ended; exit 0" TERM; touch started; while :; do sleep 0.1; done'
            [ -e ended ]
            assert_equal outcome "$(result_field '"\(.outcome) \(.exit_code)"')" "canceled 143"
            assert_equal "who asks" "$(stepcell status --id "$ID")" "finished canceled 143"
        done
    }
    CALLERS='root plain' each_caller wished
}

# changes FILE: as a Pod gives them back (return_stream.h): two files, the first of several pieces
changes() {
    python3 - "$1" <<'END'
import os, struct, sys
files = {b"big": b"x" * 200000, b"small": b"new"}
def record(kind, size, name=b"", content=b"", seconds=0):
    return struct.pack("=8sIIQqIIII", b"return1", kind, 0o644, size, seconds, 0, len(name), 0, 0) + name + content
with open(sys.argv[1], "wb") as out:
    for name in files:
        out.write(record(3, len(files[name]), name, files[name]))
    out.write(record(7, len(files), seconds=sum(map(len, files.values()))))
END
}

# applied SIGNAL STATUS: they are applied, and SIGNAL comes when the first piece is written
applied() {
    local image=${STEPCELL%/bin/*}/libexec/stepcell/stepcell-image
    changes ../changes
    : >../list
    echo old | tee big small >/dev/null
    run -"$2" --separate-stderr strace -qq -o /dev/null -e trace=write -e inject=write:signal="$1":when=1 \
        "$image" return --list ../list --same "$(stat -c %d:%i .)" ../changes "$PWD"
    assert_equal files "$(echo .[!.]* *)" ".[!.]* big small"
}

@test "what a step has changed is not torn apart by signals for the whole process group, and stops between two files when told to" {
    told() {
        local name
        for name in INT TERM HUP QUIT; do
            applied $name 0
            assert_equal content "$(wc -c <big) $(cat small)" "200000 new"
            assert_equal warnings "$(jq '.warnings | length' <<<"$output")" 2
        done
        applied VTALRM 125
        assert_equal content "$(cat big small)" $'old\nold'
        assert_match "$(jq -r .error.hint <<<"$output")" "a part of what the step has changed may be there*'$PWD'"
    }
    CALLERS=root each_caller told
}
