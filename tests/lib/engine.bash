# shellcheck shell=bash
# The engine under test: ENGINE in the environment, native by default. Others are daemons, of Debian's own
# packages, that are started here for one run of bats and end with it, in directories of their own below
# $TEST_DIR/engine. For them STEPCELL and STEPCELL_RELEASE become a program before the real one
# that gives every `run` and `start` the options of the engine, so that the tests stay as they are.

ENGINE_WAIT=300 # tenths of a second
TESTS_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# wrap_program PROGRAM NAME: prints the path of what stands before it
wrap_program() {
    local program=$TEST_DIR/engine/$2
    musl-gcc -O1 -static -DENGINE="\"$ENGINE\"" -DENGINE_HOST="\"unix://$ENGINE_SOCKET\"" \
        -DPROGRAM="\"$1\"" -o "$program" "$TESTS_LIB/engine_words.c"
    echo "$program"
}

engine_answers() { curl -sf --max-time 2 --unix-socket "$ENGINE_SOCKET" http://engine/_ping >/dev/null; }

# engine_api METHOD PATH: one call to the daemon, for what a test has to see of it
engine_api() { curl -s --max-time 60 -X "$1" --unix-socket "$ENGINE_SOCKET" "http://engine/v1.40$2"; }

start_docker() {
    local dir=$TEST_DIR/engine
    # No network of the machine's is touched; `private` has tests of its own.
    env -C / setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" -H "unix://$ENGINE_SOCKET" \
        -p "$dir/docker.pid" --bridge=none --iptables=false --ip6tables=false \
        >"$dir/log" 2>&1 </dev/null 3>&- &
    echo $! >"$dir/pid"
}

start_podman() {
    local dir=$TEST_DIR/engine
    cat >"$dir/containers.conf" <<'END'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_backend = "netavark"
END
    cat >"$dir/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$dir/data"
runroot = "$dir/exec"
END
    # crun refuses hybrid cgroups.
    CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf \
        env -C / setsid podman --runtime runc --cgroup-manager cgroupfs system service --time=0 "unix://$ENGINE_SOCKET" \
        >"$dir/log" 2>&1 </dev/null 3>&- &
    echo $! >"$dir/pid"
}

# start_daemon: and waits until it answers
start_daemon() {
    local i
    "start_$ENGINE"
    for i in $(seq "$ENGINE_WAIT"); do
        ! engine_answers || break
        sleep 0.1
    done
    engine_answers || {
        tail -n 20 "$TEST_DIR/engine/log" >&2
        return 1
    }
}

# stop_daemon [SIGNAL]: and waits until it is gone
# shellcheck disable=SC2120 # a test gives one
stop_daemon() {
    local i pid
    pid=$(cat "$TEST_DIR/engine/pid")
    kill -"${1:-TERM}" "$pid" 2>/dev/null || true
    for i in $(seq "$ENGINE_WAIT"); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
}

# start_engine: once for a whole run
start_engine() {
    [ "${ENGINE:=native}" != native ] || return 0
    mkdir -p "$TEST_DIR/engine"
    export ENGINE ENGINE_SOCKET=$TEST_DIR/engine/engine.sock
    start_daemon || return
    export STEPCELL_PROGRAM=$STEPCELL
    STEPCELL=$(wrap_program "$STEPCELL" stepcell)
    STEPCELL_RELEASE=$(wrap_program "$STEPCELL_RELEASE" stepcell-release)
    # With its first container a daemon makes mounts that stay as long as it does.
    STEPCELL_STORE=$TEST_DIR/store/root "$STEPCELL" run --quiet --workdir "$TEST_DIR/work" \
        "oci:$IMAGES/busybox:latest" -- true || return
    # A daemon of root's lets nobody else write with the ids of root: docs/engines.md.
    export STEPCELL STEPCELL_RELEASE CALLERS=${CALLERS:-root}
}

stop_engine() {
    [ -e "$TEST_DIR/engine/pid" ] || return 0
    stop_daemon
    awk -v dir="$TEST_DIR/engine/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r point; do umount "$point" 2>/dev/null || true; done
}
