# shellcheck shell=bash
# The engine under test: ENGINE in the environment, native by default. Others are daemons, of Debian's own
# packages, that are started here for one run of bats and end with it, in directories of their own below
# $TEST_DIR/engine. For them STEPCELL and STEPCELL_RELEASE become a program before the real one
# that gives every `run`, `start` and `shell` the options of the engine, so that the tests stay as they are.
# ENGINE_CALLER is whose the daemon is, and so who calls: root, or ranges for an ordinary user's own.
#
# A daemon is at home in namespaces that scripts/test makes: its bridge, its rules and its mounts end with them.

ENGINE_WAIT=300 # tenths of a second
ENGINE_TLS_PORT=2376
ENGINE_DISK=768m # room for all that a daemon keeps
TESTS_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# wrap_program PROGRAM NAME: prints the path of what stands before it
wrap_program() {
    local program=$TEST_DIR/engine/$2
    musl-gcc -O1 -static -DOPTIONS="\"--engine\", \"$ENGINE\", \"--engine-host\", \"unix://$ENGINE_SOCKET\"" \
        -DPROGRAM="\"$1\"" -o "$program" "$TESTS_LIB/engine_words.c"
    echo "$program"
}

engine_answers() { curl -sf --max-time 2 --unix-socket "$ENGINE_SOCKET" http://engine/_ping >/dev/null; }

# engine_api METHOD PATH: one call to the daemon, for what a test has to see of it
engine_api() { curl -s --max-time 60 -X "$1" --unix-socket "$ENGINE_SOCKET" "http://engine/v1.40$2"; }

# sign NAME SUBJECT [EXTENSION]: a key and a certificate of the authority in the directory of the moment
sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1-key.pem" -subj "$2" \
        -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 1 -out "$1.pem" \
        ${3:+-extfile <(echo "$3")} 2>/dev/null
}

# make_certificates DIR: of an authority, a server on the loopback, and a client of DOCKER_CERT_PATH
make_certificates() (
    mkdir "$1"
    cd "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca-key.pem \
        -subj /CN=authority -days 1 -out ca.pem 2>/dev/null
    sign server /CN=engine subjectAltName=IP:127.0.0.1
    sign client /CN=me
    mv client.pem cert.pem
    mv client-key.pem key.pem
)

# start_docker [OPTION...]
start_docker() {
    local dir=$TEST_DIR/engine
    env -C / setsid dockerd --data-root "$dir/disk/data" --exec-root "$dir/exec" -p "$dir/docker.pid" \
        -H "unix://$ENGINE_SOCKET" -H "tcp://127.0.0.1:$ENGINE_TLS_PORT" --tlsverify \
        --tlscacert "$dir/tls/ca.pem" --tlscert "$dir/tls/server.pem" --tlskey "$dir/tls/server-key.pem" "$@" \
        >>"$dir/log" 2>&1 </dev/null 3>&- 4>&- &
}

# runtime_dir: of who runs the daemon. Podman makes sockets below it, whose paths have a limit.
runtime_dir() { echo "/run/user/$(id -u "$(caller_of_engine)")"; }
caller_of_engine() { if [ "$ENGINE_CALLER" = root ]; then echo root; else echo "stepcell-$ENGINE_CALLER"; fi; }

# as_daemon COMMAND...: becomes who runs the daemon of Podman, in its directories
as_daemon() {
    local dir=$TEST_DIR/engine user=()
    [ "$ENGINE_CALLER" = root ] ||
        user=(setpriv --reuid="stepcell-$ENGINE_CALLER" --regid="stepcell-$ENGINE_CALLER" --init-groups --)
    # crun refuses hybrid cgroups.
    exec env -C / HOME="$TEST_DIR/home/$ENGINE_CALLER" XDG_RUNTIME_DIR="$(runtime_dir)" CONTAINERS_CONF="$dir/containers.conf" \
        CONTAINERS_STORAGE_CONF="$dir/storage.conf" CONTAINERS_REGISTRIES_CONF="$dir/registries.conf" "${user[@]}" podman --runtime runc --cgroup-manager cgroupfs "$@"
}

# shellcheck disable=SC2120 # as start_docker
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
graphroot = "$dir/disk/data"
runroot = "$dir/exec/run"
END
    printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$REGISTRY_PORT" >"$dir/registries.conf"
    (as_daemon system service --time=0 "unix://$ENGINE_SOCKET") >>"$dir/log" 2>&1 </dev/null 3>&- 4>&- &
}

# start_daemon [OPTION...]: and waits until it answers
# shellcheck disable=SC2120 # a test gives some
start_daemon() {
    local i
    "start_$ENGINE" "$@"
    for i in $(seq "$ENGINE_WAIT"); do
        ! engine_answers || return 0
        sleep 0.1
    done
    tail -n 20 "$TEST_DIR/engine/log" >&2
    return 1
}

# pids_of_engine: an ordinary user's Podman is two, of which one waits for the other
pids_of_engine() {
    local place
    grep -lsF -- "unix://${ENGINE_SOCKET:?}" /proc/[0-9]*/cmdline | while read -r place; do
        place=${place%/cmdline}
        ! grep -qsxE 'dockerd|podman' "$place/comm" || echo "${place#/proc/}"
    done
}

signal_daemon() {
    local pid
    for pid in $(pids_of_engine); do kill -"$1" "$pid" 2>/dev/null || true; done
}

# stop_daemon [SIGNAL]: and waits until it is gone
# shellcheck disable=SC2120 # a test gives one
stop_daemon() {
    local i
    signal_daemon "${1:-TERM}"
    for i in $(seq "$ENGINE_WAIT"); do
        [ -n "$(pids_of_engine)" ] || return 0
        sleep 0.1
    done
    signal_daemon KILL
}

# give_to_caller DIR: what an ordinary user's own daemon needs; the device is open to all on a usual machine
give_to_caller() {
    chown "stepcell-$ENGINE_CALLER:" "$1" "$1"/{disk,exec}
    mkdir -p "$(runtime_dir)"
    chown "stepcell-$ENGINE_CALLER:" "$(runtime_dir)"
    mknod -m 0666 "$1/tun" c 10 200
    mount --bind "$1/tun" /dev/net/tun
}

# start_engine: once for a whole run
start_engine() {
    local dir=$TEST_DIR/engine
    [ "${ENGINE:=native}" != native ] || return 0
    export ENGINE ENGINE_CALLER=${ENGINE_CALLER:-root} ENGINE_SOCKET=$dir/engine.sock
    # Podman speaks plain HTTP to registries alone that its configuration names.
    export REGISTRY_PORT=5000
    mkdir -p "$dir"/{disk,exec}
    # A disk that a test can fill.
    [ "$ENGINE_CALLER" != root ] || mount -t tmpfs -o "mode=0755,size=$ENGINE_DISK" engine "$dir/disk"
    make_certificates "$dir/tls"
    [ "$ENGINE_CALLER" = root ] || give_to_caller "$dir"
    start_daemon || return
    export STEPCELL_PROGRAM=$STEPCELL
    STEPCELL=$(wrap_program "$STEPCELL" stepcell)
    STEPCELL_RELEASE=$(wrap_program "$STEPCELL_RELEASE" stepcell-release)
    # A daemon of root's lets nobody else write with the ids of root: docs/engines.md.
    export STEPCELL STEPCELL_RELEASE CALLERS=$ENGINE_CALLER
    # With its first container a daemon makes mounts that stay as long as it does.
    (
        . "$TESTS_LIB/common.bash"
        work_dir && stepcell run --quiet --workdir "$WORK" "$IMAGE" -- true
    )
}

stop_engine() {
    [ -n "${ENGINE_SOCKET:-}" ] || return 0
    stop_daemon
    [ "$ENGINE" != podman ] || (as_daemon system migrate) >/dev/null 2>&1 || true
    awk -v dir="$TEST_DIR/engine/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r point; do umount "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || true; done
}
