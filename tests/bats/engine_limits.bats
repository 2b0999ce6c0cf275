# Networks, limits and packages that are copy-on-write, with an engine that is a daemon. Run by
# `scripts/test --engine ENGINE` alone.

load ../lib/common
load ../lib/daemons

teardown() {
    stop_faulty
    [ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true
}

@test "--network: host is the host's own, private has an interface and another loopback, none has nothing else" {
    networks() {
        echo "from the loopback" >page
        busybox httpd -f -p 127.0.0.1:8080 -h "$WORK" 3>&- &
        SERVER=$!
        run -0 cell --network host -- readlink /proc/self/ns/net
        assert_equal host "$output" "$(readlink /proc/self/ns/net)"
        run -0 cell --network host -- wget -q -O - http://127.0.0.1:8080/page
        assert_equal page "$output" "from the loopback"
        run -0 cell --network private -- sh -c 'ls /sys/class/net; ip route | grep -c ^default'
        assert_match "$output" "*lo*1"
        assert_equal interfaces "${#lines[@]}" 3
        run -1 cell --network private -- wget -q -O - http://127.0.0.1:8080/page
        run -0 cell --network none -- ls /sys/class/net
        assert_equal interfaces "$output" lo
        run -1 cell --network none -- wget -q -O - http://127.0.0.1:8080/page
        kill "$SERVER"
        has_none
    }
    as_caller networks
}

@test "abstract unix sockets of the host are out of reach" {
    sockets() {
        make_attempt attempt
        ./attempt serve-abstract 3>&- >../serving &
        SERVER=$!
        wait_for grep -qs serving ../serving
        run -0 cell --network host -- ./attempt own-abstract connect-abstract
        # Landlock's scopes came with Linux 6.12.
        [ "$(./attempt landlock-scopes)" = "landlock-scopes ok" ] || skip "kernel lacks Landlock's scopes (Linux 6.12)"
        assert_equal output "$output" $'own-abstract ok\nconnect-abstract EPERM'
        kill "$SERVER"
    }
    as_caller sockets
}

# of_cgroup FILE_V1 FILE_V2: what a cell sees of a limit, run in the cell
of_cgroup='cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2'

# bats test_tags=root
@test "--memory, --cpus and --pids-limit are in force" {
    limited() {
        run -0 cell --cpus 0.5 -- sh -c "$of_cgroup" sh cpu/cpu.cfs_quota_us cpu.max
        assert_match "$output" "50000*"
        run -0 cell --memory 64m -- sh -c "$of_cgroup" sh memory/memory.limit_in_bytes memory.max
        assert_equal memory "$output" 67108864
        run -0 cell --pids-limit 20 -- sh -c "$of_cgroup" sh pids/pids.max pids.max
        assert_equal pids "$output" 20
        run cell --pids-limit 10 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done'
        assert_match "$output" "*fork*"
        # What is not given is the engine's own, and may be more than this machine lets it have.
        run -0 cell --ulimit nofile=64:128 --ulimit nproc=1000:1000 -- sh -c 'ulimit -Sn; ulimit -Hn'
        assert_equal nofile "$output" $'64\n128'
        has_none
    }
    as_caller limited
}

# bats test_tags=root
@test "what eats too much memory is killed, and the result says so" {
    eats() {
        run -137 --separate-stderr cell --memory 32m -- dd if=/dev/zero of=/dev/null bs=200M count=1
        assert_equal outcome "$(result_field '[.outcome, .signal] | join(" ")')" "signaled 9"
        # Podman 4.3 says it of the first process alone.
        if [ "$ENGINE" = docker ]; then
            assert_equal oom_killed "$(result_field .oom_killed)" true
            assert_match "$stderr" "*memory limit*"
        fi
        run -137 cell --memory 32m -- sh -c 'kill -9 $$'
        assert_equal oom_killed "$(result_field .oom_killed)" false
    }
    as_caller eats
}

@test "a limit that the daemon does not enforce is an error that names it, and nothing is started" {
    not_enforced() {
        local option
        for option in --memory=64m --cpus=0.5 --pids-limit=20 --ulimit=nofile=64:128; do
            run --separate-stderr cell "$option" -- touch started
            assert_equal "status and code with $option" "$status $(result_field .error.code)" "125 engine.unavailable"
            assert_match "$stderr" "*${option%%=*} cannot be enforced by $ENGINE*"
            [ ! -e started ]
            has_none
        done
    }
    # An ordinary user's daemon on cgroups of version 1 leaves all limits out, without a word.
    if is_rootless && [ -d /sys/fs/cgroup/memory ]; then
        as_caller not_enforced
    else
        # Here they are all enforced: a daemon says that it has left them out.
        forgetful() {
            start_faulty 'GET:/containers/own/json' unlimited
            run --separate-stderr engine_cell "$FAULTY" --memory 64m -- touch started
            assert_equal "status and code" "$status $(result_field .error.code)" "125 engine.unavailable"
            assert_match "$stderr" "*--memory cannot be enforced by $ENGINE*"
            [ ! -e started ]
            has_none
        }
        as_caller forgetful
    fi
}

@test "a package that is copy-on-write is as it was afterwards, and the daemon keeps no volume of it" {
    written() {
        mkdir -p ../package/deep
        echo old >../package/file
        echo gone >../package/deep/gone
        chmod 2750 ../package/deep
        chown -R "$(caller_name):" ../package
        find ../package -printf '%P %m %U %s\n' | sort >../before
        run -0 cell --package-cow ../package -- sh -c '
            cd ../package; echo new >file; rm deep/gone; mkdir more; ln -s file link; stat -c %a deep; cat file'
        assert_equal output "$output" $'2750\nnew'
        find ../package -printf '%P %m %U %s\n' | sort | diff ../before -
        assert_equal volumes "$(engine_api GET /volumes | jq '.Volumes // [] | length')" 0
        assert_equal cleanup "$(result_field .cleanup.verified)" true
        has_none
    }
    as_caller written
}
