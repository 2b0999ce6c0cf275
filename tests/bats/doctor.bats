# `stepcell doctor`, `version` and the help texts.

load ../lib/common

@test "doctor says that this machine can run steps, one line a finding" {
    doctor() {
        run -0 --separate-stderr stepcell doctor
        [ "${#lines[@]}" -ge 3 ]
    }
    each_caller doctor
}

@test "doctor --json has the documented shape" {
    doctor_json() {
        run -0 --separate-stderr stepcell doctor --json
        jq -e '.ready == true and (.findings | all(.[]; (.id | type == "string")
            and (.level | IN("ok", "info", "warning", "error")) and (.message | type == "string")))' <<<"$output"
    }
    each_caller doctor_json
}

@test "doctor tells a user without subordinate ids how to get them" {
    CALLER=plain
    run -0 --separate-stderr stepcell doctor
    assert_match "$output" "*subuid*"
}

@test "version prints the version, as JSON too" {
    run -0 stepcell version
    assert_match "$output" "stepcell [0-9]*.[0-9]*.[0-9]*"
    run -0 --separate-stderr stepcell version --json
    jq -e .version <<<"$output"
    run -0 stepcell --version
    assert_match "$output" "stepcell [0-9]*"
}

@test "every command has a help text on standard output" {
    local command
    for command in '' run image 'image pull' 'image list' 'image inspect' 'image remove' doctor version; do
        # shellcheck disable=SC2086 # two words are meant
        run -0 --separate-stderr stepcell $command --help
        assert_match "$output" "*[Uu]sage*"
        assert_equal stderr "$stderr" ""
    done
    run -0 --separate-stderr stepcell run --help
    local option
    for option in workdir package package-cow package-rw volume mount env env-file script shell user pull \
        platform network entrypoint result timeout grace progress store step quiet verbose; do
        assert_match "$output" "*--$option*"
    done
}
