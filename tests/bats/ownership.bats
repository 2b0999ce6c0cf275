# Whose files a step creates: always the caller's; when root calls, the working directory's owner's.

load ../lib/common

# writes OWNER OPTION...: a step makes a file and a directory, which belong to OWNER on the host
writes() {
    local expected=$1
    shift
    rm -rf made
    run -0 cell "$@" -- sh -c 'mkdir made && echo x >made/file && chmod 0640 made/file && ls -ld . >/dev/null'
    assert_equal "owner of the directory" "$(owner made)" "$expected"
    assert_equal "owner of the file" "$(owner made/file)" "$expected"
    assert_equal mode "$(stat -c %a made/file)" 640
}

for_users() {
    local user
    for user in root app 1234 1234:4321; do
        writes "$1" --user "$user"
    done
}

@test "files belong to the caller, whatever the user inside" {
    mine() { for_users "$(caller_name):$(caller_name)"; }
    each_caller mine
}

@test "when root calls, files belong to the owner of the working directory" {
    others() {
        chown stepcell-plain: "$WORK"
        for_users stepcell-plain:stepcell-plain
        chown 4242:4343 "$WORK"
        rm -rf made
        run -0 cell --user app -- touch numeric
        assert_equal owner "$(stat -c %u:%g numeric)" 4242:4343
    }
    as_caller others
}

@test "the user of the image decides who runs" {
    configured() {
        local pair
        for pair in user-app:1000 user-tools:1000 user-numeric:1234 latest:0; do
            IMAGE=oci:$IMAGES/busybox:${pair%:*}
            run -0 cell -- id -u
            assert_equal uid "$output" "${pair#*:}"
        done
        IMAGE=oci:$IMAGES/busybox:user-app
        writes "$(caller_name):$(caller_name)"
        run -0 cell -- sh -c 'cd && pwd && touch here && echo $USER'
        assert_match "$output" "/home/app*"
    }
    each_caller configured
}

@test "a user that the image does not know is refused" {
    unknown() {
        local tag
        for tag in user-unknown user-huge; do
            IMAGE=oci:$IMAGES/busybox:$tag
            run --separate-stderr cell -- true
            assert_equal status "$status" 125
            assert_equal code "$(result_field .error.code)" user.unknown
        done
    }
    each_caller unknown
}

@test "existing files of the caller can be read and changed" {
    existing() {
        as sh -c 'umask 077; echo old >private; mkdir d; echo x >d/f'
        run -0 cell --user app -- sh -c 'cat private; echo new >private; rm -r d'
        assert_equal output "$output" old
        assert_equal private "$(cat private)" new
        [ ! -e d ]
        assert_equal owner "$(owner private)" "$(caller_name):$(caller_name)"
    }
    each_caller existing
}

@test "inside, the working directory belongs to the step's own user" {
    inside() {
        local user
        for user in 0 1000 1234; do
            run -0 cell --user $user -- stat -c %u .
            assert_equal owner "$output" $user
        done
    }
    each_caller inside
}

@test "every user has a writable home and a passwd entry" {
    home() {
        local user
        for user in root app 4711; do
            run -0 cell --user $user -- sh -c 'touch "$HOME/x" && whoami'
            [ -n "$output" ]
        done
    }
    each_caller home
}

@test "su to another user works where there are other ids" {
    other() {
        run -0 cell --user root -- su app -c 'id -u; touch /tmp/mine; stat -c %u /tmp/mine'
        assert_equal output "$output" $'1000\n1000'
    }
    CALLER=root as_caller other
    CALLER=ranges as_caller other
}

@test "an archive with foreign owners can be unpacked as root, and all of it is the caller's" {
    archive() {
        mkdir "$TEST_DIR/foreign"
        echo x >"$TEST_DIR/foreign/file"
        tar -C "$TEST_DIR/foreign" --owner=1234 --group=4321 -cf foreign.tar file
        rm -r "$TEST_DIR/foreign"
        chmod 0644 foreign.tar
        run -0 cell -- tar -xf foreign.tar
        assert_equal owner "$(owner file)" "$(caller_name):$(caller_name)"
    }
    each_caller archive
}

@test "packages that a step may write follow the same rule" {
    package() {
        as mkdir ../package
        run -0 cell --user app --package-rw ../package -- touch ../package/made
        assert_equal owner "$(owner ../package/made)" "$(caller_name):$(caller_name)"
    }
    each_caller package
}

@test "nothing of another owner is left in the store's scratch" {
    scratch() {
        run -0 cell -- sh -c 'mkdir -p /a/b && chown 12:34 /a/b 2>/dev/null; mkdir -m 000 /a/c; :'
        assert_equal scratch "$(written_to_scratch "$TEST_DIR/store/$CALLER")" ""
    }
    each_caller scratch
}

@test "a deep tree is given back to its end" {
    depth() {
        run -0 cell -- sh -c 'i=0; while [ $i -lt 400 ]; do mkdir d && cd d || exit; i=$((i + 1)); done
            touch deep; chown 12:34 deep 2>/dev/null; :'
        assert_equal owner "$(find . -name deep -printf '%u:%g\n')" "$(caller_name):$(caller_name)"
        rm -rf d
    }
    each_caller depth
}
