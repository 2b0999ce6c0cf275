# shellcheck shell=bash
# What every test file loads: callers, the command under test, and the proof that nothing is left.
#
# Set up once by setup_suite.bash and exported:
#   STEPCELL           the program under test; STEPCELL_RELEASE the optimised one, for speed and memory
#   TEST_DIR           everything of this run: home/CALLER, store/CALLER, images, work
#   IMAGES             the fixtures of images.bash
#
# There are three kinds of caller: root, an ordinary user with subordinate ids (ranges), and one
# without (plain). CALLERS in the environment narrows that down.

bats_require_minimum_version 1.5.0

case ${ENGINE:-native} in
native) ;;
kubernetes) . "$(dirname "${BASH_SOURCE[0]}")/kubernetes.bash" ;;
*) . "$(dirname "${BASH_SOURCE[0]}")/engine.bash" ;;
esac

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# An ordinary user's own daemon is asked by that user alone (engine.bash).
CALLER=${ENGINE_CALLER:-root}
UNDER=()
# A cluster gets them from a registry.
IMAGES_AT=${IMAGES_AT:-oci:$IMAGES}
IMAGE=$IMAGES_AT/busybox:latest

# as COMMAND...: as the caller of the moment, with a home and a store of its own; under root's command UNDER, if any
as() {
    local -x HOME=$TEST_DIR/home/$CALLER STEPCELL_STORE=$TEST_DIR/store/$CALLER \
        TMPDIR=$TEST_DIR/tmp/$CALLER
    case $CALLER in
    root) "${UNDER[@]}" "$@" ;;
    *)
        local -x USER=stepcell-$CALLER LOGNAME=stepcell-$CALLER
        "${UNDER[@]}" setpriv --reuid="$USER" --regid="$USER" --init-groups -- "$@"
        ;;
    esac
}

stepcell() { as "$STEPCELL" "$@"; }

# cell [OPTION...] -- COMMAND [ARG...]: one step in $IMAGE, in $WORK, with its result in $RESULT
cell() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    stepcell run --result "$RESULT" --workdir "$WORK" --progress none "${options[@]}" "$IMAGE" -- "$@"
}

# script_cell OPTION... : one step with --script among the options, in $IMAGE
script_cell() { stepcell run --result "$RESULT" --workdir "$WORK" --progress none "$@" "$IMAGE"; }

result_field() { jq -r "$1" "$RESULT"; }

# assert_equal WHAT IS EXPECTED
assert_equal() {
    [ "$2" = "$3" ] && return
    printf '%s is    %q\nexpected %q\n' "$1" "$2" "$3"
    return 1
}

# assert_match TEXT PATTERN (of bash's ==)
assert_match() {
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $1 == $2 ]] && return
    printf 'no match for %q in:\n%s\n' "$2" "$1"
    return 1
}

# assert_refused CODE: the last `run --separate-stderr` was refused with this code before a start
assert_refused() {
    assert_equal "exit status" "$status" 125
    assert_equal "stdout" "$output" ""
    assert_match "$stderr" "stepcell: *"
    assert_equal "schema" "$(result_field .schema)" stepcell.result/1
    assert_equal "code" "$(result_field .error.code)" "$1"
    assert_equal "exit_code" "$(result_field .exit_code)" 125
}

# owner FILE: by name of user and group
owner() { stat -c %U:%G -- "$1"; }

caller_name() { if [ "$CALLER" = root ]; then echo root; else echo "stepcell-$CALLER"; fi; }

# work_dir: makes a fresh directory that belongs to the caller, as $WORK, with $RESULT beside it
work_dir() {
    local base
    base=$(mktemp -d "$TEST_DIR/work/$CALLER.XXXXXX")
    chmod 0755 "$base"
    mkdir "$base/work"
    chown -R "$(caller_name):" "$base"
    WORK=$base/work RESULT=$base/result.json
    cd "$WORK" || return
}

# each_caller FUNCTION [ARG...]: once for each kind of caller, each time in a fresh $WORK
each_caller() {
    for CALLER in ${CALLERS:-root ranges plain}; do
        as_caller "$@"
    done
    CALLER=${ENGINE_CALLER:-root}
}

# as_caller FUNCTION...: once for $CALLER, if it is among $CALLERS, in a fresh $WORK, and proves that
# nothing is left
as_caller() {
    local before
    [[ " ${CALLERS:-root ranges plain} " == *" $CALLER "* ]] || return 0
    work_dir
    before=$(what_is_there)
    echo "as $CALLER: $*"
    "$@"
    assert_nothing_left "$before"
    cd /
    chmod -R u+rwX "${WORK%/*}" 2>/dev/null || true
    rm -rf "${WORK%/*}"
}

# namespaces_of_engine: where the daemon itself is at home, an ordinary user's in one of its own
namespaces_of_engine() {
    local pid
    for pid in $(pids_of_engine); do readlink "/proc/$pid/ns/mnt" || true; done
}

# processes_in_cells: those with a mount namespace of their own in which this run's files are mounted
processes_in_cells() {
    local not directory link
    if [ "${ENGINE:-native}" = kubernetes ]; then
        objects_of_steps
        return
    fi
    not=$(readlink /proc/self/ns/mnt)
    [ "${ENGINE:-native}" = native ] || not+=" $(namespaces_of_engine)"
    find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/mnt' -printf '%h %l\n' 2>/dev/null |
        while read -r directory link; do
            [ -n "$link" ] && [[ $not != *"$link"* ]] || continue
            if grep -qs "$TEST_DIR" "${directory%/ns}/mountinfo"; then
                tr '\0\n' '  ' <"${directory%/ns}/cmdline" || true
                echo "(process ${directory//[!0-9]/})"
            fi
        done
}

# first_process: of the one cell that there is
first_process() { processes_in_cells | sed -n 's/^stepcell-init .*(process \([0-9]*\))$/\1/p'; }

# written_to_scratch STORE: what cells have left in the store's scratch. A few places with an empty pair of
# directories for the next cell stay there on purpose.
written_to_scratch() {
    find "$1/cells" -mindepth 1 2>/dev/null |
        grep -vxE '.*/cells/[0-3](/owners)?' || true
}

# what_is_there: a list of everything that a cell could leave behind
what_is_there() {
    local store=$TEST_DIR/store/$CALLER
    # A daemon's own come and go; its containers are counted by its tests.
    awk -v daemon="$TEST_DIR/engine/" 'index($5, daemon) != 1 && $5 !~ "^/run/netns" { print "mount", $5 }' \
        /proc/self/mountinfo
    processes_in_cells
    # A daemon's containers have the daemon's cgroups, and a lane beside the native one sees that one's.
    [ "${ENGINE:-native}" != native ] || [ -n "${BESIDE_NATIVE:-}" ] || find /sys/fs/cgroup -depth -type d -name '*stepcell*' 2>/dev/null || true
    written_to_scratch "$store"
    find "$store/tmp" "$TEST_DIR/tmp/$CALLER" -mindepth 1 2>/dev/null || true
    # The unit tests may run at the same time; theirs are not ours.
    find /tmp /dev/shm /run -maxdepth 2 -name '*stepcell*' ! -name 'stepcell-unit-*' 2>/dev/null || true
}

# assert_nothing_left BEFORE: compares with an earlier what_is_there
assert_nothing_left() {
    local left
    left=$(diff <(sort <<<"$1") <(what_is_there | sort) | grep '^>' || true)
    [ -z "$left" ] || {
        printf 'left behind:\n%s\n' "$left"
        return 1
    }
}

# wait_for COMMAND...: until it succeeds, ten seconds at the most
wait_for() {
    local i
    for i in $(seq 200); do
        "$@" && return
        sleep 0.05
    done
    echo "still not so after ten seconds: $*"
    return 1
}

# make_attempt FILE: builds tests/lib/attempt.c so that it runs in any cell
make_attempt() {
    musl-gcc -O1 -static -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
        -o "$1" "$TESTS/lib/attempt.c"
}
