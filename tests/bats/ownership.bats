# Whose files a step creates: always the caller's; when root calls, the working directory's owner's.

load ../lib/common
. "$TESTS/lib/images.bash"

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

# What a step reports of itself in the matrix, and what it leaves.
MATRIX_STEP='
    set -e
    test "$(id -u):$(id -g):$(id -G):$(whoami)" = "$1" || { id; whoami; exit 1; }
    test -d "$HOME" && test "$HOME" != / && touch "$HOME/here" && test "$(cd && pwd)" = "$HOME"
    rm -rf made && mkdir made && cd made
    echo x >file && mkdir -p dir/deep && echo x >dir/deep/file && ln -s nowhere link && mkfifo fifo
    echo x >old && mv old renamed && echo x >chmodded && chmod 0751 chmodded && ln file hard
    mkdir olddir && mv olddir newdir && chmod 2775 newdir'

# runs_as USER UID GID GROUPS NAME: in $WORK, and everything that it left belongs to $OWNER
runs_as() {
    local user=$1 wrong
    [ "$CALLER" != plain ] || [ "$user" = app:tools ] || set -- "$1" "$2" "$3" "$3" "$5"
    [ -z "$user" ] || set -- "$@" --user "$user"
    echo "user '$user' of $CALLER in $WORK"
    run -0 cell "${@:6}" -- sh -c "$MATRIX_STEP" sh "$2:$3:$4:$5"
    wrong=$(find "$WORK/made" ! -user "${OWNER%:*}" -o ! -group "${OWNER#*:}")
    assert_equal "what belongs to others" "$wrong" ""
    assert_equal "number of files" "$(find "$WORK/made" | wc -l)" 11
    assert_equal mode "$(stat -c %a "$WORK/made/chmodded")" 751
    rm -rf "$WORK/made"
}

# every_user: of the kinds that there are, with what `id` says then
every_user() {
    runs_as '' 0 0 0 root
    runs_as root 0 0 0 root
    runs_as app 1000 1000 '1000 20' app
    runs_as 1000 1000 1000 '1000 20' app
    runs_as app:tools 1000 20 20 app
    runs_as 4711 4711 0 0 step
    runs_as 4711:tools 4711 20 20 step
    runs_as 1234:4321 1234 4321 4321 step
    runs_as 60000 60000 0 0 step
    runs_as 1000650000 1000650000 0 0 step
    runs_as 2147483647:2000000 2147483647 2000000 2000000 step
}

@test "every kind of user in the caller's own directory, also below somebody else's" {
    own() {
        OWNER=$(caller_name):$(caller_name)
        every_user
        chown 4242:4343 "${WORK%/*}"
        # The result lies there as well.
        chmod 0777 "${WORK%/*}"
        every_user
    }
    each_caller own
}

@test "every kind of user in an ordinary user's directory when root calls" {
    others() {
        OWNER=stepcell-plain:stepcell-ranges
        chown $OWNER "$WORK"
        chmod 0700 "$WORK"
        every_user
    }
    as_caller others
}

@test "every kind of user in a directory of root's that an ordinary caller may write to" {
    roots() {
        OWNER=$(caller_name):$(caller_name)
        chown root:root "$WORK"
        chmod 0777 "$WORK"
        every_user
        chown "root:$(caller_name)" "$WORK"
        chmod 0775 "$WORK"
        every_user
        # As always in a directory with the bit, the group is the directory's.
        chmod 2775 "$WORK"
        run -0 cell --user app -- touch made
        assert_equal owner "$(owner made)" "$OWNER"
    }
    CALLERS="ranges plain" each_caller roots
}

@test "a directory that the caller may not write to stays as it is" {
    closed() {
        local user
        chown 4242:4343 "$WORK"
        for user in root app; do
            run cell --user $user -- touch made
            [ "$status" -ne 0 ]
            run cell --user $user -- chmod 0777 .
            [ "$status" -ne 0 ]
            run cell --user $user -- chown 0 .
            [ "$status" -ne 0 ]
        done
        assert_equal directory "$(stat -c %u:%g:%a .) $(ls)" "4242:4343:755 "
    }
    CALLERS="ranges plain" each_caller closed
}

@test "every user has a writable home and a passwd entry" {
    home() {
        local user
        for user in root app 4711 60000; do
            run -0 cell --user $user -- sh -c 'touch "$HOME/x" && whoami'
            [ -n "$output" ]
            run -0 cell --user $user --env HOME=/my/own -- sh -c 'echo "$HOME"'
            assert_equal HOME "$output" /my/own
        done
    }
    each_caller home
}

# homes_image: users with every kind of home, in oci:$IMAGES/homes:latest
homes_image() (
    root=$BATS_TEST_TMPDIR/root layout=$IMAGES/homes
    [ ! -d "$layout" ] || return 0
    mkdir -p "$root"/{bin,etc,home/other,home/closed,home/mine}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in sh id whoami touch cat rm mkdir; do ln -s busybox "$root/bin/$name"; done
    echo x >"$root/home/file"
    ln -s /nowhere "$root/home/dangling"
    ln -s ../home/mine "$root/home/linked"
    ln -s loop "$root/home/loop"
    ln -s ../../../../../../tmp "$root/home/escape"
    # The last line has no newline.
    printf '%s\n' root:x:0:0:root:/:/bin/sh gone:x:2001:2001::/home/gone/deep:/bin/sh \
        file:x:2002:2002::/home/file:/bin/sh dangling:x:2003:2003::/home/dangling:/bin/sh \
        other:x:2004:2004::/home/other:/bin/sh slash:x:2005:2005::/:/bin/sh \
        slashes:x:2006:2006:://.//:/bin/sh mine:x:2007:2007::/home/linked:/bin/sh \
        loop:x:2008:2008::/home/loop:/bin/sh relative:x:2009:2009::home/mine:/bin/sh \
        proc:x:2010:2010::/proc/none:/bin/sh empty:x:2011:2011:::/bin/sh \
        below:x:2012:2012::/home/file/below:/bin/sh closed:x:2013:2013::/home/closed:/bin/sh |
        head -c -1 >"$root/etc/passwd"
    chmod 0444 "$root/etc/passwd"
    chmod 0555 "$root/etc"
    chown -R 0:0 "$root"
    chown 2007:2007 "$root/home/mine"
    chown 2013:2013 "$root/home/closed"
    chmod 0555 "$root/home/closed" "$root/home/other"
    new_layout "$layout"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" latest
    put_image "$layout" '{"config":{"Env":["HOME=relative"]}}' "$BATS_TEST_TMPDIR/homes.tar" |
        name_image "$layout" relative
    put_image "$layout" '{"config":{"Env":["HOME="]}}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" empty
    put_image "$layout" '{"config":{"Env":["HOME=/a:b\n"]}}' "$BATS_TEST_TMPDIR/homes.tar" |
        name_image "$layout" strange
    put_image "$layout" '{"config":{"Env":["HOME=/home/given"]}}' "$BATS_TEST_TMPDIR/homes.tar" |
        name_image "$layout" given
    # Without /etc; with something else than a file in the place of passwd; with no room for a home.
    rm -rf "${root:?}/etc"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" no-etc
    mkdir -p "$root/etc/passwd"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" directory
    rm -r "$root/etc/passwd"
    ln -s /dev/null "$root/etc/passwd"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" device
    ln -sf ../usr/passwd "$root/etc/passwd"
    mkdir "$root/usr"
    echo root:x:0:0:root:/:/bin/sh >"$root/usr/passwd"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" link
    echo x >"$root/home/step"
    mkdir -p "$root/run/stepcell"
    echo x >"$root/run/stepcell/home"
    tar -C "$root" --numeric-owner -cf "$BATS_TEST_TMPDIR/homes.tar" .
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR/homes.tar" | name_image "$layout" no-room
    chmod -R a+rX "$layout"
)

# has_home TAG USER HOME NAME [OPTION...]: HOME is that and can be written to, and passwd knows the user
has_home() {
    echo "user $2 of homes:$1 for $CALLER"
    IMAGE=oci:$IMAGES/homes:$1
    run -0 cell --user "$2" "${@:5}" -- sh -c 'echo "$HOME"; whoami 2>/dev/null; touch "$HOME/x" || echo not writable'
    assert_equal "HOME and name" "$output" "$3${4:+$'\n'$4}"
}

@test "a home exists and is writable whatever the image has there, and the same for every caller" {
    homes_image
    homes() {
        local user
        has_home latest root / root
        has_home latest gone /home/gone/deep gone
        has_home latest mine /home/linked mine
        for user in file dangling slash slashes loop relative proc empty below closed other; do
            has_home latest $user /home/step $user
        done
        has_home latest 4711 /home/step step
        has_home given 4711 /home/given step
        for user in relative empty strange; do
            has_home $user 4711 /home/step step
        done
        for user in no-etc link; do
            has_home $user 4711 /home/step step
            has_home $user 0 /root root
        done
        has_home directory 4711 /home/step ''
        has_home device 4711 /home/step ''
    }
    each_caller homes
}

@test "a mount over the home takes it only when the user can write there" {
    homes_image
    mounted() {
        as mkdir -p ../volume/given ../closed
        has_home given 4711 /home/given step --volume "$WORK/../volume:/home"
        assert_equal owner "$(owner ../volume/given/x)" "$(caller_name):$(caller_name)"
        has_home given 4711 /run/stepcell/home step --volume "$WORK/../closed:/home"
        has_home given 4711 /run/stepcell/home step --volume "$WORK/../volume:/home:ro"
        assert_equal closed "$(ls ../closed)" ""
    }
    each_caller mounted
}

@test "with --read-only the home can be written to, nothing beside it, and what the image has there stays" {
    homes_image
    closed() {
        local user
        for user in root gone mine; do
            IMAGE=oci:$IMAGES/homes:latest
            run -0 cell --user $user --read-only -- sh -c 'echo "$HOME"; touch "$HOME/x" && cat /home/file
                for place in / /home /etc /bin /tmp "$HOME/.."; do
                    touch "$place/x" && echo "wrote to $place"
                done 2>/dev/null; :'
            case $user in
            gone) assert_equal home "$output" $'/home/gone/deep\nx' ;;
            mine) assert_equal home "$output" $'/home/linked\nx' ;;
            *) assert_equal home "$output" $'/home/step\nx' ;;
            esac
        done
        IMAGE=oci:$IMAGES/busybox:latest
        run -0 cell --read-only -- sh -c 'cd && pwd && mkdir -p a/b && cat /etc/passwd >a/b/c'
        assert_equal home "$output" /root
        # A mount of the caller's lies in it.
        as sh -c 'mkdir ../inside && echo inside >../inside/file'
        IMAGE=oci:$IMAGES/homes:latest
        run -0 cell --user mine --read-only --volume "$WORK/../inside:/home/mine/in/side:ro" -- \
            sh -c 'touch "$HOME/x" && cat /home/linked/in/side/file; touch /home/mine/in/side/x 2>/dev/null || echo read-only'
        assert_equal output "$output" $'inside\nread-only'
        # What the caller says is not second-guessed.
        run -1 cell --user mine --read-only --env HOME=/home/mine -- sh -c 'touch "$HOME/x"'
    }
    each_caller closed
}

@test "an image that leaves no room for a home is told so" {
    homes_image
    room() {
        IMAGE=oci:$IMAGES/homes:no-room
        run --separate-stderr cell --user 4711 -- true
        assert_refused engine.failed
        assert_match "$stderr" "*home of user 4711*hint: *--env HOME=*"
        run -0 cell --user 4711 --env HOME=/tmp -- sh -c 'touch "$HOME/x"'
    }
    each_caller room
}

# high_image: a user above all ids of a cell with a group that is, too, in oci:$IMAGES/high:latest
high_image() (
    root=$BATS_TEST_TMPDIR/high layout=$IMAGES/high
    [ ! -d "$layout" ] || return 0
    mkdir -p "$root"/{bin,etc,home}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in sh id whoami touch chgrp rm mkdir ls; do ln -s busybox "$root/bin/$name"; done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh high:x:1000650000:2000000::/home/high:/bin/sh >"$root/etc/passwd"
    printf '%s\n' root:x:0: high:x:2000000: more:x:3000000:high >"$root/etc/group"
    new_layout "$layout"
    tar -C "$root" --owner=0 --group=0 -cf "$BATS_TEST_TMPDIR/high.tar" .
    put_image "$layout" '{"config":{"User":"high"}}' "$BATS_TEST_TMPDIR/high.tar" | name_image "$layout" latest
    echo x >"$BATS_TEST_TMPDIR/file"
    tar -C "$BATS_TEST_TMPDIR" --owner=197609 --group=197121 -cf "$BATS_TEST_TMPDIR/file.tar" file
    put_image "$layout" '{}' "$BATS_TEST_TMPDIR"/{high,file}.tar | name_image "$layout" files
    chmod -R a+rX "$layout"
)

@test "a user and groups of any number are a user and groups like others" {
    high_image
    high() {
        local groups=2000000 owner
        owner=$(caller_name):$(caller_name)
        IMAGE=oci:$IMAGES/high:latest
        [ "$CALLER" != root ] || groups='2000000 3000000'
        run -0 cell -- sh -c 'echo "$(id -u):$(id -G) $(whoami) $HOME"; touch "$HOME/x" made
            mkdir dir && { chgrp 3000000 made dir || echo 3000000 does not exist; } 2>/dev/null'
        assert_match "$output" "1000650000:$groups high /home/high*"
        [ "$CALLER" = root ] || assert_match "$output" "*3000000 does not exist"
        assert_equal file "$(owner made)" "$owner"
        assert_equal directory "$(owner dir)" "$owner"
        # What one of them made is another's, and root's of the cell.
        run -0 cell --user 4000000 -- sh -c 'echo x >made && rm -r dir'
        run -0 cell --user 0:5000000 -- sh -c 'id -g; echo x >made && touch mine && chgrp 0 mine made 2>/dev/null; :'
        assert_equal group "$output" 5000000
        assert_equal files "$(owner made) $(owner mine)" "$owner $owner"
    }
    each_caller high
}

@test "files of an image may belong to ids above 65535" {
    high_image
    files() {
        IMAGE=oci:$IMAGES/high:files
        run --separate-stderr cell --user 0:0 -- ls -n /file
        case $CALLER in
        root) assert_match "$output" "*197609 *197121 *" ;;
        ranges)
            assert_refused user.unknown
            assert_match "$stderr" "*'file' belongs to 197609:197121*hint: *subordinate*"
            ;;
        plain) assert_match "$output" "* 0 *0 *" ;;
        esac
    }
    each_caller files
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
    # One in the working directory has its own owner, who is that of what is in it.
    nested() {
        mkdir tools
        chown 4242:4343 tools
        run -0 cell --package-rw tools -- sh -c 'touch made tools/made; chown 5:6 made tools/made'
        assert_equal owners "$(stat -c %u:%g made tools/made | tr '\n' ' ')" "0:0 4242:4343 "
    }
    CALLERS=root as_caller nested
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

@test "the working directory itself is given back, so that the next step has it as well" {
    itself() {
        local before
        before=$(stat -c %U:%G:%a .)
        run -0 cell -- sh -c 'chown 12:34 . && touch made && chown -R 56:78 made'
        assert_equal directory "$(stat -c %U:%G:%a .)" "$before"
        run -0 cell -- sh -c 'stat -c %u:%g . made && chown -R 12:34 . && echo x >made'
        assert_equal output "$output" $'0:0\n0:0'
        assert_equal directory "$(stat -c %U:%G:%a .) $(owner made)" "$before $(caller_name):$(caller_name)"
        run -0 cell -v "$WORK/made:/file" -- chown 12:34 /file
        assert_equal file "$(owner made)" "$(caller_name):$(caller_name)"
    }
    CALLERS="root ranges" each_caller itself
}

@test "whatever a step leaves to other ids is given back, and nothing else" {
    odd() {
        echo x >../theirs
        chown 4242:4343 ../theirs
        ln ../theirs theirs
        as sh -c 'echo x >../mine; ln ../mine mine; ln -s "$PWD/../theirs" there'
        as perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un("socket")) or die'
        run -0 cell -- sh -c '
            touch "new
line" "$(printf "\377\376")" -- "-dash"
            mkdir -p closed/deep && touch closed/deep/file && mkfifo fifo && ln fifo hard && ln -s /etc/passwd link
            chown -h 12:34 -- * closed/deep/file closed/deep 2>/dev/null
            chmod 000 closed/deep closed; :'
        assert_equal "what belongs to others" \
            "$(find . ! -user "$(caller_name)" -o ! -group "$(caller_name)")" ./theirs
        assert_equal number "$(find . -printf x | wc -c)" 14
        assert_equal theirs "$(stat -c %u:%g ../theirs)" 4242:4343
        assert_equal mine "$(owner ../mine)" "$(caller_name):$(caller_name)"
        assert_equal mode "$(stat -c %a closed)" 0
    }
    each_caller odd
}

@test "what a step of root's that was killed has left to other ids is given back by the next" {
    killed() {
        # As the middle of a cell's ids is on the disk, and the first of the step's own above them.
        touch usual high
        chown 2014314596:2014314597 usual
        chown 2016411648:2016411649 high
        run -0 cell -- sh -c 'stat -c %u:%g usual; chown 7 usual; touch made; chown 8:9 made'
        assert_equal inside "$output" 100:101
        assert_equal owners "$(owner usual) $(owner high) $(owner made)" "root:root root:root root:root"
        # The directory itself: then it is whose it is, as of any other owner.
        chown 2016411648:2014314597 .
        run -0 cell --user 1000650000 -- touch theirs
        assert_equal owner "$(stat -c %u:%g theirs)" 2016411648:2014314597
        chown root:root .
    }
    as_caller killed
}

@test "what a step has left to other ids when stepcell was killed is given back by the next call, wherever that has its step" {
    crash() {
        local before
        before=$(stat -c %U:%G:%a .)
        mkdir ../elsewhere ../package
        chown "$(caller_name):" ../elsewhere ../package
        as sh -c 'umask 077; mkdir kept; echo x >kept/mine'
        cell --package-rw "$WORK/../package" -- sh -c 'mkdir d "a
b"; touch d/a; chown -R 5:6 . ../package; chmod 700 d; touch started; sleep 100' 3>&- &
        wait_for test -e started
        pkill -KILL -P $! -x stepcell || kill -KILL $!
        wait $! || true
        [ "$(find . ! -user "$(caller_name)" | wc -l)" -ge 5 ]
        # As somebody else's it is not the cell's, though it lies there.
        chown 4242:4343 kept/mine
        (WORK=$(realpath ../elsewhere) && cd "$WORK" && cell -- true)
        assert_equal verified "$(result_field .cleanup.verified)" true
        assert_equal directory "$(stat -c %U:%G:%a .)" "$before"
        assert_equal "what belongs to others" "$(find . ../package ! -user "$(caller_name)" -o ! -group "$(caller_name)")" ./kept/mine
        assert_equal mode "$(stat -c %a d)" 700
    }
    CALLERS="root ranges" each_caller crash
}

@test "what a killed stepcell has noted is given back before the next step in that directory starts" {
    again() {
        cell -- sh -c 'chown 5:6 .; touch started; sleep 100' 3>&- &
        wait_for test -e started
        pkill -KILL -P $! -x stepcell || kill -KILL $!
        wait $! || true
        run -0 cell -- sh -c 'stat -c %u:%g .; touch made'
        assert_equal inside "$output" 0:0
        assert_equal owners "$(owner .) $(owner made)" "root:root root:root"
    }
    CALLERS=root each_caller again
}

@test "what a killed stepcell has noted counts for the very directory alone, and for its owner of today" {
    crash_there() {
        mkdir -p "$1/work"
        WORK=$1/work cell -- sh -c 'touch made; chown 5:6 made; touch started; sleep 100' 3>&- &
        wait_for test -e "$1/work/started"
        pkill -KILL -P $! -x stepcell || kill -KILL $!
        wait $! || true
    }
    others() {
        local base=$TEST_DIR/others
        crash_there "$base/given"
        chown 4242:4343 "$base/given/work"
        crash_there "$base/moved"
        mv "$base/moved" "$base/theirs"
        ln -s theirs "$base/moved"
        cell -- true
        assert_equal owner "$(stat -c %u:%g "$base/given/work/made")" 4242:4343
        assert_equal left "$(stat -c %u:%g "$base/theirs/work/made")" 2014314501:2014314502
        rm -r "$base"
    }
    CALLERS=root each_caller others
}

@test "tens of thousands of files of other ids are given back" {
    many() {
        run -0 cell -- sh -c 'i=0; while [ $i -lt 30 ]; do mkdir d$i; (cd d$i && touch $(seq 1000)); i=$((i + 1)); done
            chown -R 12:34 .'
        assert_equal "what belongs to others" \
            "$(find . ! -user "$(caller_name)" -o ! -group "$(caller_name)" | head -3)" ""
        assert_equal number "$(find . | wc -l)" 30031
    }
    CALLERS="root ranges" each_caller many
}

@test "what cannot be given back for want of a process is named" {
    starved() {
        cell -- sh -c 'touch made; chown 12 made; touch started; while [ ! -e go ]; do sleep 0.1; done' 3>&- &
        wait_for test -e started
        as prlimit --nproc=0 --pid "$(pgrep -P $! -x stepcell)"
        touch go
        wait $!
        assert_equal verified "$(result_field .cleanup.verified)" false
        assert_match "$(result_field '.cleanup.left | join("\n")')" "*files of other owners*"
        assert_match "$(result_field .error.message)" "cannot clean up*"
        run -0 cell -- true
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    CALLERS=ranges each_caller starved
}

@test "a store that the cell cannot cover is named" {
    closed() {
        mkdir -m 700 closed
        chown stepcell-plain: .
        run --separate-stderr stepcell run --store "$WORK/closed/store" --result "$RESULT" -w "$WORK" "$IMAGE" -- true
        assert_refused mount.denied
        assert_match "$stderr" "*a mount holds the store of stepcell*"
    }
    as_caller closed
}
