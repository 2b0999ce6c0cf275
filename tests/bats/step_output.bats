# $STEPCELL_OUTPUT: the file that a step writes its outputs to.

load ../lib/common
load ../lib/images
load ../lib/attacks

setup_file() { make_attacks; }
teardown_file() { remove_attacks; }

@test "every step has an empty output file that its user can write to, and it is the same for all" {
    look() {
        run -0 --separate-stderr cell "$@" -- sh -c 'echo "$STEPCELL_OUTPUT" && test -f "$STEPCELL_OUTPUT" &&
            ! test -s "$STEPCELL_OUTPUT" && stat -c "%a %u" "$STEPCELL_OUTPUT" && id -u &&
            echo a=1 >>"$STEPCELL_OUTPUT" && echo b=2 >>"$STEPCELL_OUTPUT" && cat "$STEPCELL_OUTPUT" &&
            echo c=3 >"$STEPCELL_OUTPUT" && cat "$STEPCELL_OUTPUT" && truncate -s 0 "$STEPCELL_OUTPUT"'
        assert_equal path "${lines[0]}" /run/stepcell/output
        assert_equal "mode and owner" "${lines[1]}" "600 ${lines[2]}"
        assert_equal content "${lines[*]:3}" "a=1 b=2 c=3"
    }
    writable() {
        look
        look --read-only
        look --user app
        look --user 4321:4321
        look --user 4321 --read-only --cap-drop ALL
        look --user root --cap-drop ALL
        look --tmpfs /run
        look --network none --tmpfs /run/stepcell
    }
    each_caller writable
}

@test "the output file is the engine's: neither caller nor image names another" {
    hostile() {
        local -x STEPCELL_OUTPUT=/from/caller
        run -0 cell --env STEPCELL_OUTPUT -- sh -c 'echo $STEPCELL_OUTPUT'
        assert_equal output "$output" /run/stepcell/output
        run -0 cell --env STEPCELL_OUTPUT=/x --secret-env STEPCELL_OUTPUT -- sh -c 'echo $STEPCELL_OUTPUT'
        assert_equal output "$output" /run/stepcell/output
    }
    each_caller hostile
}

@test "a step can neither replace its output file nor look beyond it" {
    replace() {
        run -0 --separate-stderr cell --user root -- sh -c '
            for try in "rm -f $STEPCELL_OUTPUT" "mv $STEPCELL_OUTPUT /tmp/x" "touch /tmp/y && mv -f /tmp/y $STEPCELL_OUTPUT" \
                "ln -sf /etc/passwd $STEPCELL_OUTPUT" "umount $STEPCELL_OUTPUT" "mv /run/stepcell /tmp/z"; do
                before=$(stat -c %d:%i "$STEPCELL_OUTPUT")
                sh -c "$try" 2>/dev/null && echo "could: $try"
                [ "$(stat -c %d:%i "$STEPCELL_OUTPUT")" = "$before" ] || echo "changed by: $try"
            done
            grep -c " /run/stepcell/output " /proc/self/mountinfo
            grep " /run/stepcell/output " /proc/self/mountinfo | grep -c "nosuid,nodev,noexec.* - tmpfs "'
        assert_equal output "$output" $'1\n1'
    }
    each_caller replace
}

@test "an output file has an end, and is on no disk while the step runs" {
    ends() {
        local store=$TEST_DIR/store/$CALLER pid
        run -0 --separate-stderr cell -- sh -c 'dd if=/dev/zero of="$STEPCELL_OUTPUT" bs=1M count=100 2>/dev/null
            size=$(stat -c %s "$STEPCELL_OUTPUT") && [ $size -gt $((16 << 20)) ] && [ $size -le $((17 << 20)) ] && echo full'
        assert_equal output "$output" full
        run -0 cell -- truncate -s 1000G /run/stepcell/output
        stepcell run --workdir "$WORK" --timeout 60 "$IMAGE" sh -c 'echo a-line-to-look-for >"$STEPCELL_OUTPUT"; touch ready
            while [ ! -e go ]; do sleep 0.05; done' &
        pid=$!
        wait_for test -e ready
        run grep -rl a-line-to-look-for "$store/cells"
        assert_equal found "$output" ""
        run grep -l ' /output .* tmpfs' /proc/self/mountinfo
        assert_equal mounted "$output" ""
        as touch go
        wait "$pid"
    }
    each_caller ends
}

@test "a mount of the caller's on the output file, or around it, is mount.conflict" {
    conflict() {
        as mkdir ../dir
        as touch ../file
        for volume in ../file:/run/stepcell/output ../dir:/run/stepcell/output ../dir:/run/stepcell/output/x \
            ../dir:/run/stepcell ../dir:/run; do
            run --separate-stderr cell --volume "$volume" -- true
            assert_refused mount.conflict
            assert_match "$stderr" "*/run/stepcell/output*"
        done
        [ -z "$(ls -A ../dir)" ]
        # On the host there is the place: nothing is written to it.
        as mkdir ../dir/stepcell
        as touch ../dir/stepcell/output
        run -0 cell --volume ../dir:/run -- sh -c 'echo x=1 >"$STEPCELL_OUTPUT"'
        [ ! -s ../dir/stepcell/output ]
        run -0 cell --volume ../dir:/run/other --tmpfs /run/stepcell -- sh -c 'echo x=1 >"$STEPCELL_OUTPUT"'
    }
    each_caller conflict
}

@test "a link of the image that covers the output file with a mount of the caller's is refused" {
    local layer=$BATS_TEST_TMPDIR/layer
    mkdir -p "$layer/run/stepcell" "$layer/target"
    ln -s /run/stepcell "$layer/zlink"
    covered() {
        as mkdir ../dir
        as touch ../dir/output
        run --separate-stderr cell --volume ../dir:/zlink -- sh -c 'echo x >"$STEPCELL_OUTPUT"'
        assert_refused mount.conflict
        [ ! -s ../dir/output ]
    }
    hostile_image covered '{}' "$(layer_of "$layer")"
    each_caller covered
}
