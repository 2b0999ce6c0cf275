# shellcheck shell=bash
# For the benches: Debian's docker and podman, started in a directory of the bench's own, and ended with it.

DOCKER=() DOCKER_PID='' PODMAN=() PODMAN_RUNTIME=()

# start_docker DIR: the daemon, and its client in DOCKER; false where it does not work
start_docker() {
    local client i
    # The distribution's own client fits the distribution's daemon.
    client=$(PATH=/usr/bin:$PATH command -v docker) || return
    DOCKER=("$client" -H "unix://$1/docker.sock")
    mkdir -p "$1/docker"
    dockerd --data-root "$1/docker/data" --exec-root "$1/docker/exec" -H "unix://$1/docker.sock" \
        -p "$1/docker/pid" --bridge=none --iptables=false --ip6tables=false >"$1/docker/log" 2>&1 &
    DOCKER_PID=$!
    for i in $(seq 100); do
        "${DOCKER[@]}" version >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

# start_podman DIR: storage and configuration of its own; podman is in PODMAN, what `run` needs in PODMAN_RUNTIME
start_podman() {
    PODMAN=("$(command -v podman)") || return
    mkdir -p "$1/podman"
    printf '[containers]\ndefault_ulimits = ["nofile=%s:%s","nproc=32768:32768"]\n[network]\nnetwork_backend = "netavark"\n' \
        "$(ulimit -Hn)" "$(ulimit -Hn)" >"$1/podman/containers.conf"
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' \
        "$1/podman/root" "$1/podman/run" >"$1/podman/storage.conf"
    export CONTAINERS_CONF=$1/podman/containers.conf CONTAINERS_STORAGE_CONF=$1/podman/storage.conf
    # crun refuses a hybrid of cgroups v1 and v2; runc takes it.
    [ ! -d /sys/fs/cgroup/unified ] || PODMAN_RUNTIME=(--runtime runc)
}

# stop_peers DIR: for what a bench does in its end
stop_peers() {
    [ -z "$DOCKER_PID" ] || { kill "$DOCKER_PID" 2>/dev/null && wait "$DOCKER_PID" 2>/dev/null; }
    umount "$1/docker/exec/netns/default" "$1/docker/data" "$1/podman/root/overlay" 2>/dev/null
}
