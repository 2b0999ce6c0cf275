# The administrator's policy, and the audit log. The policy is one that only these tests see.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/policy

setup_file() { policy_setup; }
teardown_file() { policy_teardown; }

setup() {
    no_policy
    # Local images are what these tests run, and what a policy has to name.
    LOCAL="oci:$IMAGES/**"
    ALLOW="{images: [{match: \"$LOCAL\", action: \"allow\"}]}"
}

# allow FILTER: a policy that allows the local images, changed
allow() { policy "$(jq -nc "$ALLOW | $1")"; }

# assert_denied CODE RULE [cell option...]
assert_denied() {
    local code=$1 rule=$2
    shift 2
    run --separate-stderr cell "$@" -- true
    assert_refused "$code"
    assert_equal rule "$(result_field '.policy.rule | sub(" .line.*"; "")')" "$rule"
    assert_match "$stderr" "*/etc/stepcell/policy.json*hint: *"
}

allowed() { run -0 cell "$@" -- true; }

@test "without a policy everything is as it was, for two opens" {
    free() {
        local opens
        allowed
        assert_equal policy "$(result_field .policy)" null
        assert_equal signatures "$(result_field '.image.signatures | length')" 0
        as strace -f -e trace=file -o ../trace "$STEPCELL" run --result "$RESULT" --workdir "$WORK" "$IMAGE" -- true
        opens=$(grep -c 'policy.json' ../trace)
        [ "$opens" -le 2 ] || {
            grep policy.json ../trace
            return 1
        }
    }
    CALLERS=root each_caller free
}

@test "images: the first rule that matches the whole name decides, and no rule is a refusal" {
    images() {
        policy "$(jq -nc "{images: [{match: \"oci:$IMAGES/static\", action: \"deny\", id: \"no static\"},
            {match: \"$LOCAL\", action: \"allow\", id: \"our own\"}]}")"
        allowed
        assert_equal file "$(result_field .policy.file)" /etc/stepcell/policy.json
        assert_match "$(result_field .policy.rule)" "images\[1\] 'our own' (line *)"
        IMAGE=oci:$IMAGES/static:latest assert_denied image.denied "images[0] 'no static'"
        # Another way to the same place.
        ln -s "$IMAGES/static" ../link
        IMAGE=oci:$(realpath ..)/link:latest assert_denied image.denied "images[0] 'no static'"
        # What is judged is what is opened, wherever the link leads by then.
        ln -s "$IMAGES/busybox" ../other
        IMAGE=oci:$(realpath ..)/other:latest allowed
        assert_equal reference "$(result_field .image.reference)" "oci:$(realpath "$IMAGES/busybox"):latest"
        # What any registry may have is no local file, and the other way round.
        IMAGE=docker.io/library/debian:12 assert_denied image.denied "none of the images"
        policy '{"images": [{"match": "**", "action": "allow"}]}'
        assert_denied image.denied "none of the images"
    }
    each_caller images
}

@test "nothing is asked of a registry for a name that is not allowed" {
    not_asked() {
        start_registry
        policy '{"images": [{"match": "registry.example/**", "action": "allow"}]}'
        push "oci:$IMAGES/busybox:latest" tools:1
        # Whoever asks now waits.
        kill -STOP "$REGISTRY_PID"
        IMAGE=$REGISTRY/tools:1 assert_denied image.denied "none of the images"
        IMAGE=$REGISTRY/tools:1 assert_denied image.denied "none of the images" --pull always
        run -125 stepcell image pull "$REGISTRY/tools:1"
        run -125 stepcell image import "oci:$IMAGES/busybox:latest" registry.example/tools:1
        kill -CONT "$REGISTRY_PID"
        stop_registry
    }
    CALLERS=plain each_caller not_asked
}

@test "pinned: a tag is none, a digest is, and a tag beside a digest proves nothing" {
    pinned() {
        start_registry
        push "oci:$IMAGES/busybox:latest" tools:1
        digest=$(skopeo inspect --tls-verify=false "docker://$REGISTRY/tools:1" | jq -r .Digest)
        policy "$(jq -nc --arg host "$REGISTRY" '{images: [{match: "\($host)/*", action: "allow", pinned: "digest"}]}')"
        IMAGE=$REGISTRY/tools:1 assert_denied image.unpinned 'images[0]'
        IMAGE=$REGISTRY/tools:1@$digest allowed
        policy "$(jq -nc --arg host "$REGISTRY" '{images: [{match: "\($host)/*", action: "allow", pinned: "lock"}]}')"
        IMAGE=$REGISTRY/tools@$digest assert_denied image.unpinned 'images[0]'
        policy "$(jq -nc --arg host "$REGISTRY" '{images: [{match: "\($host)/*", tags: ["1", "2.*"], action: "allow"}]}')"
        IMAGE=$REGISTRY/tools:1 allowed
        IMAGE=$REGISTRY/tools:3 assert_denied image.denied "none of the images"
        IMAGE=$REGISTRY/tools:1@$digest assert_denied image.denied "none of the images"
        stop_registry
    }
    CALLERS=root each_caller pinned
}

@test "a lock file counts where the policy lists it, and nowhere else" {
    locked() {
        local lock digest
        start_registry
        push "oci:$IMAGES/busybox:latest" locked:1
        IMAGE=$REGISTRY/locked:1 lock=$POLICY_DIR/stepcell.lock
        governed "$STEPCELL" lock add --lock "$lock" "$IMAGE"
        cp "$lock" ../stepcell.lock
        pinned_by() {
            policy "$(jq -nc --arg how "$1" --arg lock "$2" '{locks: [$lock],
                images: [{match: "**", action: "allow", pinned: $how}]}')"
        }
        for how in lock digest; do
            pinned_by "$how" "$POLICY_DIR/*.lock"
            assert_denied image.unpinned 'images[0]'
            allowed --lock "$lock"
            assert_match "$(result_field .image.lock)" "?*"
            assert_denied policy.denied locks --lock "$(realpath ..)/stepcell.lock"
            # The same file by another way is the file that it is.
            ln -sf "$lock" ../link.lock
            allowed --lock "$(realpath ..)/link.lock"
            rm ../link.lock
        done
        # Another word for it is none for what is denied.
        governed "$STEPCELL" lock add --lock "$lock" --name line --to 1 "$REGISTRY/locked:line"
        policy "$(jq -nc --arg lock "$lock" '{locks: [$lock], images: [{match: "**", tags: ["1"], action: "deny"},
            {match: "**", action: "allow"}]}')"
        IMAGE=$REGISTRY/locked:line assert_denied image.denied 'images[0]' --lock "$lock"
        digest=$(jq -r '.images[].digest' "$lock" | head -n 1)
        IMAGE=$REGISTRY/locked@$digest assert_denied image.denied 'images[0]' --lock "$lock"
        stop_registry
    }
    CALLERS=root each_caller locked
}

@test "networks, capabilities, limits, users, entrypoints and profiles are what the policy says" {
    rest() {
        local wider
        allow '.networks = ["none"]'
        assert_denied policy.denied networks
        allowed --network none
        allow '.capabilities = ["CHOWN"]'
        assert_denied policy.denied capabilities
        assert_match "$stderr" "*--cap-drop NET_RAW*"
        allowed --cap-drop ALL --cap-add CHOWN
        allow '.limits = {timeout: {max: "1h"}, pids: {required: true}}'
        assert_denied policy.denied limits.pids --timeout 10s
        assert_denied policy.denied limits.timeout --pids-limit 20
        assert_denied policy.denied limits.timeout --pids-limit 20 --timeout 2h
        allow '.users = ["1000-1999"] | .groups = ["1000"]'
        # What is forbidden is not tried.
        as strace -f -e trace=unshare,clone,clone3 -o ../trace "$STEPCELL" run --workdir "$WORK" "$IMAGE" -- true || true
        run ! grep -E 'CLONE_NEW(NS|PID)' ../trace
        assert_denied policy.denied users
        assert_denied policy.denied users --user 0:1000
        assert_denied policy.denied groups --user 1234:7
        allowed --user 1234:1000
        allow .
        IMAGE=oci:$IMAGES/busybox:entrypoint assert_denied policy.denied 'images[0]' --entrypoint clear
        ALLOW='{images: [{match: "oci:/**", action: "allow", clear_entrypoint: true}]}' allow .
        IMAGE=oci:$IMAGES/busybox:entrypoint allowed --entrypoint clear
        wider='{"defaultAction": "SCMP_ACT_ALLOW"}'
        echo "$wider" >../wider.json
        allow .
        assert_denied policy.denied seccomp --seccomp "$(realpath ../wider.json)"
        allow ".seccomp = [\"$(realpath ..)/wide*.json\"]"
        allowed --seccomp ../wider.json
    }
    CALLERS=ranges each_caller rest
}

@test "all that a policy refuses is said at once, and what is wrong with the image as well" {
    at_once() {
        local words=(--progress none --workdir "$WORK" --package gone -v "$TEST_DIR/store:/s"
            --shell nosh --script script "oci:$IMAGES/busybox:entrypoint") denied
        as sh -c 'echo true >script'
        allow '.networks = ["none"] | .limits = {memory: {required: true, max: "100m"}, pids: {max: "10"}}
            | .users = ["1000-1999"] | .groups = ["7"]'
        run -125 --separate-stderr as "$STEPCELL" explain --json "${words[@]}"
        denied=$(jq -r '.explain.violations[] | "\(.code) \(.message | sub(".*: "; "") | sub(" .line.*| of .*"; ""))"' <<<"$output")
        assert_equal denied "$(grep denied <<<"$denied")" "$(printf '%s\n' 'policy.denied networks' 'policy.denied limits.memory' \
            'policy.denied limits.pids' 'mount.denied guarded places' 'policy.denied users' 'policy.denied groups')"
        assert_match "$denied" "mount.source-missing *image.entrypoint *"
        assert_equal rule "$(jq -r .explain.policy.rule <<<"$output")" networks
        run -125 --separate-stderr as "$STEPCELL" run --result "$RESULT" "${words[@]}"
        assert_equal violations "$(result_field '.violations | length')" 8
        assert_equal rule "$(result_field .policy.rule)" networks
        # Of an image that is denied nothing is said.
        policy '{"images": [], "networks": ["none"]}'
        run -125 --separate-stderr as "$STEPCELL" run --result "$RESULT" "${words[@]}"
        assert_equal codes "$(result_field '.violations | map(.code) | join(" ")')" \
            "mount.source-missing image.denied policy.denied mount.denied"
        # The store comes first, wherever it is asked.
        allow '.stores = ["/nowhere"]'
        run -125 --separate-stderr as "$STEPCELL" run --result "$RESULT" --workdir "$WORK/gone" "$IMAGE" true
        assert_equal codes "$(result_field '.violations | map(.code) | join(" ")')" "policy.denied workdir.missing"
        run -125 --separate-stderr as "$STEPCELL" explain --json --workdir "$WORK/gone" "$IMAGE" true
        assert_equal explained "$(jq -c .explain.violations <<<"$output")" "$(jq -c .violations "$RESULT")"
    }
    CALLERS="root plain" each_caller at_once
}

@test "mounts: by the tree that they lead to, component by component, with what lies in it" {
    mounts() {
        local base receiver events
        base=$(realpath ..)
        as sh -c 'true'
        mkdir -p "$base/packages/one" "$base/packages/one/deep" "$base/packages-too" "$base/work/kept"
        ln -s "$base/packages-too" "$base/packages/out"
        ln -s "$base/packages" "$base/in"
        chown -R "$(caller_name):" "$base"
        mount_rules() { allow ".mounts = [{tree: \"$base/work\", access: \"write\"}, {tree: \"$base/packages\", access: \"read\"}, $1 empty]"; }
        mount_rules ''
        allowed
        allowed --package "$base/packages/one"
        allowed --package-cow "$base/in/one"
        assert_denied mount.denied 'mounts[1]' --package-rw "$base/packages/one"
        assert_denied mount.denied "none of the mounts" --package "$base/packages-too"
        assert_denied mount.denied "none of the mounts" --package "$base/packages/out"
        assert_denied mount.denied "none of the mounts" -v /etc/hosts:/x:ro
        assert_denied mount.denied "none of the mounts" -v /:/x:ro
        assert_denied mount.denied "none of the mounts" --mount "type=bind,source=$base,target=/x,readonly"
        # What comes along counts.
        mount_rules "{tree: \"$base/packages/one/deep\", access: \"none\"},"
        assert_denied mount.denied 'mounts[2]' --package "$base/packages/one"
        assert_denied mount.denied 'mounts[2]' --package "$base/packages/one/deep"
        mount_rules "{tree: \"$base/work/kept\", access: \"read\"},"
        assert_denied mount.denied 'mounts[2]'
        # A rule that goes through a link takes away where it leads, and gives nothing there.
        mount_rules "{tree: \"$base/packages/out\", access: \"write\"},"
        assert_denied mount.denied "none of the mounts" --package "$base/packages-too"
        allow ".mounts = [{tree: \"$base\", access: \"write\"}, {tree: \"$base/packages/out\", access: \"none\"}]"
        assert_denied mount.denied 'mounts[1]' --package "$base/packages-too"
        # Files that are read into the cell are sources as well.
        mount_rules ''
        echo secret >"$base/file"
        echo true >"$base/script.sh"
        chmod 644 "$base/file" "$base/script.sh"
        assert_denied mount.denied "none of the mounts" --secret-file "name=$base/file"
        assert_denied mount.denied "none of the mounts" --env-file "$base/file"
        # A token goes to who listens: nothing is sent before it is judged.
        ln -s "$base/file" "$base/work/token"
        mkdir "$base/receiver"
        /usr/bin/python3 "$TESTS/lib/event_receiver.py" "$base/receiver" 3>&- &
        receiver=$!
        wait_for test -s "$base/receiver/port"
        events=http://127.0.0.1:$(cat "$base/receiver/port")/
        assert_denied mount.denied "none of the mounts" --events "$events" --events-token-file "$base/work/token"
        assert_equal reference "$(result_field .image.reference)" "$IMAGE"
        run -125 stepcell start --id token --workdir "$WORK" --events "$events" --events-token-file "$base/file" "$IMAGE" -- true
        run -125 stepcell policy test --events "$events" --events-token-file "$base/file" "$IMAGE"
        [ ! -e "$base/receiver/requests" ]
        echo open >"$base/packages/token"
        allowed --events "$events" --events-token-file "$base/packages/token"
        jq -se 'length > 0 and all(.[]; .authorization == "Bearer open")' "$base/receiver/requests"
        # Nor is anything else once the step has led it there.
        as sh -c "echo open >'$base/work/mine'"
        run -0 cell --events "$events" --events-token-file "$base/work/mine" -- sh -c \
            "rm mine && ln -s '$base/file' mine && echo led && sleep 1 && rm mine && echo open >mine"
        grep -q step.finished "$base/receiver/received"
        jq -se 'all(.[]; .authorization == "Bearer open")' "$base/receiver/requests"
        kill "$receiver"
        wait "$receiver" || true
        run --separate-stderr script_cell --script "$base/script.sh"
        assert_refused mount.denied
        run -0 as sh -c "echo true | '$STEPCELL' run --result '$RESULT' --workdir '$WORK' --script - '$IMAGE'"
    }
    CALLERS="root plain" each_caller mounts
}

@test "what decides what may run is written to by no step, nor by its result and events" {
    guarded() {
        local base log=$POLICY_DIR/audit/log.jsonl place
        base=$(realpath ..)
        # Not on the way: what the host lacks, /etc/stepcell say, is there for the caller alone.
        mkdir -p "$base/locks/any" "${log%/*}" "$TEST_DIR/store/$CALLER"
        install -m 600 -o "$(caller_name)" /dev/null "$log"
        ln -s "${log%/*}" "$base/logs"
        allow ".audit = \"$base/logs/log.jsonl\" | .locks = [\"$base/locks/*/one.lock\"] |
            .mounts = [{tree: \"/\", access: \"write\"}]"
        for place in /etc /etc/stepcell "$ETC/.." "$log" "${log%/*}" "$base" "$base/locks/any" \
            "$TEST_DIR/store/$CALLER" "${STEPCELL%/*}"; do
            assert_denied mount.denied "guarded places" -v "$place:/x"
        done
        assert_denied mount.denied "guarded places" --workdir "$base"
        allowed -v /etc/stepcell:/x:ro
        cp "$POLICY" ../policy
        cp "$log" ../log
        for place in /etc/stepcell/policy.json /etc/containers/policy.json "$log" "$base/logs/log.jsonl"; do
            RESULT=$place run -125 --separate-stderr cell -- true
            assert_match "$stderr" "*cannot write*guarded places of '/etc/stepcell/policy.json'*a policy guards*"
            run -125 --separate-stderr cell --events "file:$place" -- true
            assert_match "$stderr" "*cannot send events*guarded places of '/etc/stepcell/policy.json'*"
            run -125 stepcell policy test --result "$place" "$IMAGE"
            run -125 stepcell policy test --events "file:$place" "$IMAGE"
            run -125 stepcell start --id guarded --events "file:$place" --workdir "$WORK" "$IMAGE" -- true
        done
        run -0 stepcell start --id guarded --workdir "$WORK" "$IMAGE" -- true
        run -0 stepcell wait --id guarded
        run -125 stepcell wait --id guarded --result "$log"
        run -0 stepcell forget --id guarded
        cmp "$POLICY" ../policy
        [ ! -e "$ETC/containers/policy.json" ]
        cmp -n "$(stat -c %s ../log)" "$log" ../log
        # One that nobody understands is not replaced either.
        echo '{' >"$POLICY"
        RESULT=/etc/stepcell/policy.json run -125 cell -- true
        assert_equal policy "$(cat "$POLICY")" '{'
    }
    CALLERS=root each_caller guarded
}

@test "where a link of the administrator's leads no step writes either, nor to a link on the way" {
    linked() {
        local base file
        base=$(realpath ..)
        mkdir "$base/conf" "$base/way" "$base/other"
        allow .
        mv "$POLICY" "$base/conf/policy.json"
        echo '{}' >"$base/conf/config.json"
        for file in policy config; do
            ln -s "$base/way/$file" "$ETC/stepcell/$file.json"
            ln -s "../conf/$file.json" "$base/way/$file"
        done
        assert_denied mount.denied "guarded places" -v "$base/conf:/x"
        assert_denied mount.denied "guarded places" -v "$base/way:/x"
        RESULT=$base/conf/config.json run -125 cell -- true
        assert_equal config "$(cat "$base/conf/config.json")" '{}'
        allowed -v "$base/other:/x"
        rm "$POLICY" "$ETC/stepcell/config.json"
    }
    CALLERS=root each_caller linked
}

@test "with containers' policy.json alone nothing that decides is written to, unless that accepts everything" {
    containers_alone() {
        local place
        containers_policy '{"default": [{"type": "reject"}], "transports": {"oci": {"": [{"type": "insecureAcceptAnything"}]}}}'
        cp "$ETC/containers/policy.json" ../policy
        for place in /etc /etc/containers "$TEST_DIR/store/$CALLER"; do
            run --separate-stderr cell -v "$place:/x" -- true
            assert_refused mount.denied
            assert_match "$stderr" "*guarded places of '/etc/containers/policy.json'*"
        done
        RESULT=/etc/containers/policy.json run -125 --separate-stderr cell -- true
        assert_match "$stderr" "*a policy guards*"
        cmp "$ETC/containers/policy.json" ../policy
        run -0 stepcell start --id alone --workdir "$WORK" "$IMAGE" -- true
        run -125 stepcell wait --id alone --result /etc/containers/policy.json
        run -0 stepcell forget --id alone
        # Nothing else of a policy of stepcell's own is in force.
        allowed -v /etc/hosts:/x:ro
        containers_policy '{"default": [{"type": "insecureAcceptAnything"}]}'
        allowed -v /etc/containers:/x
    }
    CALLERS="root plain" each_caller containers_alone
}

@test "of a store that the policy does not know nothing is believed, and nothing is written for it" {
    unknown_store() {
        local mine fake command
        mine=$(realpath ..)
        fake=$mine/fake
        chown "$(caller_name):" "$mine"
        STORE=$fake run -0 stepcell start --id fake --workdir "$WORK" "$IMAGE" -- true
        STORE=$fake run -0 stepcell wait --id fake
        allow .
        for command in wait logs status cancel forget report; do
            run -125 --separate-stderr stepcell "$command" --store "$fake" --id fake
            assert_match "$stderr" "*the image store '$fake' is none that the policy knows*"
        done
        for command in "wait --id fake --result" "report --id fake --html"; do
            # shellcheck disable=SC2086 # several words
            STORE=$fake run -125 stepcell $command "$mine/written"
            [ ! -e "$mine/written" ]
        done
        run -125 --separate-stderr stepcell ps --store "$fake"
        assert_match "$stderr" "*none that the policy knows*"
        run -125 --separate-stderr stepcell exec --store "$fake" fake true
        assert_match "$stderr" "*none that the policy knows*"
        # What is there is not taken for the step's end, by whatever way.
        ln -s "$TEST_DIR/store/$CALLER" "$mine/link"
        STORE=$fake assert_denied policy.denied stores --id fake
        assert_equal id "$(result_field .id)" fake
        run -125 stepcell start --store "$fake" --id fake --workdir "$WORK" "$IMAGE" -- true
        run -0 stepcell start --store "$mine/link" --id known --workdir "$WORK" "$IMAGE" -- true
        run -0 stepcell wait --store "$mine/link" --id known
        run -0 stepcell forget --id known
        no_policy
        run -0 stepcell forget --store "$fake" --id fake
    }
    CALLERS="root plain" each_caller unknown_store
}

@test "a secret file that is exchanged once it is read is judged as the one that was read" {
    exchanged() {
        local base
        base=$(realpath ..)
        echo hidden >"$base/forbidden"
        echo open >"$WORK/open"
        chmod 644 "$base/forbidden" "$WORK/open"
        allow ".mounts = [{tree: \"$WORK\", access: \"write\"}]"
        ln -s "$base/forbidden" "$base/link"
        mkfifo "$base/pipe"
        touch "$base/trace"
        as strace -e trace=open,openat -o "$base/trace" "$STEPCELL" run --result "$RESULT" --workdir "$WORK" \
            --secret-file "one=$base/link" --secret-file two=/dev/fd/7 "$IMAGE" -- true 7<"$base/pipe" &
        exec 8>"$base/pipe"
        # The first is read; the second is being waited for.
        wait_for grep -q "$base/link" "$base/trace"
        ln -sfn "$WORK/open" "$base/link"
        echo second >&8
        exec 8>&-
        local status=0
        wait $! || status=$?
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" mount.denied
        assert_match "$(result_field .error.message)" "*'$base/forbidden'*"
    }
    CALLERS=root each_caller exchanged
}

@test "a seccomp profile that is exchanged once it is read is judged as the one that was read" {
    exchanged() {
        local base
        base=$(realpath ..)
        echo '{"defaultAction": "SCMP_ACT_ALLOW"}' | tee "$base/wider.json" >"$base/listed.json"
        allow ".seccomp = [\"$base/listed.json\"]"
        allowed --seccomp "$base/listed.json"
        ln -s wider.json "$base/link"
        echo '{"schema": "stepcell.lock/1", "images": {}}' >"$base/empty.lock"
        touch "$base/trace"
        # The lock file is opened behind the profile, and late.
        as strace -P "$base/link" -P "$base/empty.lock" -e inject=open,openat:delay_enter=500000 -o "$base/trace" \
            "$STEPCELL" run --result "$RESULT" --workdir "$WORK" --seccomp "$base/link" --lock "$base/empty.lock" \
            "$IMAGE" -- true &
        wait_for grep -q "$base/link.* = [0-9]" "$base/trace"
        ln -sfn listed.json "$base/link"
        local status=0
        wait $! || status=$?
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" policy.denied
        assert_match "$(result_field .error.message)" "*'$base/wider.json'*"
    }
    CALLERS=root each_caller exchanged
}

@test "engines and their daemons are the policy's to choose, whatever the environment says" {
    engines() {
        allow .
        assert_denied policy.denied engines --engine docker
        allow '.engines = {docker: ["unix:///run/none.sock"]}'
        assert_denied policy.denied engines
        assert_denied policy.denied engines --engine podman
        assert_denied policy.denied engines --engine docker --engine-host tcp://127.0.0.1:1
        DOCKER_HOST=tcp://127.0.0.1:1 run -125 --separate-stderr cell --engine docker -- true
        assert_match "$stderr" "*unix:///run/none.sock*"
        # What is judged is the socket that is asked.
        local base
        base=$(realpath ..)
        mkdir -p "$base/engines"
        ln -s "$base/evil.sock" "$base/engines/link.sock"
        allow ".engines = {docker: [\"unix://$base/engines/*.sock\", \"unix://$base/engines/**\"]}"
        for host in engines/../evil.sock engines/missing/../../evil.sock engines//one.sock/../../evil.sock engines/link.sock; do
            touch "$base/evil.sock"
            assert_denied policy.denied engines --engine docker --engine-host "unix://$base/$host"
            rm "$base/evil.sock"
        done
        # Where a link will lead counts before anything is there.
        assert_denied policy.denied engines --engine docker --engine-host "unix://$base/engines/link.sock"
        touch "$base/evil.sock"
        allow ".engines = {docker: [\"unix://$base/engines/link.sock\"]}"
        run --separate-stderr cell --engine docker -- true
        assert_refused engine.unavailable
        assert_match "$stderr" "*unix://$base/evil.sock*"
    }
    [ "${ENGINE:-native}" = native ] || return 0
    CALLERS=root each_caller engines
}

@test "nothing that a caller says loosens it: stores, step files, surroundings" {
    loosen() {
        local mine
        mine=$(realpath ..)
        chown "$(caller_name):" "$mine"
        allow '.networks = ["none"] | .stores = ["/var/lib/none", "~/.local/share/stepcell"]'
        # The one of the caller's home by the host's word, and none that is named.
        assert_denied policy.denied stores --network none
        assert_denied policy.denied stores --network none --store "$mine/store"
        [ ! -e "$mine/store" ]
        STORE='' XDG_DATA_HOME=$mine assert_denied policy.denied stores --network none
        # What else is refused is told as well, and nothing is opened for that.
        assert_denied policy.denied stores --network host --workdir "$mine/missing"
        assert_match "$stderr" "*$mine/missing*the network 'host'*"
        assert_denied policy.denied stores --network host --workdir "$mine/missing" --id denied
        assert_match "$stderr" "*$mine/missing*the network 'host'*"
        run -125 --separate-stderr stepcell start --id denied --network host --workdir "$mine/missing" "$IMAGE" true
        assert_match "$stderr" "*the image store*$mine/missing*the network 'host'*"
        [ ! -e "$TEST_DIR/store/$CALLER/steps/denied" ]
        if [ "$CALLER" != root ]; then
            STORE='' XDG_DATA_HOME='' allowed --network none
            rm -rf "$TEST_DIR/home/$CALLER/.local"
        fi
        allow '.networks = ["none"]'
        echo '{"network": "host", "user": "0"}' >../step.json
        chmod 644 ../step.json
        assert_denied policy.denied networks --step "$mine/step.json"
        # A policy of one's own counts nowhere.
        mkdir -p ../config/stepcell ../config/containers
        echo '{"schema": "stepcell.policy/1"}' | tee ../config/stepcell/policy.json ../config/containers/policy.json >/dev/null
        XDG_CONFIG_HOME=$mine/config HOME=$mine assert_denied policy.denied networks
        # Durable steps, too.
        run -0 stepcell start --id "loose-$CALLER" --workdir "$WORK" "$IMAGE" -- true
        run -125 stepcell wait --id "loose-$CALLER"
        run -0 stepcell status --json --id "loose-$CALLER"
        assert_match "$output" '*policy.denied*'
        run -0 stepcell forget --id "loose-$CALLER"
    }
    CALLERS="root plain" each_caller loosen
}

@test "no variable of the caller's loads anything into the programs that fetch and verify" {
    preloaded() {
        # Where the loader obeys, it lists libraries, and runs nothing.
        run -0 as env LD_TRACE_LOADED_OBJECTS=1 "$STEPCELL_RELEASE" image list --json
        jq -e .images <<<"$output"
        # And broken settings of libcrypto's would keep it from starting.
        echo 'openssl_conf = [' >../openssl.cnf
        chmod 644 ../openssl.cnf
        run -0 as env LD_TRACE_LOADED_OBJECTS=1 OPENSSL_CONF="$(realpath ../openssl.cnf)" "$STEPCELL_RELEASE" run \
            --pull always --workdir "$WORK" "$IMAGE" -- echo ran
        assert_match "$output" "*ran*"
    }
    CALLERS=root each_caller preloaded
}

@test "a mirror or proxy of the caller's own answers for no name that the policy allows" {
    mirrors() {
        start_registry
        push "oci:$IMAGES/busybox:latest" hub/library/tools:1
        mkdir -p ../config/stepcell
        jq -n --arg mirror "$REGISTRY/hub" '{registries: {"docker.io": {mirrors: [{location: $mirror, resolve: true}]}}}' \
            >../config/stepcell/config.json
        chmod -R a+rX ../config
        export XDG_CONFIG_HOME
        XDG_CONFIG_HOME=$(realpath ../config)
        IMAGE=docker.io/library/tools:1
        allowed
        run -0 stepcell image remove "$IMAGE"
        policy '{"images": [{"match": "tools", "action": "allow"}]}'
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        # The other file says something about names as well, unless it accepts all.
        no_policy
        containers_policy '{"default": [{"type": "insecureAcceptAnything"}]}'
        allowed
        run -0 stepcell image remove "$IMAGE"
        containers_policy '{"default": [{"type": "reject"}], "transports": {"docker": {
            "docker.io/library/tools": [{"type": "insecureAcceptAnything"}]}}}'
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        rm "$ETC/containers/policy.json"
        unset XDG_CONFIG_HOME
        # Nor does a proxy: a registry answers as one.
        echo '{"registries": {"registry.example": {"plain_http": true}}}' >"$ETC/stepcell/config.json"
        IMAGE=registry.example/hub/library/tools:1
        export http_proxy=http://$REGISTRY all_proxy=http://$REGISTRY
        no_policy
        allowed
        run -0 stepcell image remove "$IMAGE"
        policy '{"images": [{"match": "registry.example/**", "action": "allow"}]}'
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        unset http_proxy all_proxy
        rm "$ETC/stepcell/config.json"
        stop_registry
    }
    CALLERS=plain each_caller mirrors
}

@test "credentials come out of the caller's home by passwd, and no helper of the caller's runs" {
    credentials() {
        local home name refused="stepcell: cannot start the credential helper 'docker-credential-evil'*"
        htpasswd -Bbc "$POLICY_DIR/htpasswd" me word 2>/dev/null
        start_registry "$POLICY_DIR/htpasswd"
        skopeo copy -q --dest-tls-verify=false --dest-creds me:word "oci:$IMAGES/busybox:latest" "docker://$REGISTRY/tools:1"
        printf '#!/bin/sh\ntouch "%s/ran"\necho "{\\"Username\\": \\"me\\", \\"Secret\\": \\"word\\"}"\n' "$WORK" >docker-credential-evil
        chmod 755 docker-credential-evil
        mkdir dc dc/containers
        echo '{"credsStore": "evil"}' | tee dc/config.json >dc/containers/auth.json
        IMAGE=$REGISTRY/tools:1
        export PATH=$WORK:$PATH
        for name in DOCKER_CONFIG XDG_RUNTIME_DIR XDG_CONFIG_HOME REGISTRY_AUTH_FILE; do
            local -x "$name=$WORK/dc"
            [ "$name" != REGISTRY_AUTH_FILE ] || REGISTRY_AUTH_FILE=$WORK/dc/config.json
            no_policy
            allowed
            [ -e ran ]
            rm ran
            run -0 stepcell image remove "$IMAGE"
            policy '{"images": [{"match": "**", "action": "allow"}]}'
            run --separate-stderr cell -- true
            assert_refused registry.auth
            [ ! -e ran ]
            unset "$name"
        done
        home=$TEST_DIR/home/$CALLER
        mkdir "$home/.docker"
        cp dc/config.json "$home/.docker/"
        run --separate-stderr cell -- true
        assert_refused registry.auth
        assert_match "$stderr" "$refused"
        [ ! -e ran ]
        jq -n --arg host "$REGISTRY" '{auths: {($host): {auth: ("me:word" | @base64)}}}' >"$home/.docker/config.json"
        DOCKER_CONFIG=$WORK/dc allowed
        rm -r "$home/.docker"
        stop_registry
    }
    CALLERS=plain each_caller credentials
}

@test "a file that is not root's alone, or cannot be read, refuses everything" {
    broken() {
        allow .
        chmod 664 "$POLICY"
        run --separate-stderr cell -- true
        assert_refused config.invalid
        assert_match "$stderr" "*can be written by others*"
        chmod 644 "$POLICY"
        chown stepcell-plain "$POLICY"
        run --separate-stderr cell -- true
        assert_refused config.invalid
        chown root "$POLICY"
        allowed
        rm "$POLICY"
        ln -s /nowhere "$POLICY"
        run --separate-stderr cell -- true
        assert_refused config.invalid
        rm "$POLICY"
        mkdir "$POLICY"
        run --separate-stderr cell -- true
        assert_refused config.invalid
        rmdir "$POLICY"
        containers_policy '{"default": [{"type": "insecureAcceptAnything"}]}'
        chmod 606 "$ETC/containers/policy.json"
        run --separate-stderr cell -- true
        assert_refused config.invalid
        rm "$ETC/containers/policy.json"
        if [ "$CALLER" != root ]; then
            allow .
            chmod 600 "$POLICY"
            run --separate-stderr cell -- true
            assert_refused config.invalid
            chmod 700 "$ETC/stepcell"
            run --separate-stderr cell -- true
            assert_refused config.invalid
            chmod 755 "$ETC/stepcell"
            # In a user namespace of one's own the file is nobody's, and still there.
            chmod 644 "$POLICY"
            run --separate-stderr as unshare --user --map-root-user "$STEPCELL" run --result "$RESULT" \
                --workdir "$WORK" "$IMAGE" -- true
            assert_refused config.invalid
        fi
        rm -f "$POLICY"
    }
    CALLERS="root plain" each_caller broken
}

@test "doctor says what the policy keeps every step from" {
    diagnosed() {
        local log=$POLICY_DIR/doctor-$CALLER.jsonl
        # found STATUS LEVEL MESSAGE [OPTION...]
        found() {
            run "-$1" --separate-stderr stepcell doctor --json "${@:4}"
            jq -e --arg level "$2" --arg message "$3" \
                'any(.findings[]; .id == "policy" and .level == $level and (.message | test($message)))' <<<"$output"
        }
        found 0 ok 'there is none'
        install -m 600 -o "$(caller_name)" /dev/null "$log"
        allow ".audit = \"$log\""
        found 0 ok 'stepcell/policy.json.*understood'
        assert_equal log "$(cat "$log")" ""
        found 1 error 'none that the policy knows' --store "$WORK/other"
        rm "$log"
        ln -s /nowhere "$log"
        found 1 error 'audit log.*cannot be written to'
        rm "$log"
        allow '.engines = {docker: ["unix:///run/docker.sock"]}'
        found 1 error "does not allow the engine 'native'"
        chmod 666 "$POLICY"
        found 1 error 'written by others'
        echo '{' >"$POLICY"
        chmod 644 "$POLICY"
        found 1 error 'stepcell/policy.json'
        rm "$POLICY"
        containers_policy '{'
        found 1 error 'containers/policy.json'
        no_policy
    }
    CALLERS="root plain" each_caller diagnosed
}

@test "every policy of the corpus refuses everything, with the line" {
    corpus() {
        local file
        for file in "$TESTS"/corpus/policy/*.json; do
            echo "policy: $file"
            cp "$file" "$POLICY"
            run --separate-stderr stepcell policy test "$IMAGE" true
            assert_equal status "$status" 125
            assert_match "$stderr" "*'/etc/stepcell/policy.json'*line*"
        done
        no_policy
        for file in "$TESTS"/corpus/policy/containers/*.json; do
            echo "policy: $file"
            cp "$file" "$ETC/containers/policy.json"
            run --separate-stderr stepcell policy test "$IMAGE" true
            assert_equal status "$status" 125
            assert_match "$stderr" "*'/etc/containers/policy.json'*"
        done
    }
    CALLERS=plain each_caller corpus
}

@test "containers' policy.json: the most specific scope decides, and what is not verified is refused" {
    scopes() {
        containers_policy '{"default": [{"type": "reject"}], "transports": {"oci": {"'"$IMAGES"'":
            [{"type": "insecureAcceptAnything"}], "'"$IMAGES/static"'": [{"type": "reject"}]}, "docker": {
            "registry.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}]}}}'
        allowed
        assert_equal file "$(result_field .policy.file)" /etc/containers/policy.json
        assert_equal rule "$(result_field .policy.rule)" "transports.oci['$IMAGES']"
        IMAGE=oci:$IMAGES/static:latest run --separate-stderr cell -- true
        assert_refused image.denied
        IMAGE=registry.example/x run --separate-stderr cell -- true
        assert_refused image.denied
        assert_match "$stderr" "*asks for 'signedBy', which stepcell does not verify*"
        IMAGE=docker.io/library/debian run --separate-stderr cell -- true
        assert_refused image.denied
        # Both have to allow it.
        allow '.images[0].action = "deny"'
        assert_denied image.denied 'images[0]'
    }
    CALLERS=plain each_caller scopes
}

@test "policy test: the rule, without a start, as text and as JSON" {
    tested() {
        allow '.networks = ["none"]'
        run -0 stepcell policy test --network none "$IMAGE" true
        assert_match "$output" "allowed by images\[0\] (line *) of '/etc/stepcell/policy.json'"
        run -125 --separate-stderr stepcell policy test --json "$IMAGE" true
        jq -e '.schema == "stepcell.policy-test/1" and .verdict == "refused" and .policy.rule == "networks"
            and .error.code == "policy.denied"' <<<"$output"
        run -0 stepcell policy test --json --network none -it "$IMAGE" true </dev/null
        jq -e '.verdict == "allowed" and .error == null and .signed == null' <<<"$output"
        run -125 --separate-stderr stepcell policy test --shell sh --json "$IMAGE" true
        jq -e '.error.code == "option.invalid" and (.error.hint | length > 0)' <<<"$output"
        run -0 stepcell policy test --network none --json "$IMAGE"
        jq -e '.verdict == "allowed" and .error == null and .signed == null' <<<"$output"
        run -125 --separate-stderr stepcell policy test --json --network none --result "$POLICY" "$IMAGE"
        jq -e --arg image "$IMAGE" '.verdict == "refused" and .image == $image and .error.code == "option.invalid"' <<<"$output"
        # What is not there was not judged.
        run -125 --separate-stderr stepcell policy test --network none --workdir /missing "$IMAGE" true
        assert_match "$stderr" "*/missing*"
        no_policy
        run -0 stepcell policy test "$IMAGE" true
        assert_equal said "$output" "allowed: there is no policy"
        # It makes no store.
        STORE=$PWD/none run -0 stepcell policy test "$IMAGE" true
        [ ! -e none ]
    }
    CALLERS=plain each_caller tested
}

@test "the audit log: a line for each step, allowed or refused, and no step without" {
    audited() {
        local log=$POLICY_DIR/audit-$CALLER.jsonl i pids=() written=4 code
        rm -f "$log"
        install -m 600 -o "$(caller_name)" /dev/null "$log"
        allow ".networks = [\"none\", \"host\"] | .audit = \"$log\""
        allowed --network none
        run -125 cell --network private -- true
        run -125 stepcell policy test --network private "$IMAGE" true
        printf 'geheim-1234' >../secret
        chmod 644 ../secret
        run -0 cell --secret-file "s=$(realpath ../secret)" -- echo geheim-1234
        assert_equal lines "$(wc -l <"$log")" 3
        jq -se --argjson uid "$(id -u "$(caller_name)")" 'all(.[]; .schema == "stepcell.audit/1" and .uid == $uid and
                .gid and .pid and (.time | endswith("Z")) and .policy.file == "/etc/stepcell/policy.json") and
            (map(.decision) == ["allowed", "refused", "allowed"]) and .[0].policy.rule[:9] == "images[0]" and
            .[0].error == null and .[0].user.uid == 0 and (.[0].image.digest | startswith("sha256:")) and
            .[1].error.code == "policy.denied" and .[1].policy.rule == "networks" and
            .[0].network == "none" and any(.[0].sources[]; .access == "write")' "$log"
        run ! grep -q geheim "$log"
        # A refusal by the policy is what the line tells, whatever else is wrong.
        run -125 cell --network private --workdir /missing -- true
        assert_equal error "$(tail -n 1 "$log" | jq -r .error.code)" policy.denied
        # So is what else is refused before it could be judged.
        refusals() {
            run -125 stepcell run --workdir "$WORK" "$@" -- true
            assert_equal error "$(tail -n 1 "$log" | jq -r '.decision + " " + .error.code')" "refused $code"
            assert_equal lines "$(jq -s length "$log")" "$((++written))"
        }
        code=option.invalid refusals --network nowhere "$IMAGE"
        code=option.invalid refusals --platform x "$IMAGE"
        code=option.invalid refusals 'Bad Reference'
        assert_equal image "$(tail -n 1 "$log" | jq -r .image.reference)" 'Bad Reference'
        code=config.invalid refusals --locked "$IMAGE"
        echo '{"images": {}, "schema": "stepcell.lock/1"}' >"$POLICY_DIR/empty.lock"
        code=image.unpinned refusals --locked --lock "$POLICY_DIR/empty.lock" "$IMAGE"
        as timeout 60 python3 "$TESTS/lib/terminal.py" 'expect=[#$] ' 'send=exit\n' -- \
            "$STEPCELL" shell --workdir "$WORK" "$IMAGE" -- no such command
        assert_equal command "$(tail -n 1 "$log" | jq -r .command)" shell
        # A command in a cell that is there is told of, too.
        run -0 cell --keep always --keep-for 1m -- true
        run -0 stepcell exec "$(result_field .id)" -- echo geheim
        jq -se --arg id "$(result_field .id)" '.[-1] | .step == $id and .exec and .command == "echo" and .uid and
            .decision == "allowed"' "$log"
        mv "$log" "$log.whole"
        mkfifo "$log"
        run -125 --separate-stderr stepcell exec "$(result_field .id)" -- touch "$WORK/started"
        assert_match "$stderr" "*audit log*"
        [ ! -e started ]
        mv "$log.whole" "$log"
        run -0 stepcell cancel "$(result_field .id)"
        # Several at once: no line is torn.
        for i in 1 2 3 4 5; do
            stepcell run --quiet --workdir "$WORK" "$IMAGE" -- true &
            pids+=("$!")
        done
        wait "${pids[@]}"
        assert_equal lines "$(jq -c . "$log" | wc -l)" 17
        rm "$log"
        mkfifo "$log"
        assert_unaudited
        rm "$log"
        ln -s /dev/null "$log"
        assert_unaudited
        rm "$log"
        # Where there is no room for a line nothing starts.
        ln -s /dev/full "$log"
        assert_unaudited
        rm -f "$log"
    }
    assert_unaudited() {
        run --separate-stderr cell -- touch started
        assert_refused policy.denied
        assert_match "$stderr" "*audit log*"
        [ ! -e started ]
    }
    each_caller audited
}

@test "a step that is canceled before its start has its line in the audit log" {
    canceled() {
        local log=$POLICY_DIR/canceled.jsonl step
        install -m 600 -o "$(caller_name)" /dev/null "$log"
        allow ".audit = \"$log\""
        mkfifo ../pipe
        exec 8<>../pipe
        stepcell run --workdir "$WORK" --secret-file s=/dev/fd/7 "$IMAGE" -- true 7<&8 &
        step=$!
        wait_for takes_signals
        kill -TERM "$(reader)"
        wait "$step" || true
        exec 8>&-
        assert_equal error "$(jq -r '.decision + " " + .error.code + " " + .error.message' "$log")" \
            "refused engine.failed canceled by signal 15"
    }
    # It waits for the secret by then, or is about to.
    reader() { pgrep -f "^$STEPCELL run --workdir $WORK --secret-file"; }
    takes_signals() { ((0x$(awk '/^SigBlk/ { print $2 }' "/proc/$(reader)/status" 2>/dev/null || echo 0) & 0x4000)); }
    CALLERS=root each_caller canceled
}
