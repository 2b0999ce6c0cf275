# Every code of docs/errors.md, provoked: one sentence with the cause, one line with the fix, and nothing raw.

load ../lib/common
. "$BATS_TEST_DIRNAME/../lib/faults.bash"
. "$BATS_TEST_DIRNAME/../lib/images.bash"
. "$BATS_TEST_DIRNAME/../lib/attacks.bash"

setup_file() { make_attacks; }
teardown_file() { remove_attacks; }

setup() {
    ERRORS=$BATS_TEST_DIRNAME/../../docs/errors.md
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
}

teardown() {
    stop_faults
    [ -z "${FULL:-}" ] || umount "$FULL"
    FULL=''
}

# Each leaves status, output and stderr of a command that fails with the code, and a result unless it is no step.
refused() { run --separate-stderr cell "$@" -- true; }
of_image() { IMAGE=$1 refused "${@:2}"; }
of_server() {
    [ -e "$FAULTS_DIR/one" ] || start_faults one
    of_image "$(faults one)/$1:1"
}

provoke_image_entrypoint() { of_image "oci:$IMAGES/busybox:entrypoint"; }
provoke_image_not_found() { refused --pull never --platform linux/arm64; }
provoke_image_platform() { refused --platform linux/s390x; }
provoke_image_shell_missing() {
    echo true >script
    run --separate-stderr script_cell --script script --shell zsh
}
provoke_image_corrupt() { of_image "oci:$(printf '%s\n' "$IMAGES"/damaged/* | head -n 1):latest"; }
provoke_image_denied() {
    mkdir -p "$TEST_DIR/layer/etc/hosts"
    tar -C "$TEST_DIR/layer" -cf "$TEST_DIR/layer.tar" etc
    hostile_image denied '{}' "$TEST_DIR/layer.tar"
    of_image "oci:$LAYOUT:denied"
}
provoke_image_unpinned() {
    echo '{"schema": "stepcell.lock/1", "images": {}}' >stepcell.lock
    refused --locked
}
# under_policy JSON: a step where this is the administrator's policy
under_policy() (
    . "$BATS_TEST_DIRNAME/../lib/policy.bash"
    policy_setup
    policy "$1"
    refused
    policy_teardown
    declare -p status output stderr >"$FAULTS_DIR/said"
)
provoke_image_signature() {
    openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out "$TEST_DIR/key.pub" 2>/dev/null
    under_policy "$(jq -nc --arg match "oci:$IMAGES/**" --arg key "$TEST_DIR/key.pub" \
        '{images: [{match: $match, action: "allow", signed_by: [$key]}]}')"
    . "$FAULTS_DIR/said"
}
provoke_policy_denied() {
    under_policy "$(jq -nc --arg match "oci:$IMAGES/**" \
        '{images: [{match: $match, action: "allow"}], networks: ["none"]}')"
    . "$FAULTS_DIR/said"
}
provoke_registry_auth() { of_server auth-lower; }
provoke_registry_unreachable() { of_server down; }
provoke_registry_rate_limited() { of_server refusing; }
provoke_mount_source_missing() { refused --package nowhere; }
provoke_mount_conflict() { refused --package "$WORK" --package-cow "$WORK"; }
provoke_mount_denied() { refused --volume "$WORK:/proc/here"; }
provoke_workdir_missing() { refused --workdir nowhere; }
provoke_script_missing() { run --separate-stderr script_cell --script nowhere; }
provoke_user_unknown() { refused --user nobody-knows; }
provoke_engine_unavailable() { refused --engine docker --engine-host "unix://$WORK/none"; }
# stepcell without what belongs to it.
provoke_engine_failed() {
    mkdir ../bin
    cp "$STEPCELL" ../bin/stepcell
    STEPCELL=$WORK/../bin/stepcell refused
}
provoke_store_full() {
    FULL=$TEST_DIR/full
    mkdir -p "$FULL"
    mount -t tmpfs -o size=64k,mode=0700 tmpfs "$FULL"
    refused --store "$FULL"
    umount "$FULL"
    rmdir "$FULL"
    FULL=''
}
provoke_store_busy() {
    stepcell start --id errors-busy --workdir "$WORK" "$IMAGE" sleep 100 >/dev/null
    run --separate-stderr stepcell forget --id errors-busy
    stepcell cancel --id errors-busy
    as "$STEPCELL" wait --id errors-busy 2>/dev/null || true
    stepcell forget --id errors-busy
    echo '{"error": {"code": "store.busy"}}' >"$RESULT" # no step, no result
}
provoke_step_conflict() {
    cell --id errors-conflict -- true
    run --separate-stderr cell --id errors-conflict -- false
    stepcell forget --id errors-conflict
}
provoke_config_invalid() {
    homes
    configure '{"registries": 1}'
    of_server any
    unset XDG_CONFIG_HOME DOCKER_CONFIG
}
provoke_option_invalid() { refused --memory much; }
provoke_command_not_found() { run -127 --separate-stderr cell -- nowhere; }
provoke_command_not_executable() { run --separate-stderr cell -- /etc; }

@test "every code of docs/errors.md comes with one sentence and one fix" {
    every() {
        local code provoke count=0 image=$IMAGE
        run -0 cell -- true # the image is there
        # What befalls a Pod takes a cluster: kubernetes_errors.bats.
        for code in $(sed -n 's/^## `\(.*\)`$/\1/p' "$ERRORS" | grep -v '^pod\.'); do
            echo "code: $code"
            provoke=provoke_${code//[.-]/_}
            rm -f "$RESULT"
            IMAGE=$image
            "$provoke"
            assert_equal code "$(result_field .error.code)" "$code"
            assert_equal lines "$(wc -l <<<"$stderr")" 2
            assert_match "$stderr" "stepcell: [!A-Z]*"$'\n'"stepcell: hint: ?*"
            assert_equal stdout "$output" ""
            [ "$status" != 0 ]
            count=$((count + 1))
        done
        [ "$count" -gt 20 ]
    }
    CALLER=root as_caller every
}

# A file that cannot be had has a fix of its own, and not the list of options.
@test "what an option names and is not there has a fix that fits" {
    fits() {
        echo '{"image": ' >step
        run -125 --separate-stderr cell --env-file none -- true
        assert_match "$stderr" "*hint: check --env-file: *"
        for option in "--mask-file none" "--secret-file key=none" "--mask-file ."; do
            # shellcheck disable=SC2086 # several words
            run -125 --separate-stderr cell $option -- true
            assert_match "$stderr" "*hint: *file*"
        done
        run -125 --separate-stderr stepcell run --step none
        assert_match "$stderr" "*hint: check --step: *"
        run -125 --separate-stderr stepcell run --step step
        assert_match "$stderr" "*hint: *stepcell-step(5)*"
        run -125 --separate-stderr stepcell report
        assert_match "$stderr" "*hint: *report ID*"
    }
    CALLER=plain as_caller fits
}
