# shellcheck shell=bash
# For the tests of what only an engine that is a daemon can get wrong. They are run by
# `scripts/test --engine ENGINE` alone, which selects by tags: `root` for what only root's daemons do, `own` for an
# ordinary user's, `docker` for that engine alone. `local` is what
# a cluster cannot do at once, or what takes it many steps to show what a few have shown.

# The program itself: the options of the engine are given here.
PROGRAM=${STEPCELL_PROGRAM:-}
FAULTY_PIDS=()

# engine_cell SOCKET [OPTION...] -- COMMAND...: as `cell`, by a socket of its own
engine_cell() {
    local socket=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    as timeout 100 "$PROGRAM" run --engine "$ENGINE" --engine-host "unix://$socket" --result "$RESULT" \
        --workdir "$WORK" --progress none "${options[@]}" "$IMAGE" -- "$@"
}

# start_faulty METHOD:PATTERN FAULT [TIMES]: $FAULTY is the socket of a daemon that spoils these answers
start_faulty() {
    FAULTY=${WORK%/*}/faulty-${#FAULTY_PIDS[@]}
    python3 "$TESTS/lib/fault_engine.py" "$FAULTY" "$ENGINE_SOCKET" "$@" 3>&- &
    FAULTY_PIDS+=($!)
    wait_for test -S "$FAULTY"
}

stop_faulty() {
    local pid
    for pid in "${FAULTY_PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    FAULTY_PIDS=()
    rm -f "${WORK%/*}"/faulty-*
}

# our_containers: how many containers of steps the daemon has
our_containers() {
    engine_api GET '/containers/json?all=1&filters=%7B%22label%22%3A%5B%22stepcell.step%22%5D%7D' | jq length
}
has_none() { [ "$(our_containers)" = 0 ]; }
has_one() { [ "$(our_containers)" = 1 ]; }

# is_rootless: whether the daemon is an ordinary user's
is_rootless() { [ "$ENGINE_CALLER" != root ]; }
