# --secret-env, --secret-file, --mask-file: who sees the values, and who does not.

load ../lib/common

VALUE='s3cr3t value of this test'

@test "a secret variable has the caller's value in the cell, and nobody is told of it" {
    variable() {
        local -x TOKEN=$VALUE EMPTY_TOKEN='' FROM_FILE=plain
        run -0 --separate-stderr cell --secret-env TOKEN --secret-env EMPTY_TOKEN --env FROM_FILE=x --secret-env FROM_FILE -- \
            sh -c '[ "$TOKEN" = "$1" ] && [ "${EMPTY_TOKEN-unset}" = "" ] && [ "$FROM_FILE" = plain ] && echo same' sh "$VALUE"
        assert_equal output "$output" same
        run -0 --separate-stderr cell --verbose --secret-env TOKEN -- sh -c '[ -n "$TOKEN" ]'
        run grep -c "$VALUE" "$RESULT"
        assert_equal "lines of the result" "$output" 0
        [[ $stderr != *"$VALUE"* ]]
    }
    each_caller variable
}

@test "a secret variable that the caller lacks, or that comes with its value, is refused without a word of it" {
    refused() {
        unset TOKEN
        run --separate-stderr cell --secret-env TOKEN -- true
        assert_refused option.invalid
        assert_match "$stderr" "*'TOKEN'*environment*"
        run --separate-stderr cell --secret-env "TOKEN=$VALUE" -- true
        assert_refused option.invalid
        assert_match "$stderr" "*'TOKEN'*command line*"
        [[ $stderr != *"$VALUE"* ]]
        run grep -c "$VALUE" "$RESULT"
        assert_equal "lines of the result" "$output" 0
        for name in '' "=$VALUE"; do
            run --separate-stderr cell --secret-env "$name" -- true
            assert_refused option.invalid
            [[ $stderr != *"$VALUE"* ]]
        done
    }
    each_caller refused
}

@test "a secret file is the step's user's alone, read-only, in memory" {
    look() {
        run -0 --separate-stderr cell --secret-file key=../key --secret-file a.b-c_D=../empty "$@" -- sh -c '
            cmp /run/secrets/key "$PWD/../compare" 2>/dev/null || sha256sum </run/secrets/key | cut -c1-64
            stat -c "%a %u %g %s" /run/secrets/a.b-c_D; stat -c "%a %u %g" /run/secrets/key /run/secrets
            id -u; id -g; ls -A /run/secrets | tr "\n" " "
            grep -c " /run/secrets ro,nosuid,nodev,noexec.* - tmpfs " /proc/self/mountinfo
            (echo x >/run/secrets/key) 2>/dev/null; rm -f /run/secrets/key 2>/dev/null; chmod 644 /run/secrets/key 2>/dev/null
            touch /run/secrets/new 2>/dev/null; umount /run/secrets 2>/dev/null; ls /run/secrets | wc -l'
        local uid=${lines[4]} gid=${lines[5]}
        assert_equal content "${lines[0]}" "$(sha256sum <../key | cut -c1-64)"
        assert_equal "the empty one" "${lines[1]}" "400 $uid $gid 0"
        assert_equal "the file" "${lines[2]}" "400 $uid $gid"
        assert_equal "the directory" "${lines[3]}" "700 $uid $gid"
        assert_equal names "${lines[6]}" "a.b-c_D key 1"
        assert_equal "files afterwards" "${lines[7]}" 2
    }
    files() {
        as sh -c 'head -c 60000 /dev/urandom >../key; printf "\n" >>../key; chmod 0400 ../key; : >../empty'
        look
        look --user app
        look --user 4321:4322
        look --user root --cap-drop ALL
        look --read-only
        look --tmpfs /run
        run -0 --separate-stderr cell -- sh -c 'test ! -e /run/secrets && echo none'
        assert_equal "without a secret" "$output" none
    }
    each_caller files
}

@test "another user of the cell cannot read a secret file" {
    other() {
        echo "$VALUE" >../key
        chmod 644 ../key
        run --separate-stderr cell --user root --secret-file key=../key -- su app -c 'cat /run/secrets/key; ls /run/secrets'
        [ "$status" != 0 ]
        assert_equal output "$output" ""
    }
    CALLERS="root ranges" each_caller other
}

@test "secrets are on no disk, in no argument, in no mount of the host, and gone with the cell" {
    nowhere() {
        local -x TOKEN="token of $VALUE"
        local pid store=$TEST_DIR/store/$CALLER
        as sh -c 'printf "file of %s" "$1" >../key; printf "line of %s\n\nother\n" "$1" >../mask' sh "$VALUE"
        stepcell run --result "$RESULT" --workdir "$WORK" --verbose --timeout 60 --secret-env TOKEN --secret-file key=../key \
            --mask-file ../mask "$IMAGE" sh -c 'cat /run/secrets/key >/dev/null && touch ready
                while [ ! -e go ]; do sleep 0.05; done' 2>../messages &
        pid=$!
        wait_for test -e ready
        run grep -rlF "$VALUE" "$store/cells" "$TEST_DIR/tmp/$CALLER" "$WORK"
        assert_equal "files with it" "$output" ""
        # Not the words of grep itself.
        run grep -lsE '([t]oken|[f]ile|[l]ine) of s3cr3t' /proc/[0-9]*/cmdline
        assert_equal "arguments with it" "$output" ""
        run grep -F /run/secrets /proc/self/mountinfo
        assert_equal "mounts of the host" "$output" ""
        # The processes of the cell have it, and they alone.
        processes_in_namespaces_with_secrets >../namespaces
        assert_equal "namespaces with it" "$(wc -l <../namespaces)" 1
        as touch go
        wait "$pid"
        run grep -cF "$VALUE" "$RESULT" ../messages
        assert_equal "result and messages" "$output" "$RESULT:0"$'\n'"../messages:0"
        assert_equal "namespaces afterwards" "$(processes_in_namespaces_with_secrets)" ""
    }
    each_caller nowhere
}

# Mount namespaces in which this run's working directory and secrets are mounted, one a line
processes_in_namespaces_with_secrets() {
    local process
    for process in /proc/[0-9]*; do
        if grep -qs " $WORK " "$process/mountinfo" && grep -qs ' /run/secrets ' "$process/mountinfo"; then
            readlink "$process/ns/mnt"
        fi
    done | sort -u
}

@test "secret and mask files that are missing, special, too large or too many are refused, without waiting" {
    refused() {
        local options
        as mkfifo ../fifo
        as truncate -s $((64 * 1024 + 1)) ../large
        as truncate -s $((64 * 1024)) ../just
        as truncate -s $((1024 * 1024 + 1)) ../masks
        for options in "--secret-file a=../missing" "--secret-file a=../fifo" "--secret-file a=/dev/zero" \
            "--secret-file a=.." "--secret-file a=../large" "--secret-file a=/dev/fd/77" "--secret-file a" \
            "--secret-file a=" "--secret-file =../just" "--secret-file .a=../just" "--secret-file a/b=../just" \
            "--secret-file ..=../just" "--secret-file a=../just --secret-file a=../key" \
            "--mask-file ../missing" "--mask-file ../fifo" "--mask-file ../masks" "--mask-file /dev/zero"; do
            # shellcheck disable=SC2086 # several words
            run --separate-stderr as timeout 20 "$STEPCELL" run --result "$RESULT" --workdir "$WORK" $options "$IMAGE" true
            echo "$options: $stderr"
            assert_refused option.invalid
        done
        run --separate-stderr cell --secret-file a=../missing -- true
        assert_match "$stderr" "*'../missing'*"
        run -0 cell --secret-file a=../just -- test -s /run/secrets/a
        as sh -c 'printf few >../few' # what is masked costs time, and how many there are is the question
        mapfile -t options < <(for i in $(seq 101); do echo "--secret-file=n$i=../few"; done)
        run --separate-stderr cell "${options[@]}" -- true
        assert_refused option.invalid
        run -0 --separate-stderr cell "${options[@]:0:100}" -- sh -c 'ls /run/secrets | wc -l'
        assert_equal files "$output" 100
    }
    each_caller refused
}

@test "a secret may come from a pipe of the caller's, and a signal ends the wait for it" {
    piped() {
        local pid
        run -0 --separate-stderr as bash -c '"$0" run --workdir "$1" --secret-file a=<(echo one; sleep 0.2; echo two) \
            --mask-file <(echo line) "$2" sha256sum /run/secrets/a' "$STEPCELL" "$WORK" "$IMAGE"
        assert_equal output "$output" "$(printf 'one\ntwo\n' | sha256sum | cut -c1-64)  /run/secrets/a"
        run --separate-stderr as bash -c '"$0" run --workdir "$1" --result "$3" --secret-file a=<(head -c 600000 /dev/zero) \
            "$2" true' "$STEPCELL" "$WORK" "$IMAGE" "$RESULT"
        assert_refused option.invalid
        as bash -c 'exec 9<> <(:); exec "$0" run --workdir "$1" --result "$3" --secret-file a=/dev/fd/9 "$2" touch ran' \
            "$STEPCELL" "$WORK" "$IMAGE" "$RESULT" 2>/dev/null &
        pid=$!
        sleep 0.5
        pkill -TERM -P "$pid" -x stepcell || kill -TERM "$pid"
        run wait "$pid"
        wait_for test -s "$RESULT"
        assert_equal outcome "$(result_field .outcome)" canceled
        [ ! -e ran ]
    }
    each_caller piped
}

@test "a JSON step names secrets by the same keys" {
    step() {
        local -x TOKEN=$VALUE
        as sh -c 'echo one >../one; echo two >../two; echo masked >../mask'
        jq -n --arg image "$IMAGE" '{image: $image, secret_env: ["TOKEN"], secret_file: {"one": "../one"}, mask_file: "../mask",
            command: ["sh", "-c", "test -n \"$TOKEN\" && cat /run/secrets/*"]}' >../step.json
        run -0 --separate-stderr stepcell run --workdir "$WORK" --secret-file two=../two --step ../step.json
        assert_equal output "$output" $'one\ntwo'
        jq '.secret_file = ["one=../one", "three=../two"]' ../step.json >../list.json
        run -0 --separate-stderr stepcell run --workdir "$WORK" --step ../list.json
        assert_equal output "$output" $'one\ntwo'
        for change in '.secret_env = {"TOKEN": "value of it"}' '.secret_env = ["TOKEN=value of it"]' '.secret_file = {"a": 1}' \
            '.secret_file = {"a": null}' '.mask_file = 7 | .mask_file = [true]'; do
            jq "$change" ../step.json >../bad.json
            run --separate-stderr stepcell run --result "$RESULT" --workdir "$WORK" --step ../bad.json
            assert_refused option.invalid
            [[ $stderr != *"value of it"* ]]
        done
    }
    each_caller step
}

@test "a mount of the caller's on the secrets or in them is mount.conflict" {
    conflict() {
        as mkdir ../dir
        as sh -c 'echo x >../key'
        for target in /run/secrets /run/secrets/x /run/secrets/a/b; do
            run --separate-stderr cell --secret-file key=../key --volume "../dir:$target" -- true
            assert_refused mount.conflict
            assert_match "$stderr" "*/run/secrets*"
            run --separate-stderr cell --secret-file key=../key --tmpfs "$target" -- true
            assert_refused mount.conflict
        done
        # Without secrets the place is nobody's.
        run -0 cell --volume ../dir:/run/secrets -- ls /run/secrets
        assert_match "$(ls -A ../dir)" ""
    }
    each_caller conflict
}
