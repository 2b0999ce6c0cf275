# What only an engine that is a daemon can get wrong: run by `scripts/test --engine ENGINE` alone.

load ../lib/common
load ../lib/daemons
load ../lib/registry

teardown() {
    stop_faulty
    stop_registry
}

@test "the result names the engine" {
    named() {
        run -0 cell -- true
        assert_equal engine "$(result_field .engine)" "$ENGINE"
    }
    as_caller named
}

@test "explain knows the image that the daemon has, and starts nothing there" {
    explained() {
        as "$PROGRAM" explain --json --engine "$ENGINE" --engine-host "unix://$ENGINE_SOCKET" --workdir "$WORK" \
            --progress none "$IMAGE" true >../plan
        assert_equal facts "$(jq -c '.explain | [.can_start, .looked_inside, .image.known, .entrypoint.verdict]' ../plan)" \
            '[true,false,true,"none"]'
        assert_match "$(jq -r .explain.docker.line ../plan)" "$ENGINE run *"
        has_none
        run -0 cell --step ../plan -- true
        IMAGE=oci:$IMAGES/busybox:entrypoint
        run as "$PROGRAM" explain --json --engine "$ENGINE" --engine-host "unix://$ENGINE_SOCKET" --workdir "$WORK" \
            --progress none --user nobody-knows --package gone "$IMAGE" true
        assert_equal status "$status" 125
        assert_equal codes "$(jq -r '.explain.violations | map(.code) | join(" ")' <<<"$output")" \
            "mount.source-missing image.entrypoint user.unknown"
    }
    as_caller explained
}

@test "a daemon that is not there is engine.unavailable, and the message names engine and host" {
    gone() {
        run --separate-stderr engine_cell "$WORK/none.sock" -- touch started
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" engine.unavailable
        assert_match "$stderr" "*$ENGINE at 'unix://$WORK/none.sock' gives no answer: No such file or directory"$'\n'*
        [ ! -e started ]
    }
    as_caller gone
}

@test "a socket that is no daemon's is engine.unavailable" {
    other() {
        local pid
        python3 -c 'import socketserver, sys
class H(socketserver.StreamRequestHandler):
    def handle(self): self.request.recv(4096); self.wfile.write(b"220 mail ready\r\n")
socketserver.UnixStreamServer(sys.argv[1], H).serve_forever()' "${WORK%/*}/mail" 3>&- &
        pid=$!
        wait_for test -S "${WORK%/*}/mail"
        run engine_cell "${WORK%/*}/mail" -- true
        kill "$pid"
        assert_equal code "$(result_field .error.code)" engine.unavailable
    }
    as_caller other
}

@test "the daemon sees neither arguments, nor environment, nor secrets" {
    hidden() {
        local id pid
        printf top-secret-file >../secret
        export TOKEN=top-secret-token
        cell --secret-env TOKEN --secret-file "key=${WORK%/*}/secret" -e PLAIN=top-plain -- \
            sh -c 'until [ -e go ]; do sleep 0.1; done; cat /run/secrets/key | wc -c; : top-argument' >../out 3>&- &
        pid=$!
        wait_for has_one
        id=$(engine_api GET '/containers/json?filters=%7B%22label%22%3A%5B%22stepcell.step%22%5D%7D' | jq -r '.[0].Id')
        run ! grep top- <<<"$(engine_api GET "/containers/$id/json")"
        touch go
        wait "$pid"
        assert_equal bytes "$(cat ../out)" 15
    }
    as_caller hidden
}

# bats test_tags=root
@test "a step whose files would belong to somebody else is refused with the way out" {
    owner() {
        run --separate-stderr cell --user 1234 -- touch started
        assert_refused option.invalid
        assert_match "$stderr" "*'$ENGINE'*1234*--user 0:0*"
        chown 1234:1234 .
        run -0 cell --user 1234:1234 -- touch mine
        assert_equal owner "$(stat -c %u mine)" 1234
        chown 0:0 .
    }
    as_caller owner
}

@test "a user by name is the image's" {
    named_user() {
        is_rootless || chown 1000:1000 .
        run -0 cell --user app -- sh -c 'id -un; id -G; echo "$HOME"'
        assert_equal lines "${lines[*]}" "app 1000 20 /home/app"
        run --separate-stderr cell --user nobody-knows -- true
        assert_refused user.unknown
        chown "$(caller_name):" .
    }
    as_caller named_user
}

@test "every user has a home that it can write to, with --read-only too" {
    at_home() {
        local user
        for user in 0:0 1234:4321 1000650000:0; do
            chown $user .
            run -0 cell --user $user --read-only -- sh -c \
                'cd && echo x >file && cat file; touch /x 2>/dev/null || echo closed'
            assert_equal output "$output" $'x\nclosed'
        done
        chown 0:0 .
    }
    as_caller at_home
}

@test "the daemon pulls with the caller's credentials, and what it has pulled is checked" {
    pulled() {
        local -x DOCKER_CONFIG=${WORK%/*}/docker
        htpasswd -Bbc ../htpasswd me word 2>/dev/null
        start_registry "${WORK%/*}/htpasswd"
        push "oci:$IMAGES/busybox:latest" tools/box:1 --dest-creds me:word
        push "oci:$IMAGES/busybox:entrypoint" tools/entered:1 --dest-creds me:word
        push "oci:$IMAGES/layers:latest" tools/layers:1 --dest-creds me:word
        IMAGE=$REGISTRY/tools/box:1
        run --separate-stderr cell -- touch started
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" registry.auth
        mkdir "$DOCKER_CONFIG"
        jq -n --arg host "$REGISTRY" '{auths: {($host): {auth: ("me:word" | @base64)}}}' >"$DOCKER_CONFIG/config.json"
        run -125 cell --pull never -- true
        assert_equal code "$(result_field .error.code)" image.not-found
        run -7 --separate-stderr cell --progress plain -- sh -c 'exit 7'
        assert_match "$stderr" "*$ENGINE pulls '$REGISTRY/tools/box:1'*"
        assert_match "$(result_field .image.digest)" "sha256:*"
        rm "$DOCKER_CONFIG/config.json" # it is there by now
        run -8 cell -- sh -c 'exit 8'
        run -125 cell --pull always -- true
        jq -n --arg host "$REGISTRY" '{auths: {($host): {auth: ("me:word" | @base64)}}}' >"$DOCKER_CONFIG/config.json"
        IMAGE=$REGISTRY/tools/layers:1
        run -0 cell --events file:../events -- /bin/busybox true
        # Podman does not say when a layer is complete, nor how large a small one is.
        if [ "$ENGINE" = docker ]; then
            assert_equal layers "$(jq -r 'select(.type == "image.progress") | .layer // empty | .bytes > 0 and .ms >= 0' ../events | paste -sd' ')" "true true"
            assert_equal progress "$(jq -s '[.[] | select(.type == "image.progress")] | last | .layers == 2 and .layers_total == 2
                and .bytes == .total and .total > 0' ../events)" true
        fi
        IMAGE=$REGISTRY/tools/none:1
        run -125 cell -- true
        assert_equal code "$(result_field .error.code)" image.not-found
        IMAGE=$REGISTRY/tools/entered:1
        run --separate-stderr cell -- touch started
        assert_refused image.entrypoint
        assert_match "$stderr" '*"/bin/echo"*ENTRYPOINT \["/bin/echo"*'
        run -0 cell --entrypoint clear -- true
        stop_registry
        [ ! -e started ]
    }
    as_caller pulled
}

# stepcell by TCP, as the clients of Docker are told: DOCKER_HOST, unless an option names another host
tcp_cell() {
    as timeout 60 "$PROGRAM" run --engine docker --result "$RESULT" --workdir "$WORK" --progress none "${TCP_OPTIONS[@]}" \
        "$IMAGE" -- "$@"
}

is_unavailable() {
    run -125 tcp_cell touch started
    assert_equal code "$(result_field .error.code)" engine.unavailable
    [ ! -e started ]
}

@test "TCP with certificates: both sides have to prove themselves" {
    certified() {
        local -x DOCKER_HOST=tcp://127.0.0.1:$ENGINE_TLS_PORT DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$TEST_DIR/engine/tls
        local other=${WORK%/*}/other TCP_OPTIONS=()
        mkdir "$other"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$other/key.pem" \
            -subj /CN=nobody -days 1 -out "$other/cert.pem" 2>/dev/null
        cp "$other/cert.pem" "$other/ca.pem"
        chmod -R a+r "$other" "$DOCKER_CERT_PATH"
        run -6 tcp_cell sh -c 'exit 6'
        DOCKER_CERT_PATH=$other is_unavailable # it does not know the daemon
        cp "$DOCKER_CERT_PATH/ca.pem" "$other"
        DOCKER_CERT_PATH=$other is_unavailable # the daemon does not know it
        DOCKER_CERT_PATH=$WORK is_unavailable  # there are none
        assert_match "$output" "*DOCKER_CERT_PATH*"
        DOCKER_TLS_VERIFY='' is_unavailable
        DOCKER_HOST=tcp://localhost:$ENGINE_TLS_PORT is_unavailable # the certificate is for the address
        TCP_OPTIONS=(--engine-host "tcp://127.0.0.1:$ENGINE_TLS_PORT")
        DOCKER_HOST=tcp://127.0.0.1:1 run -7 tcp_cell sh -c 'exit 7'
        # Where a home has them, nothing but the one variable is needed.
        cp -r "$DOCKER_CERT_PATH" "$TEST_DIR/home/$CALLER/.docker"
        DOCKER_CERT_PATH='' run -8 tcp_cell sh -c 'exit 8'
        rm -r "$TEST_DIR/home/$CALLER/.docker"
    }
    # Podman 4.3 speaks no TLS.
    if [ "$ENGINE" = podman ]; then
        python3 "$TESTS/lib/tls_engine.py" "$TEST_DIR/engine/tls" "$ENGINE_TLS_PORT" "$ENGINE_SOCKET" 3>&- &
        FAULTY_PIDS+=($!)
        listens() { (: <"/dev/tcp/127.0.0.1/$ENGINE_TLS_PORT") 2>/dev/null; }
        wait_for listens
    fi
    as_caller certified
}

@test "credentials go to a daemon by its socket, by TLS or on the loopback, and no other way" {
    clear() {
        local -x DOCKER_CONFIG=${WORK%/*}/docker
        mkdir "$DOCKER_CONFIG"
        jq -n '{auths: {"127.0.0.1:1": {auth: ("me:word" | @base64)}}}' >"$DOCKER_CONFIG/config.json"
        IMAGE=127.0.0.1:1/tools/none:1
        run --separate-stderr engine_cell "$ENGINE_SOCKET" --engine-host tcp://10.9.8.7:2375 -- true
        assert_refused option.invalid
        assert_match "$stderr" "*the credentials for '127.0.0.1:1'*speaks no TLS*"
        rm "$DOCKER_CONFIG/config.json"
        run -125 engine_cell "$ENGINE_SOCKET" --engine-host tcp://10.9.8.7:2375 -- true
        assert_equal code "$(result_field .error.code)" registry.unreachable
    }
    ip address add 10.9.8.7/32 dev lo
    python3 "$TESTS/lib/tls_engine.py" - 2375 "$ENGINE_SOCKET" 10.9.8.7 3>&- &
    FAULTY_PIDS+=($!)
    listens() { (: <"/dev/tcp/10.9.8.7/2375") 2>/dev/null; }
    wait_for listens
    as_caller clear
    ip address del 10.9.8.7/32 dev lo
}

@test "a package whose name means something to an overlay is copy-on-write or refused, and never another directory" {
    signs() {
        local name
        mkdir ../p ../ps
        echo decoy | tee ../p/file >../ps/file
        for name in 'p,nosuid' 'p,volatile' 'p\s' 'p:q'; do
            mkdir "../$name"
            echo content >"../$name/file"
            chown -R "$(caller_name):" "../$name"
            run --separate-stderr cell --package-cow "../$name" -- cat "../$name/file"
            if [ "$ENGINE" = podman ]; then
                assert_refused option.invalid
                assert_match "$stderr" "*'podman' cannot mount a path with a * copy-on-write: '*"
            else
                assert_equal "status and content of $name" "$status $output" "0 content"
            fi
        done
        has_none
    }
    as_caller signs
}

@test "a container that somebody has renamed is still the step's: it ends as it does, and goes" {
    renamed() {
        local pid id
        cell -- sh -c 'touch started; until [ -e go ]; do sleep 0.1; done; echo here; exit 3' >../out 3>&- &
        pid=$!
        wait_for test -e started
        id=$(engine_api GET '/containers/json?filters=%7B%22label%22%3A%5B%22stepcell.step%22%5D%7D' | jq -r '.[0].Id')
        engine_api POST "/containers/$id/rename?name=another-name"
        touch go
        status=0
        wait "$pid" || status=$?
        assert_equal "status and output" "$status $(cat ../out)" "3 here"
        assert_equal result "$(result_field '"\(.outcome) \(.cleanup.verified)"')" "exited true"
        has_none
    }
    as_caller renamed
}

@test "when stepcell is killed its container ends and goes" {
    killed() {
        cell -- sh -c 'touch started; sleep 1000' 3>&- &
        wait_for test -e started
        pkill_children_of "$!"
        wait_for has_none
        run -0 cell -- true
    }
    # The process that `as` made.
    pkill_children_of() { kill -9 "$(pgrep -P "$1" | head -n 1)" 2>/dev/null || kill -9 "$1"; }
    as_caller killed
}

@test "what two killed programs leave is removed by the next step, and only that" {
    swept() {
        local other id pid pids alive
        # Somebody else's, one whose label says nothing, and one of an image that was made of a step's container.
        for labels in '{}' '{"stepcell.step":"x","stepcell.owner":"nobody"}' \
            '{"stepcell.step":"x","stepcell.owner":"1.2.3.0000"}'; do
            other+=" $(curl -s --unix-socket "$ENGINE_SOCKET" -H 'Content-Type: application/json' -d \
                "{\"Image\":\"$(engine_api GET /images/json | jq -r '.[0].Id')\",\"Entrypoint\":[\"/x\"],\"Labels\":$labels}" \
                http://engine/v1.40/containers/create | jq -r .Id)"
        done
        # A step of another process that runs meanwhile.
        RESULT=$RESULT.alive cell -- sh -c 'touch living; until [ -e go ]; do sleep 0.1; done; exit 9' 3>&- &
        alive=$!
        wait_for test -e living
        mkdir "${WORK%/*}/second"
        chown "$(caller_name):" "${WORK%/*}/second"
        WORK=${WORK%/*}/second cell -- sh -c 'touch started; sleep 1000' 3>&- &
        pid=$!
        wait_for test -e ../second/started
        pids=$(pgrep -f -- "--workdir ${WORK%/*}/second")
        # Stepcell-docker is its child, in a session of its own.
        kill -9 $(for pid in $pids; do pgrep -P "$pid"; done) $pids 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        assert_equal containers "$(our_containers)" 4
        run -0 cell -- true
        is_swept() { [ "$(our_containers)" = 3 ]; }
        wait_for is_swept
        touch go
        status=0
        wait "$alive" || status=$?
        assert_equal "status of the other" "$status" 9
        for id in $other; do
            assert_equal other "$(engine_api GET "/containers/$id/json" | jq -r .Id)" "$id"
            engine_api DELETE "/containers/$id"
        done
        has_none
    }
    as_caller swept
}

@test "an image that was removed in the daemon is loaded again" {
    again() {
        local id
        run -0 cell -- true
        for id in $(engine_api GET /images/json | jq -r '.[].Id'); do
            engine_api DELETE "/images/$id?force=1" >/dev/null
        done
        run -5 cell -- sh -c 'exit 5'
    }
    as_caller again
}

@test "what the daemon says itself is shown to who wants it, and is in the result" {
    raw() {
        start_faulty 'POST:/containers/create' error
        run --separate-stderr engine_cell "$FAULTY" -- true
        assert_refused engine.failed
        assert_match "$stderr" "stepcell: $ENGINE cannot create a container: it answers with status 500"$'\n'"stepcell: hint: *"
        [[ $stderr != *broke* ]]
        assert_equal detail "$(result_field .error.detail)" "something broke"
        run --separate-stderr engine_cell "$FAULTY" --verbose -- true
        assert_match "$stderr" "*stepcell: said: something broke*"
        stop_faulty
    }
    as_caller raw
}

@test "what runs first in a container is a copy of the program, which nobody in there can write to" {
    copied() {
        local pid init=${PROGRAM%/bin/*}/libexec/stepcell/stepcell-init
        cell -- sh -c 'for name in join stepcell-init; do (: >/.stepcell/$name); done; touch started
            until [ -e go ]; do sleep 0.1; done' 2>../err 3>&- &
        pid=$!
        wait_for test -e started
        cmp "$init" "/proc/$(first_process)/exe"
        run ! test "$init" -ef "/proc/$(first_process)/exe"
        touch go
        wait "$pid"
        assert_equal refusals "$(grep -ci 'read-only file system' ../err)" 2
    }
    as_caller copied
}

# bats test_tags=root
@test "a store may lie in another file system than the programs" {
    apart() {
        mkdir ../apart
        mount -t tmpfs -o mode=0700 apart ../apart
        run -0 --separate-stderr stepcell run --store "$PWD/../apart" --workdir "$WORK" "$IMAGE" -- echo there
        umount ../apart
        assert_equal output "$output" there
    }
    as_caller apart
}

@test "a volume of an image is mounted over nothing of the host's" {
    with_volumes() {
        local name
        cp -r "$IMAGES/busybox" ../layout
        umoci config --image ../layout:latest --tag volumes --config.volume "$WORK/sub" --config.volume "$WORK" --config.volume /v
        umoci config --image ../layout:latest --tag conflict --config.volume "$WORK/sub"
        chmod -R a+rX ../layout
        IMAGE=oci:${WORK%/*}/layout:conflict
        run --separate-stderr cell -- touch started
        assert_refused mount.conflict
        assert_match "$stderr" "*volume at '$WORK/sub'*"
        assert_equal "the directory" "$(ls -A)" ""
        # What is asked for at its very path is there instead; others go with the container.
        IMAGE=oci:${WORK%/*}/layout:volumes
        mkdir sub
        run -0 cell --package sub -- sh -c 'touch mine sub/not 2>/dev/null; touch /v/file; ls'
        assert_equal files "$output" $'mine\nsub'
        assert_equal volumes "$(engine_api GET /volumes | jq '.Volumes // [] | length')" 0
    }
    as_caller with_volumes
}

# bats test_tags=root
@test "what a container uses is measured" {
    measured() {
        run -0 cell --id "measured-$$" -- sh -c 'dd if=/dev/zero of=/dev/shm/block bs=1M count=24 2>/dev/null
            ( i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done ) & sleep 1; wait'
        stepcell report --json "measured-$$" >../report
        jq -e '.usage.memory.source == "cgroup" and .usage.pids.source == "cgroup" and .usage.cpu.source != null' ../report
        jq -e '[.samples[].memory // 0] | max > 24000000 and max < 200000000' ../report
        jq -e '[.samples[].pids // 0] | max >= 3 and max <= 6' ../report
        jq -e '[.samples[].cpu_us // 0] | max > 20000 and max < 10000000' ../report
        run -0 stepcell forget "measured-$$"
    }
    as_caller measured
}

@test "a durable step whose supervisor was killed leaves no container" {
    durable() {
        local pid
        run -0 as "$PROGRAM" start --engine "$ENGINE" --engine-host "unix://$ENGINE_SOCKET" --id "durable-$$" \
            --workdir "$WORK" "$IMAGE" -- sh -c 'touch started; sleep 1000'
        wait_for test -e started
        pid=$(pgrep -f -- "--id durable-$$")
        kill -9 "$pid" $(pgrep -P "$pid")
        run -125 stepcell wait "durable-$$"
        has_none
        run -0 stepcell forget "durable-$$"
    }
    as_caller durable
}

@test "an image that has to be signed is verified by stepcell, and runs by the digest that was signed" {
    . "$TESTS/lib/images.bash"
    . "$TESTS/lib/policy.bash"
    . "$TESTS/lib/signatures.bash"
    signed() {
        local digest
        policy_setup
        start_registry
        make_key "$POLICY_DIR/good"
        cp "$POLICY_DIR/good.pub" "$ETC/stepcell/"
        policy "$(jq -nc --arg engine "$ENGINE" --arg host "unix://$ENGINE_SOCKET" '{engines: {($engine): [$host]},
            images: [{match: "**", action: "allow", signed_by: ["/etc/stepcell/good.pub"]}]}')"
        push "oci:$IMAGES/busybox:latest" signed:1
        IMAGE=$REGISTRY/signed:1
        digest=$(registry_digest signed 1)
        # Podman asks a registry by plain HTTP only when it is told to; Docker needs nothing for loopback.
        engine_api POST "/images/create?fromImage=$REGISTRY/signed&tag=1&tlsVerify=false" >/dev/null
        run --separate-stderr cell -- true
        assert_refused image.signature
        sign "$POLICY_DIR/good" signed "$digest"
        run -0 cell -- true
        assert_equal signed "$(result_field '.image.signatures[0].digest')" "$digest"
        assert_equal digest "$(result_field .image.digest)" "$digest"
        # What the daemon knows by this name is not what counts.
        push "oci:$IMAGES/busybox:cmd" signed:1
        run --separate-stderr cell -- true
        assert_refused image.signature
        # Another daemon is none that the policy knows, whoever names it.
        run -125 --separate-stderr engine_cell /run/other.sock -- true
        assert_match "$stderr" "*policy does not allow the daemon*"
        policy_teardown
    }
    as_caller signed
}
