#!/usr/bin/env bats
# `--engine kubernetes` against the cluster of scripts/kubernetes.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

@test "the init image is the same bytes each time, and few" {
    run -0 in_stepcell image init "$INIT"
    assert_match "$output" "$CLUSTER_REGISTRY/stepcell-init@sha256:* unchanged"
    # It is in the Secret of each step.
    [ "$(stat -c %s "${STEPCELL%/bin/*}/libexec/stepcell/stepcell-pod")" -lt 130000 ]
}

@test "a step as a Pod: both streams, exit status, outputs, the same path, and nothing left" {
    # shellcheck disable=SC2016 # for the shell in the Pod
    run -7 --separate-stderr pod_cell -- sh -c \
        'echo out; echo err >&2; pwd; echo A=1 >>"$STEPCELL_OUTPUT"; echo here >file; exit 7'
    assert_equal stdout "$output" "out"$'\n'"$WORK"
    assert_equal stderr "$stderr" err
    assert_equal file "$(cat "$WORK/file")" here
    assert_equal result "$(result_field '"\(.engine) \(.outcome) \(.exit_code) \(.outputs.A) \(.cleanup.verified)"')" \
        "kubernetes exited 7 1 true"
    assert_match "$(result_field .image.manifest_digest)" 'sha256:*'
    nothing_left
}

@test "a user by name is looked up in the image, which is fetched for that alone, and a number has its home" {
    local store=$TEST_DIR/store/names
    chown 1000:1000 "$WORK"
    who() { run "$1" --separate-stderr pod_cell --store "$store" "${@:2}" -- sh -c 'id -u; id -g; echo "$HOME"; touch file'; }
    who -0 --user 1000:1000
    assert_equal number "$output" $'1000\n1000\n/home/app'
    assert_equal store "$(in_stepcell image list --store "$store" --json | jq ".images | length")" 0
    who -125 --user app --pull never
    assert_equal never "$(result_field .error.code)" image.not-found
    POD_IMAGE=$CLUSTER_REGISTRY/busybox:user-tools who -0
    assert_equal tools "$output" $'1000\n20\n/home/app'
    assert_equal owner "$(stat -c %u "$WORK/file")" 1000
    # The layers of that image are those of this one.
    who -0 --user app
    assert_equal name "$output" $'1000\n1000\n/home/app'
    assert_match "$(result_field '[.phases[].name] | join(" ")')" 'resolve pull unpack *'
    who -0 --user app --pull never
    assert_equal never "$output" $'1000\n1000\n/home/app'
    who -125 --user nobody-knows
    assert_equal unknown "$(result_field .error.code)" user.unknown
    nothing_left
}

@test "each status and each signal of the command is the step's, several steps at once" {
    local how file pids=()
    # ends HOW COMMAND: with a result of its own
    ends() { RESULT=$TEST_DIR/ends-$1.json pod_cell -- sh -c "$2" 2>/dev/null || echo "$1 $?" >"$TEST_DIR/ends-$1"; }
    for how in 1 124 125 126 127 128 130 255; do ends "$how" "exit $how" 3>&- 4>&- & pids+=($!); done
    for how in TERM KILL SEGV HUP; do ends "$how" "kill -$how \$\$" 3>&- 4>&- & pids+=($!); done
    wait "${pids[@]}"
    assert_equal statuses "$(cat "$TEST_DIR"/ends-*[!n] | sort | xargs)" \
        "1 1 124 124 125 125 126 126 127 127 128 128 130 130 255 255 HUP 129 KILL 137 SEGV 139 TERM 143"
    for file in "$TEST_DIR"/ends-[0-9]*.json; do
        assert_equal "$file" "$(jq -r '"\(.outcome) \(.signal) \(.error)"' "$file")" "exited null null"
    done
    for file in "$TEST_DIR"/ends-[A-Z]*.json; do
        assert_equal "$file" "$(jq -r '"\(.outcome) \(.signal == .exit_code - 128) \(.error)"' "$file")" "signaled true null"
    done
}

@test "every byte comes through the log, whatever the runtimes do to it" {
    pod_cell -- sh -c 'head -c 12000000 /dev/urandom >data; cat data; printf "\377\0 no end" >&2' \
        >"$TEST_DIR/out" 2>"$TEST_DIR/err"
    cmp "$WORK/data" "$TEST_DIR/out"
    printf '\377\0 no end' | cmp - "$TEST_DIR/err"
}

# claim NAME DIR: a claim on what the nodes have there
claim() {
    jq -n --arg name "$1" --arg volume "$NAMESPACE-$1" --arg dir "$2" --arg namespace "$NAMESPACE" '
        {accessModes: ["ReadWriteMany"], storageClassName: ""} as $spec |
        {apiVersion: "v1", kind: "PersistentVolume", metadata: {name: $volume}, spec: ($spec + {capacity: {storage: "1Mi"},
            hostPath: {path: $dir}, claimRef: {namespace: $namespace, name: $name}})},
        {apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: {name: $name}, spec: ($spec + {volumeName: $volume,
            resources: {requests: {storage: "1Mi"}}})}' | kube -n "$NAMESPACE" create -f -
}

@test "a claim is the volume at its path, and each of two, one in the other, is proven by itself" {
    mkdir "$WORK/job" "$WORK/in" "$WORK/../wrong"
    claim right "$WORK"
    claim wrong "${WORK%/*}/wrong"
    in_claim() {
        run "$1" --separate-stderr in_stepcell run --result "$RESULT" --engine kubernetes --kubernetes-namespace "$NAMESPACE" \
            --kubernetes-init "$INIT" --kubernetes-volume "$WORK=pvc:$2" --kubernetes-volume "$WORK/in=hostPath" "${@:3}" \
            "$CLUSTER_REGISTRY/busybox:latest" touch file
    }
    in_claim -0 right --workdir "$WORK/job"
    [ -e "$WORK/job/file" ]
    # What is looked at first lies below both paths.
    in_claim -125 wrong --volume "$WORK/in:/a" --volume "$WORK/in:$WORK/in" --workdir "$WORK"
    assert_equal wrong "$(result_field '"\(.outcome) \(.error.code)"')" "refused mount.conflict"
    assert_match "$(result_field .error.message)" "'$WORK' in the Pod is not what it is on this host"
    in_claim -125 right --workdir "$WORK"
    assert_match "$(result_field .error.message)" "'$WORK' is mounted, and '$WORK/in' in it is another volume"
    nothing_left
    kube delete pv "$NAMESPACE-right" "$NAMESPACE-wrong" --wait=false
}

@test "arguments, environment and secrets are not in the Pod, a script goes along, and the output is masked" {
    local seen
    # shellcheck disable=SC2016
    TOKEN=verysecret begin_masked
    seen=$(kube -n "$NAMESPACE" get pods -o yaml)
    touch "$WORK/go"
    ended_as 0 exited
    [[ $seen == *stepcell-pod* && $seen != *verysecret* && $seen != *argument-7* && $seen != *variable-7* ]]
    assert_match "$(cat "$TEST_DIR/masked")" $'up\nargument-7 variable-7 ********'
}
begin_masked() {
    in_stepcell run --result "$RESULT" --workdir "$WORK" --engine kubernetes --kubernetes-namespace "$NAMESPACE" \
        --kubernetes-volume "$WORK=hostPath" --secret-env TOKEN --env V=variable-7 \
        --script - "$CLUSTER_REGISTRY/busybox:latest" argument-7 >"$TEST_DIR/masked" 3>&- 4>&- <<'END' &
echo up
until [ -e go ]; do sleep 0.1; done
echo "$1 $V $TOKEN"
END
    CELL=$!
    wait_for grep -qx up "$TEST_DIR/masked"
}

# diagnosed FINDING: what doctor says of the cluster of a worker whose kubeconfig has this namespace
diagnosed() {
    sed "s/^\( *\)user: worker/&\n\1namespace: $NAMESPACE/" "$CLUSTER/kubeconfig/worker" >"$TEST_DIR/kubeconfig"
    KUBECONFIG=$TEST_DIR/kubeconfig run in_stepcell doctor --json
    assert_match "$(jq -r '.findings[] | select(.id == "kubernetes") | .level + ": " + .message' <<<"$output")" "$1"
}

@test "a role with a few rights suffices, and without it the refusal says so" {
    worker() { KUBECONFIG=$CLUSTER/kubeconfig/worker pod_cell "$@"; }
    run -125 --separate-stderr worker -- true
    assert_match "$stderr" "stepcell: *does not let stepcell create a Secret: this user may not*"
    diagnosed "warning: *the namespace '$NAMESPACE' of 'https://*' the caller may not: create pods, *, delete secrets"
    sed -n '/^   apiVersion: rbac/,/^   ```/p' "$TESTS/../docs/kubernetes.md" | sed '/```/d; s/^   //' |
        kube -n "$NAMESPACE" create -f -
    kube -n "$NAMESPACE" create rolebinding stepcell --role=stepcell --group=workers
    run -0 worker -- echo fine
    assert_equal stdout "$output" fine
    nothing_left
    diagnosed "ok: *has a cluster at 'https://*' (v*), and all rights in the namespace '$NAMESPACE'"
    kube -n "$NAMESPACE" get role stepcell -o json | jq 'del(.rules[] | select(.resources == ["pods/exec"]))' |
        kube -n "$NAMESPACE" replace -f -
    diagnosed "info: *without what not every step needs in the namespace '$NAMESPACE': create pods/exec, get pods/exec"
}

@test "timeout, grace and cancellation reach the command" {
    run -124 --separate-stderr pod_cell --timeout 2s --grace 2s -- sh -c 'trap "echo got; exit 3" TERM; sleep 60 & wait'
    assert_equal stdout "$output" got
    run -124 --separate-stderr pod_cell --timeout 1s --grace 1s -- sh -c 'trap "" TERM; sleep 60'
    assert_equal outcome "$(result_field .outcome)" timed-out
    begin_cell "$TEST_DIR/canceled" sh -c 'trap "echo got; exit 3" TERM; echo up; sleep 60 & wait'
    pkill -TERM -f "^$STEPCELL run --result $RESULT "
    ended_as 143 canceled
    assert_equal stdout "$(cat "$TEST_DIR/canceled")" $'up\ngot'
    # So soon that the kubelet has not seen yet that the container runs.
    begin_unseen() { pod_cell -- sh -c 'trap "echo got; exit 3" TERM; touch up; sleep 20 & wait'; }
    begin_unseen >"$TEST_DIR/canceled" 3>&- 4>&- &
    CELL=$!
    wait_for [ -e "$WORK/up" ]
    pkill -TERM -f "^$STEPCELL run --result $RESULT "
    ended_as 143 canceled
    assert_equal stdout "$(cat "$TEST_DIR/canceled")" got
    pod_cell --memory 900g -- true 2>/dev/null 3>&- 4>&- &
    CELL=$!
    wait_for has_pod
    pkill -TERM -f "^$STEPCELL run --result $RESULT "
    ended_as 143 canceled
    nothing_left
}

has_pod() { [ -n "$(the_pod)" ]; }

@test "the API server is killed in mid-step, and before another: who waits is told, and nothing is missing" {
    local later said="stepcell: *the Kubernetes API at '*' gives no answer: *; it is asked again for two minutes"
    said_so() { assert_match "$(cat "$1")" "$said" >/dev/null; }
    begin_cell "$TEST_DIR/lines" sh -c 'echo up; for i in $(seq 20); do echo $i; sleep 0.5; done; exit 4'
    stop_part apiserver
    RESULT=$RESULT.later pod_cell -- echo later >"$TEST_DIR/later" 2>"$TEST_DIR/later.err" 3>&- 4>&- &
    later=$!
    wait_for said_so "$TEST_DIR/later.err"
    # A terminal that gets another size, say, is no wish to end.
    pkill -WINCH -f "^$STEPCELL run --result $RESULT.later "
    wait_for said_so "$TEST_DIR/lines.err"
    start_part apiserver
    ended_as 4 exited
    assert_equal lines "$(xargs <"$TEST_DIR/lines")" "up $(seq 20 | xargs)"
    wait "$later"
    assert_equal later "$(cat "$TEST_DIR/later")" later
}

@test "when stepcell is killed its Pod goes" {
    begin_cell "$TEST_DIR/killed" sh -c 'echo up; sleep 60'
    pkill -KILL -f "^$STEPCELL run --result $RESULT "
    wait_for nothing_left_there
}
nothing_left_there() { [ -z "$(pods_of_steps)" ]; }

kill_both() {
    local callers
    callers=$(pgrep -f "^$STEPCELL run --result $RESULT ")
    # shellcheck disable=SC2046,SC2086 # several
    kill -KILL $(pgrep -P "${callers//$'\n'/,}" stepcell-kube) $callers
}
none_there() { ! pods_of_steps | grep -qxF "$1"; }
processes_named() {
    kube -n "$NAMESPACE" get secrets -l app.kubernetes.io/managed-by=stepcell -o json |
        jq '[.items[].metadata.annotations["stepcell.process"] | strings] | length'
}

@test "when both programs are killed the next step removes what is left; a durable one is not found in this way" {
    local left
    begin_cell "$TEST_DIR/left" sh -c 'echo up; sleep 300'
    assert_equal named "$(processes_named)" 1
    kill_both
    left=$(pods_of_steps)
    assert_equal left "$(wc -l <<<"$left")" 2
    begin_cell "$TEST_DIR/next" sh -c 'echo up; until [ -e go ]; do sleep 0.1; done'
    wait_for none_there "$left"
    touch "$WORK/go"
    ended_as 0 exited
    nothing_left
    pod_cell --id "lasting-$NAMESPACE" -- sh -c 'echo up; sleep 300' >"$TEST_DIR/lasting" 2>&1 3>&- 4>&- &
    wait_for grep -qx up "$TEST_DIR/lasting"
    assert_equal named "$(processes_named)" 0
    pkill -TERM -f "^$STEPCELL run --result $RESULT "
    wait_for nothing_left_there
}

@test "memory, and a command that is not there" {
    run -137 pod_cell --memory 32m -- tail /dev/zero
    assert_equal oom "$(result_field '"\(.outcome) \(.signal) \(.oom_killed)"')" "signaled 9 true"
    run -127 --separate-stderr pod_cell -- nowhere
    assert_equal code "$(result_field .error.code)" command.not-found
    nothing_left
}

@test "what is on no shared volume, and what a cluster cannot do, is refused before anything is made" {
    run -125 --separate-stderr pod_cell --volume /etc:/other:ro -- true
    assert_equal code "$(result_field .error.code)" mount.denied
    run -125 --separate-stderr pod_cell --pids-limit 5 -- true
    assert_equal code "$(result_field .error.code)" option.invalid
    run -125 --separate-stderr pod_cell --engine-host unix:///x -- true
    nothing_left
}

@test "a host path that the node does not have is refused as soon as the node says so" {
    mkdir "$WORK/here"
    printf '#!/bin/sh\nexec unshare --mount sh -c "%s" "%s" "%s" "$@"\n' \
        'mount -t tmpfs none \"\$0\" && mkdir \"\$0/only\" && exec \"\$@\"' "$WORK/here" "$STEPCELL" >"$TEST_DIR/alone"
    chmod +x "$TEST_DIR/alone"
    SECONDS=0
    STEPCELL=$TEST_DIR/alone run -125 --separate-stderr pod_cell --volume "$WORK/here/only:/only:ro" -- true
    assert_equal path "$(result_field '"\(.outcome) \(.error.code)"')" "refused mount.conflict"
    assert_match "$(result_field .error.detail)" "*$WORK/here/only*"
    ((SECONDS < 40))
    nothing_left
}

# each_way FUNCTION: with the first program in the Secret of the step, and in an init image
each_way() {
    POD_INIT='' "$1" step
    POD_INIT=$INIT "$1" "place step"
}

@test "the first program comes with the step, or by an init image, which is no volume where the cluster has none such" {
    begins_with() {
        rm -f "$WORK/go"
        # shellcheck disable=SC2016
        begin_cell "$TEST_DIR/way" sh -c 'echo up; until [ -e go ]; do sleep 0.1; done; echo A=1 >>"$STEPCELL_OUTPUT"'
        assert_equal containers "$(kube -n "$NAMESPACE" get pods -o jsonpath='{.items[*].spec.containers[*].name}')" "$1"
        touch "$WORK/go"
        ended_as 0 exited
        assert_equal outputs "$(result_field .outputs.A)" 1
        nothing_left
    }
    each_way begins_with
}

@test "an ordinary user has its secrets, its output file and a home" {
    has_all() {
        # shellcheck disable=SC2016
        run -0 --separate-stderr pod_cell --user 1234:1234 --secret-file "key=$WORK/key" -- sh -c '
            id -u; cat /run/secrets/key; stat -c " %a %u" /run/secrets/key; echo A=1 >>"$STEPCELL_OUTPUT"
            echo "$HOME"; touch ~/x && stat -c %u ~/x "$STEPCELL_OUTPUT"'
        assert_equal output "$output" $'1234\nkey 400 1234\n/home/step\n1234\n1234'
        assert_equal outputs "$(result_field .outputs.A)" 1
    }
    printf key >"$WORK/key"
    chown -R 1234:1234 "$WORK"
    each_way has_all
}

@test "who is not the step's user any more can neither read what was sent nor touch the output file" {
    keeps() {
        # shellcheck disable=SC2016
        TOKEN=verysecret run -0 --separate-stderr pod_cell --secret-env TOKEN --secret-file "key=$WORK/key" -- sh -c '
            echo A=1 >>"$STEPCELL_OUTPUT"
            mkdir -p /etc && echo other::4321:4321::/:/bin/sh >>/etc/passwd
            for try in "cat /.stepcell/sent/setup" "cat /.stepcell/setup" "cat /proc/1/environ" "cat /run/secrets/key" \
                "ls /.stepcell/secrets" "touch /.stepcell/x" "mv /.stepcell/run /.stepcell/x" "rm -f /run/stepcell/output" \
                "ln -sf /etc/passwd /run/stepcell/output" "echo B=1 >>/run/stepcell/output"; do
                su other -c "$try" 2>/dev/null && echo "could: $try"
            done
            su other -c "id -u"
            cat /run/secrets/key'
        assert_equal output "$output" $'4321\nkey'
        assert_equal outputs "$(result_field '.outputs | tostring')" '{"A":"1"}'
    }
    printf key >"$WORK/key"
    each_way keeps
}
