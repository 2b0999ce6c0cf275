# Secrets in what a step prints, and in everything that is said of it.

load ../lib/common
load ../lib/messages

# Every form of it that is masked has more than three characters.
SECRET='hunter2/of+this test'
STARS='********'

# secret_cell OPTION... -- COMMAND...: a step with $TOKEN (the secret) and events, with all that is said of it
secret_cell() {
    local -x TOKEN=$SECRET
    status=0
    cell --secret-env TOKEN --events file:../events "$@" >../out 2>../err || status=$?
}

# nowhere VALUE...: none of these in anything that was said of the step
nowhere() {
    local value
    for value in "$@"; do
        if grep -F -e "$value" ../out ../err ../events "$RESULT"; then
            echo "the above shows '$value'"
            return 1
        fi
    done
}

@test "a secret is masked on both streams, however it is written" {
    written() {
        secret_cell -- sh -c 'echo "a $TOKEN b"; echo "$TOKEN$TOKEN" >&2; printf %s "$TOKEN"'
        assert_equal stdout "$(cat ../out)" "a $STARS b"$'\n'"$STARS"
        assert_equal stderr "$(cat ../err)" "$STARS$STARS"
        assert_equal bytes "$(result_field .output.stdout.bytes)" "$(stat -c %s ../out)"
        assert_equal sha256 "$(result_field .output.stdout.sha256)" "$(sha256sum <../out | cut -c1-64)"
        nowhere hunter2
        # Byte by byte, and each in a read of its own.
        secret_cell -- sh -c 'printf "go "; i=1; while [ $i -le ${#TOKEN} ]; do
            printf %s "$(expr substr "$TOKEN" $i 1 2>/dev/null)"; [ "$(expr substr "$TOKEN" $i 1)" ] || printf " "
            usleep 3000; i=$((i + 1)); done; echo'
        assert_match "$(cat ../out)" 'go *'
        nowhere hunter2
    }
    each_caller written
}

@test "base64, percent-encoded and multi-line forms of a secret are masked" {
    forms() {
        secret_cell -- sh -c 'printf %s "$TOKEN" | base64; printf "xy%s" "$TOKEN" | base64; printf "x%s" "$TOKEN" | base64
            echo "https://host/?p=hunter2%2Fof%2Bthis%20test"'
        assert_equal stdout "$(grep -c -F "$STARS" ../out)" 4
        nowhere aHVudGVyMi9vZit0aGlz hunter2
        SECRET=$'first line\nsecond line\nthird' secret_cell -- sh -c 'echo "$TOKEN" | sed "s/^/  /"; echo "$TOKEN"'
        nowhere 'second line'
        as sh -c 'printf "abcdefgh\nefghijkl\n\nabcd\n" >../mask'
        cell --mask-file ../mask --events file:../events -- echo 'abcdefghijkl abcdxx abcdefgh efghijkl' >../out 2>../err
        assert_equal overlapping "$(cat ../out)" "$STARS ${STARS}xx $STARS $STARS"
    }
    each_caller forms
}

@test "a secret of three characters or less is not masked, which is said once for each" {
    short() {
        as sh -c 'printf "abc\nxyz\nlonger\n" >../mask'
        cell --mask-file ../mask --events file:../events -- echo 'abc xyz longer' >../out 2>../err
        assert_equal stdout "$(cat ../out)" "abc xyz $STARS"
        assert_equal warnings "$(grep -c 'three characters or less is not masked' ../err)" 2
        assert_equal "warning events" "$(jq -r 'select(.type == "warning").message' ../events | grep -c 'three characters')" 2
        cell --quiet --mask-file ../mask --events file:../events -- true 2>../err
        assert_equal quiet "$(cat ../err)" ""
        assert_equal "warning events" "$(grep -c 'three characters' ../events)" 2
    }
    each_caller short
}

@test "what a step declares a secret is masked behind that, on both streams" {
    declared() {
        message mask value declared-one >../one
        message setVariable name Y value declared-two sensitive True >../two
        as cp ../one ../two .
        cell --events file:../events -- sh -c 'echo declared-one; cat one; echo declared-one; sleep 0.2; echo declared-one >&2
            sleep 0.2; cat two >&2; sleep 0.2; echo declared-two; echo "##octopus[setVariable name='\''Wg=='\'' value='\''$(
            printf "with declared-two" | base64)'\'']"' >../out 2>../err
        assert_equal stdout "$(sed '$d' ../out)" "declared-one"$'\n'"$(cat ../one)"$'\n'"$STARS"$'\n'"$STARS"
        assert_equal stderr "$(cat ../err)" "$STARS"$'\n'"$(cat ../two)"
        assert_equal outputs "$(result_field '.outputs | tojson')" "{\"Y\":\"$STARS\",\"Z\":\"with $STARS\"}"
        ! grep declared-two ../out ../events "$RESULT"
        # Whatever was asked for, on a stream that is busy as well.
        cell -- sh -c 'cat one; echo declared-one' >../out
        assert_equal stdout "$(cat ../out)" "$(cat ../one)"$'\n'"$STARS"
        stepcell run --workdir "$WORK" "$IMAGE" sh -c 'yes | head -c 3000000; cat one; echo declared-one; sleep 0.2
            echo declared-one >&2' 2>../err | tail -n 2 >../out
        assert_equal stdout "$(cat ../out)" "$(cat ../one)"$'\n'"$STARS"
        assert_equal stderr "$(cat ../err)" "$STARS"
    }
    each_caller declared
}

@test "a message that declares a secret passes as it is, however often, and however it is cut" {
    passes() {
        message mask value "$SECRET" | as tee one >/dev/null
        message setVariable name Y value "$SECRET" sensitive true | as tee two >/dev/null
        # As Octopus's own bootstrap does it: on both streams.
        secret_cell -- sh -c 'cat one; cat one >&2; cat two; cat one two'
        assert_equal stdout "$(cat ../out)" "$(cat one two one two)"
        assert_equal stderr "$(cat ../err)" "$(cat one)"
        secret_cell -- sh -c 'head -c 7 one; sleep 0.1; tail -c +8 one | head -c 20; sleep 0.1; tail -c +28 one; echo "$TOKEN"
            head -c 25 one; sleep 0.1; echo; tail -c +26 one'
        assert_equal stdout "$(head -n 2 ../out)" "$(cat one)"$'\n'"$STARS"
        # What is none, and what declares nothing, is masked.
        message setVariable name Y value "$SECRET" | as tee plain >/dev/null
        secret_cell -- sh -c 'cat plain; printf "##octopus[mask value=%s" "$TOKEN"; sleep 0.1; echo; printf "##octopus[%s" "$TOKEN"'
        nowhere hunter2 "$(printf %s "$SECRET" | base64)"
        assert_equal outputs "$(result_field .outputs.Y)" "$STARS"
    }
    each_caller passes
}

@test "a step that reads its own output back deceives neither the mask nor the digest" {
    # While nobody reads, what has been looked at is taken back, and the secret put in its place.
    reads_back() {
        local -x TOKEN=$SECRET
        cell --secret-env TOKEN --events file:../events -- sh -c 'exec 3</proc/self/fd/1
            yes x | head -c 8000000 &
            sleep 0.3; cat <&3 >/dev/null & taker=$!
            sleep 0.2; kill $taker
            yes "$TOKEN" | head -n 20000; wait' 2>../err | { head -c 1500000; sleep 0.7; cat; } >../out
        nowhere hunter2
        grep -q -F "$STARS" ../out
        assert_equal digest "$(result_field .output.stdout.sha256)" "$(sha256sum <../out | cut -d " " -f 1)"
    }
    each_caller reads_back
}

@test "a secret is in no output, no event, no message, no result, whoever says it" {
    everywhere() {
        secret_cell -- sh -c 'printf "A=%s\n%s=b\n" "$TOKEN" "$TOKEN" >"$STEPCELL_OUTPUT"
            echo "malformed line with $TOKEN" >>"$STEPCELL_OUTPUT"'
        assert_equal outputs "$(result_field '.outputs | tojson')" "{\"A\":\"$STARS\",\"$STARS\":\"b\"}"
        nowhere hunter2
        secret_cell --label "a=$SECRET" --label "$SECRET=b" -- true
        assert_equal labels "$(result_field '.labels | tojson')" "{\"a\":\"$STARS\",\"$STARS\":\"b\"}"
        nowhere hunter2
        # Names of a command, of a process that is left, of a directory, of an attribute.
        secret_cell -- "$SECRET"
        assert_equal code "$(result_field .error.code)" command.not-found
        assert_match "$(result_field .error.message)" "*'$STARS'*"
        nowhere hunter2
        SECRET=longsecretname secret_cell -- sh -c 'printf "#!/bin/sh\nsleep 100\n:\n" >longsecretname
            chmod +x longsecretname; ./longsecretname & echo "##octopus[longsecretname"; sleep 0.3'
        nowhere longsecretname
        assert_match "$(cat ../err)" "*killed*left running*"
        as mkdir -p "../$SECRET"
        (
            WORK=$(realpath "../$SECRET")
            secret_cell --package "$WORK/none" -- true
            assert_equal code "$(result_field .error.code)" mount.source-missing
            nowhere hunter2
            secret_cell -- true
            assert_equal status "$status" 0
            nowhere hunter2
        )
        IMAGE=oci:/none/hunter2-image SECRET=hunter2-image secret_cell -- true
        assert_equal outcome "$(result_field .outcome)" failed
        nowhere hunter2
    }
    each_caller everywhere
}

@test "what was told before it was declared a secret is masked in the result" {
    late() {
        message setVariable name A value 'holds late-secret' | as tee one >/dev/null
        message mask value late-secret | as tee two >/dev/null
        cell --events file:../events -- cat one two >../out
        assert_equal outputs "$(result_field .outputs.A)" "holds $STARS"
        assert_equal finished "$(jq -r 'select(.type == "step.finished").result.outputs.A' ../events)" "holds $STARS"
    }
    each_caller late
}

@test "more secrets than can be masked: a step is refused or ended, and nothing of it appears" {
    limits() {
        as sh -c 'seq -f secret%06g 4097 >../mask; seq -f secret%06g 4096 >../just; head -c 66000 /dev/zero | tr "\0" x >../long'
        run --separate-stderr cell --mask-file ../mask --events file:../events -- touch ran
        assert_refused option.invalid
        assert_match "$stderr" "*4096*"
        assert_equal events "$(jq -r .type ../events | paste -sd' ')" "step.accepted step.finished"
        run --separate-stderr cell --mask-file ../long -- touch ran
        assert_refused option.invalid
        [ ! -e ran ]
        cell --mask-file ../just -- echo secret004096 >../out
        assert_equal just "$(cat ../out)" "$STARS"
        message mask value one-too-many | as tee one >/dev/null
        run -125 --separate-stderr cell --mask-file ../just --events file:../events -- sh -c 'echo first; sleep 0.2; cat one
            echo secret000001 one-too-many; sleep 0.1; echo secret000002 one-too-many; sleep 20; touch ran'
        assert_equal stdout "$output" first
        assert_match "$stderr" "*4096*"
        assert_equal outcome "$(result_field '.outcome + " " + .error.code')" "failed engine.failed"
        [ ! -e ran ]
        ! grep -E 'secret0|too-many' ../events "$RESULT"
    }
    each_caller limits
}
