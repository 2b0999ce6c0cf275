# --step: the options of `run` as a JSON document.

load ../lib/common

# step JSON-FILTER: writes the step to ../step.json, with $image and $workdir known to the filter
step() {
    jq -n --arg image "$IMAGE" --arg workdir "$WORK" --arg result "$RESULT" "$1" >../step.json
}

@test "a step file says everything that options say" {
    file() {
        as mkdir ../package
        step '{image: $image, workdir: $workdir, result: $result, package: ["TOOLS=" + $workdir + "/../package"],
            env: ["A=1"], command: ["sh", "-c", "echo $A $STEPCELL_PACKAGE_TOOLS; exit 9"]}'
        run -9 stepcell run --progress none --step ../step.json
        assert_equal output "$output" "1 ${WORK%/*}/package"
        assert_equal exit_code "$(result_field .exit_code)" 9
    }
    each_caller file
}

@test "a step may come from standard input" {
    from_stdin() {
        step '{image: $image, workdir: $workdir, command: ["echo", "piped"]}'
        run -0 stepcell run --progress none --step - <../step.json
        assert_equal output "$output" piped
    }
    each_caller from_stdin
}

@test "flags given beside a step win" {
    flags() {
        step '{image: $image, workdir: $workdir, user: "app", network: "none", timeout: "1h",
            command: ["sh", "-c", "id -u; ls /sys/class/net"]}'
        run -0 stepcell run --step ../step.json --user root
        assert_equal output "$output" $'0\nlo'
    }
    CALLER=root as_caller flags
    CALLER=ranges as_caller flags
}

@test "keys are spelled with an underscore" {
    underscore() {
        step '{image: $image, workdir: $workdir, package_cow: [$workdir + "/../package"],
            command: ["touch", "../package/x"]}'
        as mkdir ../package
        run -0 stepcell run --step ../step.json
        [ ! -e ../package/x ]
    }
    each_caller underscore
}

@test "an unknown key, a wrong type and bad JSON are refused, each in one line" {
    bad() {
        local document
        for document in '{"image": "x", "colour": "green"}' '{"image": 5}' '{"image": "x"' '[]' '' \
            '{"image": "x", "image": "y"}' '{"package": {"a": 1}}' '{"timeout": "soon"}' \
            '{"command": "not a list", "image": "x"}' '{"image": "a\u0000b"}'; do
            rm -f "$RESULT"
            run --separate-stderr stepcell run --result "$RESULT" --step - <<<"$document"
            assert_equal "status for $document" "$status" 125
            assert_match "$stderr" "stepcell: *"
            assert_match "$(result_field .error.code)" "@(option|config).invalid"
            [ "${#stderr_lines[@]}" -le 2 ]
        done
        run --separate-stderr stepcell run --result "$RESULT" --step nowhere.json
        assert_equal status "$status" 125
        assert_match "$stderr" "*nowhere.json*"
    }
    each_caller bad
    as_caller names_key
}

names_key() {
    run -125 --separate-stderr stepcell run --result "$RESULT" --step - <<<'{"image": "x", "colour": 1}'
    assert_match "$stderr" "*colour*"
}
