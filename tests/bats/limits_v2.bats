# Limits on cgroups version 2 with every controller, as on a host that has nothing else: in user-mode
# Linux, which boots in two seconds with this machine's files as its root. What is done there is in
# tests/lib/v2_guest.sh; here it is compared.

load ../lib/common

setup_file() {
    local dir=$BATS_FILE_TMPDIR
    truncate -s 300M "$dir/disk"
    mkfs.ext4 -q "$dir/disk"
    # It waits for the end of its input, of which there is none.
    timeout -k 5 200 linux.uml mem=700M uml_dir="$dir" rootfstype=hostfs rootflags=/ rw quiet \
        init="$TESTS/lib/v2_guest.sh" ubda="$dir/disk" con=null con0=fd:0,fd:1 \
        STEPCELL="$STEPCELL_RELEASE" IMAGE="$IMAGE" CALLER=stepcell-plain \
        </dev/null >"$dir/output" 2>&1 || true
    tr -d '\r' <"$dir/output" >"$dir/lines"
    cat "$dir/lines"
    grep -qx 'the end' "$dir/lines"
}

# guest NAME: what the guest said of it
guest() { sed -n "s/^$1: *//p" "$BATS_FILE_TMPDIR/lines"; }
# assert_guest NAME EXPECTED: by root and by an ordinary user with a delegated part
assert_guest() {
    local who
    for who in root user; do
        assert_equal "$who $1" "$(guest "$who $1")" "$2"
    done
}

@test "version 2: the guest has the controllers" {
    local controller
    for controller in memory cpu pids; do
        assert_match " $(guest controllers) " "* $controller *"
    done
}

@test "version 2: a cell sees its own limits and can change none of them" {
    assert_guest view "/ 67108864 0 50000 100000 20 no mkdir no write status 0"
}

@test "version 2: memory is limited, and only what the kernel killed was killed for memory" {
    assert_guest eats "status 137 true"
    assert_guest child "status 0 true"
    assert_guest "own 137" "status 137 false"
}

@test "version 2: processor time and tasks are limited" {
    assert_guest tasks 8
    assert_guest busy "status 124"
    assert_guest used "less than it could"
}

@test "version 2: the report of a step has the numbers of its cgroup" {
    assert_guest report '[["cgroup"],true,true,true]'
}

@test "version 2: nothing is left, what is in the cgroup is killed, and a crash is cleaned up after" {
    assert_guest left ""
    assert_guest cancelled "143 137 true 0"
    assert_guest crashed "137 1"
    assert_guest swept "137 0"
    assert_equal left "$(guest left)" \
        "/sys/fs/cgroup/service /sys/fs/cgroup/service/worker /sys/fs/cgroup/user /sys/fs/cgroup/user/session"
}

@test "version 2: a cell lies below the root, or beside the caller where controllers are enabled" {
    assert_equal enabled "$(guest enabled)" "cpu memory pids"
    assert_equal sibling "$(guest sibling)" "20 status 0"
    assert_match "$(guest 'not enabled')" "*--pids-limit cannot be enforced: *'pids'*systemd-run --scope -p TasksAccounting=yes*status 125"
    assert_match "$(guest 'user denied')" "*--pids-limit cannot be enforced: *Permission denied*systemd-run --user --scope*status 125"
}
