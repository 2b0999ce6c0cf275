# Ordinary users and an engine that is a daemon: their own, or root's, whose socket is open to their group. Run by
# `scripts/test --engine ENGINE` alone.

load ../lib/common
load ../lib/daemons

# Whoever may use root's daemon: the group of its socket says it.
teardown() { stop_faulty; }

setup() {
    is_rootless || {
        chgrp stepcell-plain "$ENGINE_SOCKET"
        chmod 0660 "$ENGINE_SOCKET"
    }
}

# as_member FUNCTION: as an ordinary user whom root's daemon lets in
as_member() {
    local CALLERS=plain CALLER=plain
    as_caller "$@"
}

ids() { echo "$(id -u "stepcell-$CALLER"):$(id -g "stepcell-$CALLER")"; }

# bats test_tags=root
@test "who may not use the socket is told so" {
    outsider() {
        run --separate-stderr cell -- touch started
        assert_refused engine.unavailable
        assert_match "$stderr" "*$ENGINE at 'unix://$ENGINE_SOCKET'*"
    }
    CALLERS=ranges CALLER=ranges as_caller outsider
}

# bats test_tags=root
@test "a member of the socket's group runs steps as itself, and as nobody else" {
    member() {
        local user
        for user in '' root app 1234; do
            run --separate-stderr cell ${user:+--user "$user"} -- touch started
            assert_refused option.invalid
            assert_match "$stderr" "*'$ENGINE' cannot*to user ${UID_OF}*--user $(ids)*"
        done
        [ ! -e started ]
        run -0 cell --user "$(ids)" -- sh -c 'id -u; id -g; echo text >mine; mkdir -p deep/er; echo "$HOME"; : >"$HOME/file"'
        assert_equal output "$output" "$(ids | tr : '\n')"$'\n/home/step'
        assert_equal owners "$(find . -printf '%U:%G\n' | sort -u)" "$(ids)"
        assert_equal cleanup "$(result_field .cleanup.verified)" true
        has_none
    }
    UID_OF=$(id -u stepcell-plain)
    as_member member
}

# bats test_tags=root
@test "a member's step has its outputs, secrets, script and exit status" {
    whole() {
        export TOKEN=s3cret-word
        printf 'in a file' >../secret
        echo 'echo "$TOKEN $(cat /run/secrets/file)"; echo "Name=value" >>"$STEPCELL_OUTPUT"; exit 7' >script.sh
        run -7 script_cell --user "$(ids)" --secret-env TOKEN --secret-file "file=${WORK%/*}/secret" --script script.sh
        assert_equal output "$output" "******** ********"
        assert_equal outputs "$(result_field '.outputs.Name')" value
    }
    as_member whole
}

# bats test_tags=docker
@test "what Docker leaves behind of a copy-on-write package is refused to ordinary users" {
    cow() {
        mkdir ../package
        run --separate-stderr cell --user "$(ids)" --package-cow ../package -- touch started
        assert_equal "status and code" "$status $(result_field .error.code)" "125 option.invalid"
        assert_match "$stderr" "*copy-on-write for root alone*"
        [ ! -e started ]
    }
    as_member cow
}

# bats test_tags=root
@test "a member's sweep leaves root's step alone, also where /proc hides it" {
    hidden() {
        local pid
        CALLER=root WORK=$ROOTS RESULT=$ROOTS/result.json cell -- \
            sh -c 'touch started; until [ -e go ]; do sleep 0.1; done; exit 9' 3>&- &
        pid=$!
        wait_for test -e "$ROOTS/started"
        # One's own processes are all that is seen.
        UNDER=(unshare --mount --propagation private sh -c 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"' sh)
        run -0 cell --user "$(ids)" -- true
        UNDER=()
        run -0 cell --user "$(ids)" -- true
        touch "$ROOTS/go"
        status=0
        wait "$pid" || status=$?
        assert_equal "status of root's step" "$status" 9
        has_none
    }
    ROOTS=$(mktemp -d "$TEST_DIR/work/roots.XXXXXX")
    as_member hidden
    rm -r "$ROOTS"
}

# bats test_tags=own
@test "with a daemon of one's own, what any user of the image writes belongs to the caller" {
    own() {
        local user
        for user in '' root app 1234:77 1234 0:20; do
            rm -rf file deep
            run -0 cell ${user:+--user "$user"} -- sh -c 'id -u >file; mkdir -p deep/er; : >deep/er/file; chmod 0600 deep/er/file'
            assert_equal "owners with '$user'" "$(find . -printf '%U\n' | sort -u)" "$(id -u "stepcell-$CALLER")"
            # Podman gives the caller's group where user and group are root's both, or neither.
            [[ $user = 1234 || $user = 0:20 ]] ||
                assert_equal "owners with '$user'" "$(find . -printf '%U:%G\n' | sort -u)" "$(ids)"
            assert_equal cleanup "$(result_field .cleanup.verified)" true
        done
        run -0 cell --user app -- sh -c 'id -u; id -g; id -G; echo "$HOME"; : >"$HOME/file"'
        assert_equal lines "${lines[*]}" "1000 1000 1000 20 /home/app"
        # What else is wrong with a step makes nobody else of its user.
        run --separate-stderr cell --user app --package gone -- true
        assert_refused mount.source-missing
        [[ $stderr != *"--user"* ]]
        has_none
    }
    as_caller own
}

@test "what runs first in a container may no more than the step's user" {
    unprivileged() {
        local pid user=1000:1000
        ! is_rootless || user=app
        is_rootless || chown 1000:1000 .
        cell --user "$user" -- sh -c 'touch started; until [ -e go ]; do sleep 0.1; done' 3>&- &
        pid=$!
        wait_for test -e started
        assert_equal capabilities "$(sed -n 's/^Cap\(Inh\|Prm\|Eff\|Amb\):\t//p' "/proc/$(first_process)/status" | sort -u)" 0000000000000000
        touch go
        wait "$pid"
        # Where the user cannot go the step does not begin.
        rm started go
        chmod 0000 .
        run --separate-stderr cell --user "$user" -- touch /tmp/started
        assert_refused workdir.missing
        chmod 0755 .
        chown "$(caller_name):" .
        has_none
    }
    as_caller unprivileged
}

# bats test_tags=root
@test "a directory that lets only root in is closed to other users of root's daemon" {
    closed() {
        mkdir -m 0700 ../closed
        echo content | tee ../closed/file >../closed/other
        chown 1000:1000 .
        run -1 --separate-stderr cell --user 1000:1000 -v "$WORK/../closed:/opt/closed:ro" -- cat /opt/closed/file
        assert_match "$stderr" "*ermission denied*"
        run --separate-stderr cell --user 1000:1000 -v "$WORK/../closed:/opt/closed:ro" \
            -v "$WORK/../closed/other:/opt/closed/file:ro" -- touch started
        assert_refused mount.denied
        assert_match "$stderr" "*'/opt/closed/file' cannot be reached in the cell by the user of the step*"
        chown 0:0 .
    }
    as_caller closed
}

@test "a daemon that makes somebody else of the step's user is refused before the step starts" {
    mapped() {
        start_faulty 'POST:/containers/create' other-user
        run --separate-stderr engine_cell "$FAULTY" -- touch started
        assert_equal "status and code" "$status $(result_field .error.code)" "125 option.invalid"
        assert_match "$stderr" "*$ENGINE runs the step as user * of this host, and what it writes has to belong to user *"
        [ ! -e started ]
        has_none
    }
    as_caller mapped
}
