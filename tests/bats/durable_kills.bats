# Durable steps of which a process (client, supervisor, a child of theirs) is killed at some system call, whichever:
# everybody who asks afterwards gets the same answer, and it is true. STEPCELL_KILLS is how many calls of each kind are tried (4; of hundreds there
# are many that nothing happens at).

load ../lib/common
load ../lib/steps

setup() {
    STEPCELL=$STEPCELL_RELEASE
    COMMAND=(sh -c 'echo started >>starts; echo out; echo err >&2; exit 7')
}

# told FILE: one way of asking, with what it says in FILE
told() {
    status=0
    stepcell run --id "$ID" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- "${COMMAND[@]}" >"../$1.out" 2>"../$1.err" ||
        status=$?
    echo "$status $(jq -c '[.outcome, .exit_code, .cleanup.verified, .output]' "$RESULT")" >"../$1"
}

# assert_told_the_truth WHERE: everybody is told the same of $ID, and it is what happened
assert_told_the_truth() {
    local starts=0
    told first
    told second
    [ ! -e starts ] || starts=$(wc -l <starts)
    echo "$1: $(cat ../first), started $starts times, then $(cat ../second)"
    cmp ../first ../second
    assert_equal "who only looks" "$(stepcell status --id "$ID")" "finished $(jq -r '.outcome + " \(.exit_code)"' "$RESULT")"
    [ "$starts" -le 1 ]
    case $(jq -r .outcome "$RESULT") in
    exited)
        assert_equal status "$status" 7
        assert_equal starts "$starts" 1
        assert_equal stdout "$(cat ../first.out)" out
        assert_equal stderr "$(grep -v '^stepcell: ' ../first.err)" err
        ;;
    unknown)
        assert_equal status "$status" 125
        [[ $(cat ../first.out) =~ ^(out)?$ ]]
        ;;
    *) false ;;
    esac
    # It may have been a child that cleans up; then what is left is named, and gone with the next call.
    assert_equal cleanup "$(result_field '.cleanup | .verified or (.left | length) > 0')" true
    assert_equal "last events" "$(stepcell logs --json --id "$ID" 2>/dev/null | grep -c '"step.finished"')" 1
}

# killed_at_each CALL...: one after another, at the first calls of each kind
killed_at_each() {
    local call at
    for call; do
        for at in $(seq "${STEPCELL_KILLS:-4}"); do
            new_id
            rm -f starts
            kill_at "$call" "$at" "$STEPCELL" run --id "$ID" --workdir "$WORK" "$IMAGE" -- "${COMMAND[@]}" \
                >/dev/null 2>&1 3>&- || true
            assert_told_the_truth "$call $at"
            stepcell forget --id "$ID"
        done
    done
}

@test "a process of a durable step that is killed where it flushes or renames is answered for" {
    each_caller killed_at_each fdatasync fsync renameat renameat2
}

@test "a process of a durable step that is killed where it writes, makes a process, or waits is answered for" {
    CALLERS=root each_caller killed_at_each write clone clone3 epoll_wait fcntl openat
}

@test "a process of a durable step that is killed where it signals, makes a directory or closes is answered for" {
    CALLERS=ranges each_caller killed_at_each unlinkat kill pidfd_send_signal setsid close_range dup2 mkdirat ftruncate
}

@test "who settles a step whose supervisor was killed may be killed as well" {
    settlers() {
        local call at
        COMMAND=(sh -c 'echo started >>starts; echo out; sleep 60')
        for call in fdatasync renameat write unlinkat fcntl; do
            for at in $(seq "${STEPCELL_KILLS:-4}"); do
                new_id
                rm -f starts
                started "${COMMAND[@]}"
                wait_for grep -qs '"out' "$(step_dir)/events.ndjson"
                kill -KILL "$(supervisor)"
                kill_at "$call" "$at" "$STEPCELL" wait --id "$ID" >/dev/null 2>&1 3>&- || true
                assert_told_the_truth "settling, $call $at"
                assert_equal outcome "$(result_field .outcome)" unknown
                assert_equal output "$(cat ../first.out)" out
                stepcell forget --id "$ID"
            done
        done
    }
    CALLERS='root plain' each_caller settlers
}
