# Many steps at once and one after another, with the optimised build.

load ../lib/common

setup() { STEPCELL=$STEPCELL_RELEASE; }

@test "200 steps at once all end with their own status" {
    at_once() {
        run -0 cell -- true
        local i pids=() wrong=0 code
        for i in $(seq 200); do
            stepcell run -w "$WORK" "$IMAGE" sh -c "exit $((i % 100))" 3>&- &
            pids[i]=$!
        done
        for i in $(seq 200); do
            code=0
            wait "${pids[i]}" || code=$?
            [ $code = $((i % 100)) ] || wrong=$((wrong + 1))
        done
        assert_equal "wrong statuses" $wrong 0
    }
    each_caller at_once
}

@test "2,000 steps one after another all succeed and leave nothing" {
    in_a_row() {
        run -0 cell -- true
        # A loop of its own process, so that what is measured is stepcell and not the test's shell.
        as sh -c 'i=0; while [ $i -lt 2000 ]; do
                "$1" run -w "$2" "$3" true || { echo "step $i ended with $?"; exit 1; }
                i=$((i + 1))
            done' sh "$STEPCELL" "$WORK" "$IMAGE"
    }
    # Root's, with limits besides, are in limits.bats.
    CALLER=ranges as_caller in_a_row
}
