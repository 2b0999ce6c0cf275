# The result file: the shape of docs/design, always written, whole or not at all.

load ../lib/common

SHAPE='
    .schema == "stepcell.result/1" and (.id | type == "string" and length > 0)
    and (.outcome | IN("exited", "signaled", "timed-out", "canceled", "refused", "failed", "unknown"))
    and (.exit_code | type == "number") and (.signal | type | IN("null", "number"))
    and .engine == $engine and (.labels | type == "object")
    and (.output | all(.stdout, .stderr; (.bytes | type == "number")
        and (.lines | type | IN("number", "null")) and (.sha256 | type | IN("string", "null"))))
    and (.outputs | type == "object") and (.oom_killed | type == "boolean")
    and (.phases | all(.[]; (.name | IN("resolve", "pull", "unpack", "plan", "create", "start", "run",
            "drain", "cleanup")) and (.ms | type == "number") and .ms >= 0
        and (.start | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$"))))
    and (.cleanup.verified | type == "boolean") and (.cleanup.left | type == "array")
    and (has("kept_until") and (.kept_until | type | IN("null", "string")))'

shaped() { jq -e --arg engine "${ENGINE:-native}" "$SHAPE" "$RESULT" >/dev/null || { cat "$RESULT" && return 1; }; }

@test "the result of a step that ran has the documented shape" {
    ran() {
        run -7 cell -- sh -c 'echo hello; exit 7'
        shaped
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal exit_code "$(result_field .exit_code)" 7
        assert_equal bytes "$(result_field .output.stdout.bytes)" 6
        assert_match "$(result_field .image.reference)" "*busybox*"
        assert_match "$(result_field .image.digest)" "sha256:*"
        assert_match "$(result_field .image.manifest_digest)" "sha256:*"
        assert_equal platform "$(result_field .image.platform)" linux/amd64
        assert_equal error "$(result_field .error)" null
        local phase
        for phase in resolve plan create start run drain cleanup; do
            assert_equal "phase $phase" "$(result_field "[.phases[] | select(.name == \"$phase\")] | length")" 1
        done
    }
    each_caller ran
}

@test "--label is kept in the result" {
    labeled() {
        run -0 cell --label team=build --label "note=a = b" --label flag --label team=deploy -- true
        assert_equal labels "$(result_field '.labels | tojson')" '{"team":"deploy","note":"a = b","flag":""}'
        local bad
        for bad in "" "=x" stepcell.step=1 $'k=\xff'; do
            run --separate-stderr cell --label "$bad" -- true
            assert_refused option.invalid
        done
        run -0 cell -- true
        assert_equal labels "$(result_field '.labels | tojson')" '{}'
    }
    as_caller labeled
    CALLER=plain as_caller labeled
}

@test "the result of a refusal has the documented shape and the error" {
    refused() {
        IMAGE=$IMAGES_AT/busybox:entrypoint
        run -125 cell -- true
        shaped
        assert_equal outcome "$(result_field .outcome)" refused
        assert_equal code "$(result_field .error.code)" image.entrypoint
        assert_match "$(result_field .error.message)" "?*"
        assert_match "$(result_field .error.hint)" "?*"
    }
    each_caller refused
}

@test "an older result is replaced, by rename, and nothing lies beside it" {
    replaced() {
        as sh -c 'echo old >../result.json; ln ../result.json ../kept'
        run -0 cell -- true
        shaped
        assert_equal kept "$(cat ../kept)" old
        assert_equal neighbours "$(ls -A ..)" $'kept\nresult.json\nwork'
        assert_equal owner "$(owner "$RESULT")" "$(caller_name):$(caller_name)"
    }
    each_caller replaced
}

@test "a result that cannot be written is said before the step starts" {
    unwritable() {
        run --separate-stderr stepcell run --result "$WORK/none/result" -w "$WORK" "$IMAGE" touch started
        assert_equal "exit status" "$status" 125
        assert_match "$stderr" "*none/result*"
        [ ! -e started ]
    }
    each_caller unwritable
}

# An earlier step may have made the link: what it leads to is not for it to choose.
@test "a link is replaced by the result, unless it is an open file of the caller's, and a directory is refused before the step" {
    link() {
        as sh -c 'echo mine >../real.json; ln -s ../real.json link.json; ln -s ../new.json broken.json
            mkfifo ../pipe; ln -s ../pipe pipe.json'
        for RESULT in link.json broken.json pipe.json; do
            run -0 cell -- true
            [ ! -L "$RESULT" ]
            shaped
        done
        assert_equal "what the link led to" "$(cat ../real.json)" mine
        [ ! -e ../new.json ]
        as ln -s /dev/stdout stream.json
        RESULT=stream.json
        run -0 cell -- true
        [ -L stream.json ]
        assert_match "$output" '*"stepcell.result/1"*'
        # A pipe of root's is open to others by its descriptor alone.
        if [ "$CALLER" = root ]; then
            # Nothing can be put in the place of a file there.
            run -125 --separate-stderr cell --result /dev/fd/9 -- touch ran 9>../open
            [ ! -e ran ]
            RESULT=/dev/fd/9 cell -- true 9> >(cat >../copy)
            wait $!
            RESULT=../copy shaped
        fi
        run -125 stepcell run --result "$WORK" -w "$WORK" "$IMAGE" touch started
        [ ! -e started ]
    }
    each_caller link
}

@test "a result may go into the working directory" {
    inside() {
        run -0 stepcell run --result "$WORK/r.json" -w "$WORK" "$IMAGE" true
        RESULT=$WORK/r.json shaped
    }
    each_caller inside
}

@test "a step cannot lead its result elsewhere" {
    elsewhere() {
        as mkdir ../other out
        RESULT=$WORK/out/r.json
        run -125 --separate-stderr cell -- sh -c 'mv out moved; ln -s ../other out'
        assert_match "$stderr" "*a directory above it was moved away*"
        [ -f moved/r.json ]
        # Nor is one that the step has written taken for it.
        as sh -c 'rm out && mkdir out'
        run -125 --separate-stderr cell -- sh -c 'mv out away; mkdir out; echo "{}" >out/r.json'
        assert_match "$stderr" "*a directory above it was moved away*"
        as sh -c 'rm -r out away moved && mkdir out'
        run -0 cell -- sh -c 'mv out moved; ln -s moved out'
        shaped
        [ -z "$(ls -A ../other)" ]
        RESULT=$WORK/link.json
        run -0 cell -- ln -s ../other/file link.json
        [ ! -L link.json ]
        [ -z "$(ls -A ../other)" ]
        RESULT=$WORK/fifo.json
        run -0 timeout 20 "$BASH" -c "$(declare -f as stepcell cell caller_name); $(declare -p TEST_DIR CALLER \
            STEPCELL RESULT WORK IMAGE); cell -- sh -c 'mkfifo fifo.json'"
        [ -f fifo.json ]
        # The caller's own has a reader by the time that it is written to, or the result would be lost.
        as mkfifo ../fifo
        RESULT=../fifo
        run -125 --separate-stderr cell -- true
        assert_match "$stderr" "*cannot write '../fifo': nobody reads from it*"
        as timeout 60 cat ../fifo >../read &
        cell -- sleep 1
        wait $!
        assert_equal outcome "$(jq -r .outcome ../read)" exited
    }
    each_caller elsewhere
}

@test "a reader of the result that takes nothing is not waited for any longer" {
    stuck() {
        as mkfifo ../fifo
        # More than a pipe holds.
        run -125 --separate-stderr as timeout -s KILL 30 "$STEPCELL" run --result ../fifo --workdir "$WORK" "$IMAGE" sh -c '
            head -c 100000 /dev/zero | tr "\0" x >value
            { printf A=; cat value; } >"$STEPCELL_OUTPUT"' 7<>../fifo
        assert_match "$stderr" "*cannot write '../fifo': who reads from it takes nothing*"
    }
    as_caller stuck
}

@test "what an earlier step has left leads neither result nor events elsewhere" {
    left() {
        local volume
        volume=$(realpath ..)/volume
        as sh -c 'mkdir ../other ../volume; echo mine >../other/file; ln -s "$PWD" ../alias'
        run -0 cell -v "$volume:/volume" -- sh -c 'ln -s ../other out; ln -s ../other /volume/out; ln -s ../other/file file'
        for RESULT in out/file ../alias/out/file ../volume/out/file; do
            run --separate-stderr cell -v "$volume:/volume" -- touch started
            assert_match "$stderr" "*cannot write '$RESULT'*no link is followed*"
            assert_equal "exit status" "$status" 125
        done
        RESULT=$(realpath ..)/result.json
        local target
        for target in file out/file ../alias/out/file ../volume/out/file; do
            run --separate-stderr cell -v "$volume:/volume" --events "file:$target" -- touch started
            assert_refused option.invalid
            assert_match "$stderr" "*no link is followed*"
        done
        run -0 cell --id "links-$CALLER" -- true
        for RESULT in out/file ../alias/out/file; do
            run --separate-stderr stepcell wait --result "$RESULT" "links-$CALLER"
            assert_equal "exit status" "$status" 125
        done
        run -0 stepcell wait --result file "links-$CALLER"
        [ ! -L file ]
        run -0 stepcell forget "links-$CALLER"
        [ ! -e started ]
        assert_equal "the other directory" "$(cd ../other && grep . *)" mine
        # Links of the caller's, outside, are followed as ever.
        RESULT=../alias/own.json
        run -0 cell --events file:../alias/own.ndjson -- true
        [ -s own.json ]
        [ -s own.ndjson ]
    }
    each_caller left
}

@test "every step has an id of its own" {
    ids() {
        run -0 cell -- true
        local first
        first=$(result_field .id)
        run -0 cell -- true
        [ "$first" != "$(result_field .id)" ]
    }
    as_caller ids
}
