# The command line of `stepcell run`: what is malformed is refused in one line, before anything starts.

load ../lib/common

# refused OPTION...: with these options nothing is started; the script would leave a mark
refused() {
    run --separate-stderr cell "$@" -- touch started
    assert_refused option.invalid
    assert_equal "outcome" "$(result_field .outcome)" refused
    [ ! -e started ]
    [ "${#stderr_lines[@]}" -le 2 ] # the message, and perhaps a hint
    assert_match "${stderr_lines[0]}" "*${2:-$1}*"
}

@test "an unknown option is refused by its name" {
    each_caller refused --no-such-option
    as_caller refused -Z
    as_caller refused --workdirectory=/tmp
}

@test "a malformed value is refused by its text" {
    local case
    for case in '--timeout soon' '--timeout -5' '--timeout 5x' '--timeout 1s2h' '--grace 1e3' \
        '--network everything' '--pull sometimes' '--platform linux' '--platform linux/amd64/v1/x' \
        '--entrypoint keep' '--progress loud' '--env =value' \
        '--volume /a' '--volume /a:/b:sometimes' '--volume /a:b' \
        '--mount type=magic,target=/x' '--mount type=bind,target=/x' '--mount type=bind,source=/tmp' \
        '--mount type=tmpfs,target=x' '--mount type=tmpfs,target=/x,bind-propagation=shared'; do
        # shellcheck disable=SC2086 # option and value are two words
        as_caller refused $case
    done
}

@test "all that cannot be understood is told at once, by run and by explain" {
    at_once() {
        local messages
        echo '{"colour": "red", "memory": "much", "env": ["=x"]}' >../step
        messages=$(printf '%s\n' "unknown option '--no-such-option'" "unknown key 'colour' in the step" \
            "'much' is no value for --memory" "'=x' is no value for --env" "'many' is no value for --cpus")
        run --separate-stderr cell --step ../step --cpus many --no-such-option -- touch started
        assert_refused option.invalid
        assert_equal run "$(result_field '.violations[].message')" "$messages"
        assert_equal printed "$(grep -v hint: <<<"$stderr")" "$(sed 's/^/stepcell: /' <<<"$messages")"
        [ ! -e started ]
        run -125 --separate-stderr as "$STEPCELL" explain --json --step ../step --cpus many --no-such-option "$IMAGE" true
        assert_equal explain "$(jq -r '.explain.violations[].message' <<<"$output")" "$messages"
        assert_equal start "$(jq .explain.can_start <<<"$output")" false
        assert_equal stderr "$stderr" ""
    }
    CALLER=plain as_caller at_once
}

@test "how long a cell is kept is asked for with when" {
    never() {
        run --separate-stderr cell --keep-for 1h -- touch started
        assert_refused option.invalid
        assert_match "$stderr" "*without --keep*"
    }
    as_caller never
}

@test "an option without its value is refused" {
    empty() {
        run --separate-stderr stepcell run --result "$RESULT" --workdir
        assert_refused option.invalid
    }
    as_caller empty
}

@test "an empty value is refused where a value is needed" {
    local option
    for option in --workdir --package --timeout --network --pull --platform --script --shell; do
        as_caller refused_empty "$option"
    done
}

refused_empty() {
    run --separate-stderr cell "$1" '' -- touch started
    assert_equal "exit status" "$status" 125
    assert_match "$(result_field .error.code)" "*.*"
    [ ! -e started ]
}

@test "a step without an image, or without a command and a script, is refused" {
    incomplete() {
        run --separate-stderr stepcell run --result "$RESULT"
        assert_refused option.invalid
        run --separate-stderr stepcell run --result "$RESULT" "$IMAGE"
        assert_refused option.invalid
        run --separate-stderr stepcell run --result "$RESULT" "$IMAGE" --
        assert_refused option.invalid
    }
    each_caller incomplete
}

@test "the result is written wherever --result stands" {
    late() {
        run --separate-stderr stepcell run --nonsense --result "$RESULT" "$IMAGE" true
        assert_refused option.invalid
    }
    as_caller late
}

@test "an unknown command is refused" {
    run --separate-stderr stepcell fly
    assert_equal "exit status" "$status" 125
    assert_match "$stderr" "stepcell: *fly*"
}

@test "options may be joined to their values, and short ones exist" {
    joined() {
        run -0 stepcell run --progress=none --result="$RESULT" -w "$WORK" --env=A=1 -e B=2 "$IMAGE" sh -c 'echo $A$B'
        assert_equal output "$output" 12
    }
    each_caller joined
}

@test "what stands behind the image belongs to the command" {
    behind() {
        run -0 stepcell run --workdir "$WORK" "$IMAGE" echo --timeout -w x
        assert_equal output "$output" "--timeout -w x"
        run -0 stepcell run --workdir "$WORK" "$IMAGE" -- echo -- x
        assert_equal output "$output" "-- x"
    }
    as_caller behind
}

@test "the working directory is the current one unless told otherwise" {
    here() {
        run -0 stepcell run --progress none "$IMAGE" pwd
        assert_equal output "$output" "$WORK"
        as mkdir sub
        run -0 stepcell run -w sub "$IMAGE" pwd
        assert_equal output "$output" "$WORK/sub"
    }
    each_caller here
}

@test "a missing working directory is workdir.missing" {
    missing() {
        run --separate-stderr cell --workdir "$WORK/not here" -- true
        assert_refused workdir.missing
        [ ! -e "$WORK/not here" ]
        as touch file
        run --separate-stderr cell --workdir "$WORK/file" -- true
        assert_equal "exit status" "$status" 125
    }
    each_caller missing
}

@test "a working directory that the caller may not enter is workdir.missing, and its mode is pointed at" {
    closed() {
        [ "$CALLER" != root ] || return 0
        mkdir -m 0700 ../closed
        run --separate-stderr cell --workdir "${WORK%/*}/closed" -- true
        assert_refused workdir.missing
        assert_match "$stderr" "*cannot enter the working directory '${WORK%/*}/closed'*owner and mode*--workdir*"
    }
    each_caller closed
}

@test "--env gives a value, or passes the caller's own" {
    environment() {
        local -x MINE="from the caller" UNSET_HERE
        unset UNSET_HERE
        run -0 cell --env A='1 = 2' --env MINE --env UNSET_HERE --env EMPTY= -- env
        assert_match "$output" "*A=1 = 2*"
        assert_match "$output" "*MINE=from the caller*"
        assert_match "$output"$'\n' *$'\n'EMPTY=$'\n'*
        [[ $output != *UNSET_HERE* ]]
    }
    each_caller environment
}

@test "--env-file knows comments, blank lines and values with an equals sign" {
    env_file() {
        local -x MINE=yes
        printf '%s\n' '# comment' '' A=1 'B=two words' 'C=x=y' MINE >variables
        run -0 cell --env-file variables --env A=2 -- env
        assert_match "$output" *'A=2'*
        assert_match "$output" *'B=two words'*
        assert_match "$output" *'C=x=y'*
        assert_match "$output" *'MINE=yes'*
        [[ $output != *comment* ]]
        run --separate-stderr cell --env-file nowhere -- true
        assert_equal "exit status" "$status" 125
        assert_match "$stderr" "*nowhere*"
    }
    each_caller env_file
}

@test "--user takes a name, a number, and a group" {
    user() {
        run -0 cell --user app -- id -un
        assert_equal output "$output" app
        run -0 cell --user app -- id -G
        assert_match "$output" "1000*"
        run -0 cell --user 1000:1000 -- sh -c 'id -u; id -g'
        assert_equal output "$output" $'1000\n1000'
        run -0 cell --user app:tools -- id -gn
        assert_equal output "$output" tools
    }
    CALLER=root as_caller user
    CALLER=ranges as_caller user
}

@test "a user that the image does not have, or that overflows, is user.unknown" {
    local user
    unknown() {
        run --separate-stderr cell --user "$1" -- true
        assert_equal "exit status" "$status" 125
        assert_match "$(result_field .error.code)" "@(user.unknown|option.invalid)"
    }
    for user in nobody-knows 4294967296 -1 a:b:c 2147483648 0x0 1: :1 ' 1' '1 ' root:4294967296; do
        as_caller unknown "$user"
    done
    each_caller unknown root:nobody-knows
}

@test "--quiet silences stepcell, --verbose lets it speak, and neither touches the output" {
    voices() {
        run -3 --separate-stderr cell --quiet -- sh -c 'echo out; echo err >&2; exit 3'
        assert_equal stdout "$output" out
        assert_equal stderr "$stderr" err
        run -3 --separate-stderr cell --verbose -- sh -c 'echo out; echo err >&2; exit 3'
        assert_equal stdout "$output" out
        assert_match "$stderr" "*stepcell: *"
        [ "$(grep -vc '^stepcell: ' <<<"$stderr")" = 1 ]
    }
    each_caller voices
}

@test "--store decides where images and scratch live" {
    store() {
        run -0 cell --store "${WORK%/*}/elsewhere" -- true
        [ -f "$WORK/../elsewhere/oci-layout" ]
        [ "$(stat -c %a "$WORK/../elsewhere")" = 700 ]
        assert_equal scratch "$(written_to_scratch "$WORK/../elsewhere")" ""
        chmod -R u+rwX "$WORK/../elsewhere"
    }
    each_caller store
}
