# shellcheck shell=bash
# Mounts that only one test sees: a mount namespace held by a process of the test, in which `as`, and
# so every step, runs. To be loaded after common.bash; calls open_mounts first and close_mounts last.

# open_mounts: /dev/fuse and allow_other are everybody's there
open_mounts() {
    local here=$TEST_DIR/mounts.$BATS_TEST_NUMBER
    mkdir -p "$here"
    unshare --mount --propagation private sleep 600 3>&- &
    MOUNTS=$!
    # The shell's child becomes another program in another namespace in its own time.
    wait_for holds_mounts
    mknod "$here/fuse" c 10 229
    chmod 0666 "$here/fuse"
    in_mounts mount --bind "$here/fuse" /dev/fuse
    echo user_allow_other >"$here/fuse.conf"
    in_mounts mount --bind "$here/fuse.conf" /etc/fuse.conf
}

holds_mounts() {
    [ "$(cat "/proc/$MOUNTS/comm")" = sleep ] &&
        [ "$(readlink "/proc/$MOUNTS/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

# close_mounts: unmounts all of FUSE, upon which its servers end, and lets the namespace go
close_mounts() {
    local point
    [ -n "${MOUNTS:-}" ] || return 0
    # What a test that failed has left waiting for it keeps its mount.
    [ -z "${DEAF:-}" ] || kill -KILL "$DEAF" 2>/dev/null || true
    while read -r point; do
        in_mounts umount --lazy "$(printf '%b' "$point")"
    done < <(in_mounts awk '/ - fuse(\.[^ ]*)? / { print $5 }' /proc/self/mountinfo | tac)
    kill "$MOUNTS"
    wait "$MOUNTS" 2>/dev/null || true
    rm -rf "$TEST_DIR/mounts.$BATS_TEST_NUMBER"
    MOUNTS=''
}

# in_mounts COMMAND...: as root, in /
in_mounts() { nsenter --mount="/proc/$MOUNTS/ns/mnt" -- "$@"; }

# as COMMAND...: as the caller of the moment, there, in the directory that the current one is there
as() {
    local -x HOME=$TEST_DIR/home/$CALLER STEPCELL_STORE=$TEST_DIR/store/$CALLER \
        TMPDIR=$TEST_DIR/tmp/$CALLER
    # shellcheck disable=SC2016 # the inner shell expands them
    local there=(sh -c 'cd -- "$0" && exec "$@"' "$PWD")
    case $CALLER in
    root) in_mounts "${there[@]}" "$@" ;;
    *)
        local -x USER=stepcell-$CALLER LOGNAME=stepcell-$CALLER
        in_mounts setpriv --reuid="$USER" --regid="$USER" --init-groups -- "${there[@]}" "$@"
        ;;
    esac
}

# fuse UNDER DIR [OPTION...]: DIR shows UNDER through a FUSE file system that the caller has mounted
fuse() {
    local under=$1 dir=$2
    shift 2
    as mkdir -p "$under" "$dir"
    as bindfs "$@" "$under" "$dir"
}

# make_deaf_fs: builds tests/lib/deaf_fs.c as $DEAF_FS
make_deaf_fs() {
    export DEAF_FS=$TEST_DIR/deaf-fs
    # shellcheck disable=SC2046 # several options
    gcc -O1 -o "$DEAF_FS" "$TESTS/lib/deaf_fs.c" $(pkg-config --cflags --libs fuse3)
}

# deaf DIR [OPTION...]: DIR is a file system of the caller's whose server ($DEAF) never answers who reads
deaf() {
    local dir=$1
    shift
    as mkdir -p "$dir"
    as "$DEAF_FS" "$dir" "$@"
    DEAF=$(pgrep -n -f "^$DEAF_FS ")
}

# end_deaf DIR: the server ends, upon which the kernel lets go of who waits for it
end_deaf() {
    kill -KILL "$DEAF"
    DEAF=''
    in_mounts umount --lazy "$1"
}

# no_fuse DIR: takes it away again, with its server
no_fuse() {
    in_mounts umount --lazy "$1"
    wait_for is_not_served "$1"
}

# shellcheck disable=SC2046 # one word per process
is_not_served() { ! grep -lzFx -- "$1" $(pgrep -x bindfs | sed 's,.*,/proc/&/cmdline,') /dev/null 2>&1; }
