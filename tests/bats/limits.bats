# --memory, --cpus, --pids-limit and --ulimit, on this machine's cgroups of version 1. Version 2 with all
# its controllers is limits_v2.bats.

load ../lib/common

CONTROLLERS="memory cpu pids freezer"

# own_cgroup CONTROLLER: this process's directory in that hierarchy of version 1
own_cgroup() {
    local path
    path=$(awk -F: -v c="$1" '{ n = split($2, list, ","); for (i = 1; i <= n; i++) if (list[i] == c) print $3 }' \
        /proc/self/cgroup)
    echo "/sys/fs/cgroup/$1${path%/}"
}

# in_delegated FUNCTION...: in cgroups that belong to $CALLER, as an administrator gives them; proves that
# nothing is left in them
in_delegated() {
    local controller
    grep -q ':memory:' /proc/self/cgroup || skip "this kernel lacks controllers on cgroups version 1"
    for controller in ${DELEGATED:-$CONTROLLERS}; do
        delegated+=("$(own_cgroup "$controller")/delegated-$BATS_TEST_NUMBER-$BASHPID")
    done
    mkdir "${delegated[@]}"
    chown "$(caller_name):" "${delegated[@]}"
    for controller in "${delegated[@]}"; do echo "$BASHPID" >"$controller/cgroup.procs"; done
    "$@"
    wait_for leave_delegated
}

# Also after a failure, from the test's own teardown, which may be another process.
leave_delegated() {
    local dir pid
    for dir in "${delegated[@]}"; do
        # One that has ended since it was listed cannot be moved.
        while read -r pid; do echo "$pid" >"${dir%/*}/cgroup.procs" || true; done <"$dir/cgroup.procs" 2>/dev/null
    done
    for dir in "${delegated[@]}"; do [ ! -d "$dir" ] || rmdir "$dir" || return; done
    delegated=()
}

setup() { delegated=() started=(); }
teardown() {
    # What a test that failed has left running; what has ended takes no signal.
    [ ${#started[@]} = 0 ] || kill -TERM "${started[@]}" 2>/dev/null || true
    [ ${#delegated[@]} = 0 ] || wait_for leave_delegated || true
}

each_delegated() { each_caller in_delegated "$@"; }

cell_cgroups() { find "${delegated[@]}" -type d -name 'stepcell-*'; }
no_cell_cgroups() { [ -z "$(cell_cgroups)" ]; }

# start_cell [OPTION...]: a cell that waits, with its cgroups in the array `made`; $pid is stepcell's
start_cell() {
    rm -f started
    # A shell without job control lets its background jobs ignore INT; env undoes that.
    as sh -c 'echo $$ >../pid; exec env --default-signal=INT "$@"' sh "$STEPCELL" run -q --result "$RESULT" \
        -w "$WORK" "$@" "$IMAGE" -- sh -c 'echo >started; sleep 100' 3>&- &
    background=$!
    wait_for test -e started
    pid=$(cat ../pid)
    started+=("$pid")
    mapfile -t made < <(cell_cgroups)
    [ ${#made[@]} -ge 1 ]
}

# ends STATUS PROCESS: of this shell
ends() {
    local code=0
    wait "$2" || code=$?
    assert_equal "status of process $2" $code "$1"
}

# add_stray: a process of the host's, with the caller's ids, in the cgroups of the cell
add_stray() {
    local dir
    as sh -c 'echo $$ >../stray; exec sleep 1000' 3>&- &
    stray_background=$!
    wait_for test -s ../stray
    for dir in "${made[@]}"; do cat ../stray >"$dir/cgroup.procs"; done
}

@test "memory: what eats too much is killed, and the result says so" {
    eats() {
        run -137 --separate-stderr cell --memory 32m -- dd if=/dev/zero of=/dev/null bs=200M count=1
        assert_match "$stderr" "*memory limit*"
        assert_equal outcome "$(result_field '[.outcome, .signal, .oom_killed] | join(" ")')" "signaled 9 true"
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    each_delegated eats
}

@test "memory: a killed child counts also when the script goes on" {
    child() {
        run -0 --separate-stderr cell --memory 32m -- \
            sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo went on'
        assert_equal stdout "$output" "went on"
        assert_equal result "$(result_field '[.outcome, .exit_code, .oom_killed] | join(" ")')" "exited 0 true"
    }
    each_delegated child
}

@test "memory: a script that ends with 137 or SIGKILL by itself was not killed for memory" {
    own_status() {
        run -137 cell --memory 32m -- sh -c 'exit 137'
        assert_equal oom_killed "$(result_field .oom_killed)" false
        run -137 cell --memory 32m -- sh -c 'kill -9 $$'
        assert_equal oom_killed "$(result_field .oom_killed)" false
        run -137 cell -- sh -c 'exit 137'
        assert_equal oom_killed "$(result_field .oom_killed)" false
    }
    each_delegated own_status
}

@test "memory: the least that is allowed runs a step; less is refused" {
    least() {
        run -0 cell --memory 6m -- echo small
        assert_equal output "$output" small
        run -125 --separate-stderr cell --memory 5m -- echo small
        assert_refused option.invalid
    }
    each_delegated least
}

@test "memory: files in /dev/shm count, and swap gives no more" {
    shm() {
        run -137 cell --memory 16m -- sh -c 'exec dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null'
        assert_equal oom_killed "$(result_field .oom_killed)" true
    }
    each_delegated shm
}

@test "cpus: a busy step gets its part of the time" {
    STEPCELL=$STEPCELL_RELEASE
    busy() {
        run -124 --separate-stderr as env time -o ../time -f '%U %S' "$STEPCELL" run -q -w "$WORK" \
            --cpus 0.25 --timeout 3 "$IMAGE" -- sh -c 'while :; do :; done'
        # A quarter of three seconds, with room for the set-up and the noise of a busy machine.
        awk '{ print "used", $1 + $2; exit !($1 + $2 > 0.1 && $1 + $2 < 1.5) }' <(tail -n 1 ../time)
    }
    each_delegated busy
}

@test "cpus: a lower quota above the cell holds for it, too" {
    STEPCELL=$STEPCELL_RELEASE
    lower() {
        local own
        own=$(own_cgroup cpu)
        echo 20000 >"$own/cpu.cfs_quota_us"
        run -0 cell --cpus 0.5 -- sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us'
        assert_equal quota "$output" -1
        run -0 cell --cpus 0.1 -- sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us'
        assert_equal quota "$output" 10000
    }
    each_delegated lower
}

@test "pids: exactly as many tasks as were asked for, pid 1 among them" {
    tasks() {
        run --separate-stderr cell --pids-limit 10 -- \
            sh -c 'i=0; while :; do sleep 100 & i=$((i + 1)); echo $i; done'
        assert_match "$stderr" "*can't fork*"
        # stepcell-init, the shell, and eight more
        assert_equal last "${lines[-1]}" 8
        assert_equal verified "$(result_field .cleanup.verified)" true
        run -0 cell --pids-limit 2 -- echo alone
    }
    each_delegated tasks
}

@test "pids: a fork bomb stays in its cell and goes with it" {
    bomb() {
        local peak=0 now pid
        stepcell run --result "$RESULT" -q -w "$WORK" --pids-limit 30 --timeout 3 --grace 0 "$IMAGE" -- \
            sh -c 'bomb() { bomb | bomb & }; (bomb) & exec sleep 60' >/dev/null 2>&1 3>&- &
        pid=$!
        while kill -0 $pid 2>/dev/null; do
            now=$(cat "$(own_cgroup pids)"/stepcell-*/pids.current 2>/dev/null || echo 0)
            [ "$now" -le "$peak" ] || peak=$now
            sleep 0.05
        done
        ends 124 $pid
        echo "peak $peak"
        [ "$peak" -gt 2 ] && [ "$peak" -le 30 ]
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    each_delegated bomb
}

@test "limits of 0 and -1 are none, and touch no cgroup" {
    none() {
        run -0 cell --memory 0 --cpus 0 --pids-limit -1 --ulimit core=0 -- ls -A /sys/fs/cgroup
        assert_equal "what the cell sees" "$output" ""
    }
    # Nothing is delegated, and none is needed.
    each_caller none
}

@test "ulimit: soft and hard are those of the command" {
    own() {
        run -0 --separate-stderr cell --ulimit nofile=100:200 --ulimit core=0 --ulimit stack=4194304:-1 -- \
            sh -c 'ulimit -Sn; ulimit -Hn; ulimit -Hc; ulimit -Ss; ulimit -Hs'
        assert_equal limits "${lines[*]}" "100 200 0 4096 unlimited"
        # The command's user cannot get more than that.
        run ! cell --ulimit nofile=100:200 -- sh -c 'ulimit -n 300'
        run -0 cell --ulimit nofile=300 --ulimit nofile=100 -- sh -c 'ulimit -n'
        assert_equal "the last one" "$output" 100
    }
    each_caller own
}

@test "ulimit: more than the caller's hard limit is refused, with that limit" {
    stepcell() {
        if [ "$CALLER" = root ]; then
            # Root could raise it.
            as setpriv --bounding-set -sys_resource "$STEPCELL" "$@"
        else
            as "$STEPCELL" "$@"
        fi
    }
    refuse() {
        (
            ulimit -n 5000
            run -125 --separate-stderr cell --ulimit nofile=5001 -- true
            assert_refused option.invalid
            assert_match "$stderr" "*'nofile'*"
            assert_match "$stderr" "*5000*"
            run -0 cell --ulimit nofile=5000 -- true
        )
    }
    each_caller refuse
}

@test "a step file has limits, as numbers and as text" {
    step() {
        jq -n --arg image "$IMAGE" '{image: $image, memory: 67108864, cpus: 0.5, pids_limit: 20,
            ulimit: ["nofile=100"], command: ["sh", "-c",
            "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max; ulimit -n"]}' >../step
        run -0 --separate-stderr stepcell run -w "$WORK" --step ../step
        assert_equal limits "${lines[*]}" "67108864 50000 20 100"
        jq '.memory = "64m" | .cpus = "0.5"' ../step >../text
        run -0 --separate-stderr stepcell run -w "$WORK" --step ../text --pids-limit 7
        assert_equal limits "${lines[*]}" "67108864 50000 7 100"
    }
    each_delegated step
}

@test "a cell sees its own limits and nothing else, and can change none of it" {
    sees() {
        local network
        for network in host none; do
            run -0 --separate-stderr cell --network $network --memory 64m --pids-limit 20 -- sh -c '
                grep -E ":(memory|pids):" /proc/self/cgroup | cut -d: -f3 | sort -u
                ls /sys/fs/cgroup
                cat /sys/fs/cgroup/memory/memory.limit_in_bytes
                find /sys/fs/cgroup -name "delegated*" -o -name "stepcell*"'
            assert_equal view "${lines[*]}" "/ memory pids 67108864"
            run -0 cell --network $network --memory 64m --pids-limit 20 -- sh -c '
                cd /sys/fs/cgroup
                mkdir x && echo made
                mkdir memory/x && echo made
                echo $$ >memory/cgroup.procs && echo written
                echo 67108865 >memory/memory.limit_in_bytes && echo written
                chmod 777 pids/pids.max && echo changed
                mount -o remount,bind,rw /sys/fs/cgroup/memory && echo remounted
                umount /sys/fs/cgroup/memory && echo unmounted
                true'
            [[ $output != *made* && $output != *written* && $output != *changed* && $output != *mounted* ]] ||
                { echo "$output"; return 1; }
        done
    }
    each_delegated sees
}

@test "where a caller may not make cgroups, a limit is refused and the way out named" {
    local option
    denied() {
        for option in "--memory 64m" "--cpus 0.5" "--pids-limit 20"; do
            # shellcheck disable=SC2086 # two words are meant
            run -125 --separate-stderr cell $option -- touch made
            assert_equal code "$(result_field .error.code)" engine.unavailable
            assert_match "$(result_field .error.message)" "${option% *} cannot be enforced: *"
            assert_match "$(result_field .error.hint)" "*root*"
            assert_equal verified "$(result_field .cleanup.verified)" true
            [ ! -e made ]
        done
    }
    CALLERS="ranges plain" each_caller denied
    # All but one were given: none of the limits is left out.
    partly() {
        run -125 cell --memory 64m --pids-limit 20 -- true
        assert_match "$(result_field .error.message)" "--pids-limit cannot be enforced: *"
        run -0 cell --memory 64m -- true
    }
    DELEGATED="memory freezer" CALLERS="ranges plain" each_delegated partly
    # Without the freezer limits hold all the same.
    run_one() { run -0 cell --memory 64m -- true; }
    DELEGATED="memory" CALLERS="ranges plain" each_delegated run_one
}

@test "where controllers are on version 1 and only version 2 is mounted, a limit is refused" {
    only_v2() {
        run -125 --separate-stderr cell --pids-limit 20 -- true
        assert_equal code "$(result_field .error.code)" engine.unavailable
        assert_match "$(result_field .error.message)" "--pids-limit cannot be enforced: *version 1*"
        run -0 cell -- true
    }
    stepcell() {
        # shellcheck disable=SC2016 # of the inner shell
        as unshare --mount --propagation private sh -c \
            'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh "$STEPCELL" "$@"
    }
    CALLERS=root each_caller only_v2
}

@test "in a cgroup namespace of its own, with mounts of its own, limits hold" {
    private() {
        run -0 cell --memory 64m --pids-limit 20 -- cat /sys/fs/cgroup/memory/memory.limit_in_bytes \
            /sys/fs/cgroup/pids/pids.max
        assert_equal limits "${lines[*]}" "67108864 20"
        run -137 cell --memory 16m -- dd if=/dev/zero of=/dev/null bs=200M count=1
        assert_equal oom_killed "$(result_field .oom_killed)" true
    }
    stepcell() {
        # shellcheck disable=SC2016 # of the inner shell
        as unshare --mount --propagation private --cgroup sh -ec '
            umount -R /sys/fs/cgroup
            mount -t tmpfs none /sys/fs/cgroup
            for c in memory pids; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c none /sys/fs/cgroup/$c; done
            exec "$@"' sh "$STEPCELL" "$@"
    }
    CALLERS=root each_delegated private
}

@test "what is in a cell's cgroup at its end is killed, whatever it is" {
    stray() {
        local pid background stray_background made
        start_cell --memory 64m --pids-limit 20
        add_stray
        kill -TERM "$pid"
        ends 143 "$background"
        ends 137 "$stray_background"
        assert_equal verified "$(result_field .cleanup.verified)" true
        no_cell_cgroups
    }
    each_delegated stray
    # The freezer is not there to stop it.
    DELEGATED="memory pids" CALLERS="plain" each_delegated stray
}

@test "what kill -9 of stepcell leaves is removed by the next call" {
    crash() {
        local pid background stray_background made
        start_cell --memory 64m --cpus 0.5 --pids-limit 20
        kill -9 "$pid"
        ends 137 "$background"
        # A place of the cell is there, whatever ends first.
        add_stray
        run -0 cell -- true
        ends 137 "$stray_background"
        no_cell_cgroups
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    each_delegated crash
}

@test "a cgroup that cannot be removed is named in the result, and tried again by the next call" {
    held() {
        local pid background made
        start_cell --pids-limit 20
        mkdir "${made[0]}/held"
        kill -TERM "$pid"
        ends 143 "$background"
        assert_equal verified "$(result_field .cleanup.verified)" false
        assert_match "$(result_field '.cleanup.left[]')" "*/stepcell-*"
        rmdir "${made[0]}/held"
        run -0 cell -- true
        no_cell_cgroups
    }
    each_delegated held
}

@test "cancelled, timed out and failed steps leave no cgroup" {
    all_ways() {
        local pid background made
        run -124 cell --memory 64m --pids-limit 20 --timeout 500ms --grace 0 -- sleep 100
        no_cell_cgroups
        start_cell --memory 64m
        kill -INT "$pid"
        ends 130 "$background"
        no_cell_cgroups
        run -127 cell --memory 64m -- no-such-command
        echo 'print(1)' >../x.py
        run -125 script_cell --memory 64m --cpus 0.5 --script ../x.py
        assert_equal code "$(result_field .error.code)" image.shell-missing
        no_cell_cgroups
    }
    each_delegated all_ways
}

@test "200 limited steps at once, and 2,000 in a row, leave no cgroup" {
    STEPCELL=$STEPCELL_RELEASE
    limited=(--memory 64m --cpus 1 --pids-limit 20)
    many() {
        local i pids=() wrong=0 code
        run -0 cell -- true
        for i in $(seq 200); do
            stepcell run -w "$WORK" "${limited[@]}" "$IMAGE" sh -c "exit $((i % 100))" 3>&- &
            pids[i]=$!
        done
        for i in $(seq 200); do
            code=0
            wait "${pids[i]}" || code=$?
            [ $code = $((i % 100)) ] || wrong=$((wrong + 1))
        done
        assert_equal "wrong statuses" $wrong 0
        no_cell_cgroups
    }
    in_a_row() {
        as sh -c 'n=$1; shift; i=0; while [ $i -lt "$n" ]; do
                "$@" true || { echo "step $i ended with $?"; exit 1; }
                i=$((i + 1))
            done' sh "$1" "$STEPCELL" run -w "$WORK" "${limited[@]}" "$IMAGE"
        no_cell_cgroups
    }
    each_delegated many
    CALLER=root as_caller in_delegated in_a_row 2000
    CALLER=plain as_caller in_delegated in_a_row 200
}

@test "doctor says which limits hold, and what an ordinary user needs" {
    enforced() {
        run -0 --separate-stderr stepcell doctor --json
        jq -e '.findings[] | select(.id == "cgroups") | .level == "ok" and (.message | contains("--memory"))' \
            <<<"$output"
    }
    each_delegated enforced
    not_enforced() {
        run -0 --separate-stderr stepcell doctor --json
        jq -e '.findings[] | select(.id == "cgroups") | .level == "warning" and (.hint | contains("root"))' \
            <<<"$output"
    }
    CALLERS="ranges plain" each_caller not_enforced
}
