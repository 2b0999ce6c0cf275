#!/bin/sh
# The first process of the guest of limits_v2.bats: user-mode Linux with the host's files as its root and
# a disk of its own at /mnt. Every controller is on cgroups version 2. Prints "NAME: VALUE" lines and ends the guest.
# What it needs comes by the kernel's command line: STEPCELL, IMAGE and CALLER (a user without subordinate ids).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/mnt STEPCELL_STORE=/mnt/store

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t ext4 /dev/ubda /mnt
mount -t tmpfs none /run
dmesg -n 1
busybox insmod "/usr/lib/uml/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
mkdir -p /mnt/work /mnt/user/work

say() { echo "$1: $(echo "$2" | tr '\n' ' ' | sed 's/ *$//')"; }
# cell OPTION... -- COMMAND...: prints what it prints and its status
cell() {
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    # shellcheck disable=SC2086 # words are meant
    $AS "$STEPCELL" run -q --progress none --result "$HOME/result" -w "$HOME/work" $options "$IMAGE" -- "$@" 2>&1
    echo "status $?"
}
field() { jq -rc "$1" "$HOME/result"; }
cgroups() { find /sys/fs/cgroup -mindepth 1 -type d | sort; }
tries() { # in the cgroups of the moment
    say "$1 view" "$(cell --memory 64m --cpus 0.5 --pids-limit 20 -- sh -c 'cut -d: -f3 /proc/self/cgroup
        cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max pids.max
        mkdir x 2>/dev/null || echo no mkdir; { echo 1 >pids.max; } 2>/dev/null || echo no write')"
    say "$1 eats" "$(cell --memory 32m -- dd if=/dev/zero of=/dev/null bs=200M count=1) $(field .oom_killed)"
    say "$1 child" "$(cell --memory 32m -- sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1; true' | tail -n 1) $(field .oom_killed)"
    say "$1 own 137" "$(cell --memory 32m -- sh -c 'exit 137') $(field .oom_killed)"
    say "$1 tasks" "$(cell --pids-limit 10 -- \
        sh -c 'i=0; while :; do sleep 100 & i=$((i + 1)); echo $i; done' | grep -x '[0-9]*' | tail -n 1)"
    before=$(awk '/^usage_usec/ { print $2 }' /sys/fs/cgroup/cpu.stat)
    say "$1 busy" "$(cell --cpus 0.25 --timeout 3 --grace 0 -- sh -c 'while :; do :; done')"
    after=$(awk '/^usage_usec/ { print $2 }' /sys/fs/cgroup/cpu.stat)
    say "$1 used" "$([ $((after - before)) -lt 1800000 ] && echo 'less than it could' || echo "$((after - before)) µs")"
    say "$1 left" "$(cgroups | grep stepcell-)"
    cell --id "used-$1" --memory 64m --pids-limit 20 -- sh -c 'dd if=/dev/zero of=/dev/shm/block bs=1M count=24
        i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; sleep 3' >/dev/null
    say "$1 report" "$($AS "$STEPCELL" report --json "used-$1" | jq -c '[([.usage[].source] | unique), ([.samples[].memory] | max > 24000000),
        ([.samples[].pids] | max > 1), (.samples[-1].cpu_us > 10000 and .samples[-1].cpu_us <= .run_ms * 1000)]')"
}
# start: a cell that waits; $pid is stepcell's, $own its cgroup
start() {
    $AS "$STEPCELL" run -q --result "$HOME/result" -w "$HOME/work" --pids-limit 20 "$IMAGE" -- \
        sh -c 'echo >started; sleep 1000' &
    pid=$!
    until [ -e "$HOME/work/started" ]; do sleep 0.05; done
    rm -f "$HOME/work/started"
    own=$(cgroups | grep stepcell-)
    sh -c 'echo $$ >"$1/cgroup.procs"; exec sleep 1000' sh "$own" &
    stray=$!
    until grep -qx $stray "$own/cgroup.procs"; do sleep 0.05; done
}
kills() {
    start
    kill -TERM $pid
    wait $pid
    ended=$?
    wait $stray 2>/dev/null
    say "$1 cancelled" "$ended $? $(field .cleanup.verified) $(cgroups | grep -c stepcell-)"
    start
    kill -9 $pid
    wait $pid 2>/dev/null
    say "$1 crashed" "$? $(cgroups | grep -c stepcell-)"
    cell -- true >/dev/null
    wait $stray 2>/dev/null
    say "$1 swept" "$? $(cgroups | grep -c stepcell-)"
}

AS=
say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
tries root
kills root
say "enabled" "$(tr ' ' '\n' </sys/fs/cgroup/cgroup.subtree_control | sort)"

# In a cgroup that is not the root: beside it, where the one above has the controllers.
mkdir -p /sys/fs/cgroup/service/worker
echo $$ >/sys/fs/cgroup/service/worker/cgroup.procs
say "not enabled" "$(cell --pids-limit 20 -- true)"
echo '+memory +pids +cpu' >/sys/fs/cgroup/service/cgroup.subtree_control
say "sibling" "$(cell --pids-limit 20 -- cat /sys/fs/cgroup/pids.max)"

# An ordinary user without permission, and with a part delegated.
uid=$(id -u "$CALLER") gid=$(id -g "$CALLER")
chown -R "$uid:$gid" /mnt/user
export HOME=/mnt/user STEPCELL_STORE=/mnt/user/store
AS="setpriv --reuid=$uid --regid=$gid --clear-groups --"
say "user denied" "$(cell --pids-limit 20 -- true)"
mkdir -p /sys/fs/cgroup/user/session
echo '+memory +pids +cpu' >/sys/fs/cgroup/user/cgroup.subtree_control
chown "$uid:$gid" /sys/fs/cgroup/user /sys/fs/cgroup/user/cgroup.procs /sys/fs/cgroup/user/session \
    /sys/fs/cgroup/user/session/cgroup.procs
echo $$ >/sys/fs/cgroup/user/session/cgroup.procs
tries user
kills user
say "left" "$(cgroups | tr '\n' ' ')"
echo 'the end'
sync
echo o >/proc/sysrq-trigger
sleep 10
