# Working directories and packages on file systems other than a disk's: what has no idmapped mounts
# (FUSE, overlayfs) keeps the promise of ownership for ordinary callers, and is refused by name where
# root calls and something could be written. Everything is mounted in a namespace of the test's own.

load ../lib/common
load ../lib/mounts
load ../lib/steps

setup_file() { make_deaf_fs; }
setup() { open_mounts; }
teardown() { close_mounts; }

# mine FILE...: all of them belong to the caller
mine() {
    local file
    for file; do
        assert_equal "owner of $file" "$(owner "$file")" "$(caller_name):$(caller_name)"
    done
}

@test "an ordinary user's own FUSE mount is a working directory like any other, whoever the step is" {
    own() {
        local sharing user
        for sharing in --no-allow-other ''; do
            # shellcheck disable=SC2086 # no option is no word
            fuse "$WORK/../under" "$WORK" $sharing
            for user in root app 4711 1234:4321; do
                run -0 cell --user "$user" -- sh -c 'umask 077; pwd; echo x >"$1"; mkdir "d$1"; ln -s x "l$1"
                    cat "$1"' sh "made-$user"
                assert_equal output "$output" "$WORK"$'\n'x
                mine ../under/{,d,l}"made-$user"
            done
            no_fuse "$WORK"
            as sh -c 'rm -r ../under/*'
        done
    }
    CALLERS="ranges plain" each_caller own
}

@test "packages and volumes on an ordinary user's own FUSE mount keep their modes" {
    packages() {
        local user
        fuse "$WORK/../under" "${WORK%/*}/shown" --no-allow-other
        as sh -c 'umask 077; echo content >../under/file; mkdir ../under/sub'
        for user in root app; do
            run -0 cell --user $user --package ../shown -- \
                sh -c 'cat "$1/file"; touch "$1/no" 2>/dev/null || echo read-only' sh "${WORK%/*}/shown"
            assert_equal output "$output" $'content\nread-only'
            run -0 cell --user $user --package-rw ../shown -- touch "${WORK%/*}/shown/rw-$user"
            mine "../under/rw-$user"
            run -0 cell --user $user --package-cow ../shown -- \
                sh -c 'cd "$1"; echo more >>file; cat file; touch new' sh "${WORK%/*}/shown"
            assert_equal output "$output" $'content\nmore'
            assert_equal file "$(cat ../under/file)" content
            [ ! -e ../under/new ]
            run -0 cell --user $user -v "${WORK%/*}/shown:/data" -v "${WORK%/*}/shown/file:/one/file:ro" -- \
                sh -c 'cat /one/file; touch /data/volume'
            assert_equal output "$output" content
            mine ../under/volume
        done
        # A package below the mount, which only its owner can pass through.
        run -0 cell --workdir "${WORK%/*}/shown" --user app --package "${WORK%/*}/shown/sub" -- \
            sh -c 'touch yes; touch sub/no 2>/dev/null || echo read-only'
        assert_equal output "$output" read-only
        mine ../under/yes
        no_fuse "${WORK%/*}/shown"
    }
    CALLERS="ranges plain" each_caller packages
}

@test "a FUSE mount below an ordinary user's working directory is there, and can be written to" {
    nested() {
        local user sharing
        for sharing in --no-allow-other ''; do
            # shellcheck disable=SC2086 # no option is no word
            fuse "$WORK/../under" "$WORK/below" $sharing
            as sh -c 'echo content >../under/file'
            for user in root app; do
                run -0 cell --user $user -- sh -c 'cat below/file; touch below/new beside'
                assert_equal output "$output" content
                mine ../under/new beside
            done
            no_fuse "$WORK/below"
        done
    }
    CALLERS="ranges plain" each_caller nested
}

# refused NAME PATTERN OPTION...: mount.denied, with the mount named, and nothing was started
refused() {
    local name=$1 pattern=$2
    shift 2
    run --separate-stderr cell "$@" -- touch started
    assert_refused mount.denied
    assert_match "$stderr" "*'$name'*$pattern*"
    assert_match "$stderr" "*hint: *"
    [ ! -e started ]
}

@test "when root calls, what cannot be idmapped and could be written is refused, and the mount is named" {
    writable() {
        local shown=${WORK%/*}/shown option
        fuse "$WORK/../under" "$shown"
        as sh -c 'echo content >../under/file; mkdir ../under/sub'
        refused "$shown" "fuse, mounted at '$shown'" --workdir "$shown"
        refused "$shown/sub" "fuse, mounted at '$shown'" --workdir "$shown/sub"
        for option in --package-rw --package-cow; do
            refused "$shown" "mounted at '$shown'" $option "$shown"
        done
        refused "$shown" "mounted at '$shown'" --volume "$shown:/data"
        no_fuse "$shown"
        fuse "$WORK/../under" "$WORK/be low"
        refused "$WORK/be low" "mounted below '$WORK'*fuse)"
        no_fuse "$WORK/be low"
        assert_equal under "$(ls ../under)" $'file\nsub'
        # overlayfs, as inside another container
        as mkdir ../upper ../work-of ../merged
        in_mounts mount -t overlay overlay \
            -o "lowerdir=$WORK/../under,upperdir=$WORK/../upper,workdir=$WORK/../work-of" "$WORK/../merged"
        refused "${WORK%/*}/merged" "overlay, mounted at '*" --workdir "${WORK%/*}/merged"
        run -0 cell --package ../merged -- cat "${WORK%/*}/merged/file"
        assert_equal output "$output" content
        in_mounts umount "$WORK/../merged"
        rm -rf ../work-of
    }
    as_caller writable
}

@test "somebody else's FUSE mount without allow_other is refused, even when root calls, and says why" {
    elses() {
        local shown=${WORK%/*}/shown mounter=plain
        [ "$CALLER" != plain ] || mounter=ranges
        chmod 0777 "${WORK%/*}"
        CALLER=$mounter fuse "${WORK%/*}/under" "$shown" --no-allow-other
        run --separate-stderr cell --workdir "$shown" -- true
        assert_refused workdir.missing
        assert_match "$stderr" "*'$shown'*hint: *allow_other*"
        run --separate-stderr cell --package "$shown" -- true
        assert_refused mount.source-missing
        assert_match "$stderr" "*'$shown'*hint: *allow_other*"
        no_fuse "$shown"
    }
    each_caller elses
}

@test "when root calls, a package that cannot be idmapped is read as others may" {
    readable() {
        local shown=${WORK%/*}/shown user
        fuse "$WORK/../under" "$shown"
        as sh -c 'echo content >../under/file; echo secret >../under/private; chmod 600 ../under/private'
        for user in root app; do
            run -0 cell --user $user --package "$shown" -- sh -c 'cd "$1"; cat file; stat -c %u file
                cat private 2>/dev/null || echo private; touch no 2>/dev/null || echo read-only' sh "$shown"
            assert_equal output "$output" $'content\n65534\nprivate\nread-only'
        done
        run -0 cell --volume "$shown/file:/one/file:ro" -- cat /one/file
        assert_equal output "$output" content
        refused "$shown/private" "mode of '$shown/private'" --volume "$shown/private:/one/file:ro"
        as chmod 700 "$shown"
        refused "$shown" "mode of '$shown'" --package "$shown"
        no_fuse "$shown"
        as chmod 755 ../under
        fuse "$WORK/../under" "$shown" --no-allow-other
        refused "$shown" "allow_other" --package "$shown"
        no_fuse "$shown"
        # Below a package
        as mkdir -p ../package
        as sh -c 'echo beside >../package/file'
        fuse "$WORK/../under" "${WORK%/*}/package/below"
        run -0 cell --package ../package -- sh -c 'cat "$1/file" "$1/below/file"' sh "${WORK%/*}/package"
        assert_equal output "$output" $'beside\ncontent'
        no_fuse "${WORK%/*}/package/below"
    }
    as_caller readable
}

@test "a disk, a RAM disk and a read-only file system are working directories for every caller" {
    others() {
        local here=${WORK%/*} user
        in_mounts mount -t tmpfs -o "mode=755,uid=$(id -u "$(caller_name)"),gid=$(id -g "$(caller_name)")" \
            tmpfs "$WORK"
        for user in root app 4711; do
            run -0 cell --user $user -- sh -c 'touch made && stat -c %U made'
            assert_equal owner "$(in_mounts stat -c %U:%G "$WORK/made")" "$(caller_name):$(caller_name)"
        done
        # Flags that an ordinary user cannot take away are no hindrance.
        in_mounts mount -o remount,ro,nosuid,nodev,noexec "$WORK"
        run -0 --separate-stderr cell --user app -- sh -c 'ls; touch no 2>/dev/null || echo read-only'
        assert_equal output "$output" $'made\nread-only'
        in_mounts umount "$WORK"
        cd "$here"
    }
    each_caller others
}

@test "a loop mount of ext4, xfs or btrfs is a working directory for every caller" {
    disk() {
        local type image=${WORK%/*}/image
        for type in ext4 xfs btrfs; do
            truncate -s 320M "$image"
            "mkfs.$type" -q "$image"
            in_mounts mount -o loop "$image" "$WORK"
            in_mounts chown "$(caller_name):" "$WORK"
            run -0 cell --user app -- sh -c 'touch made; ln made linked; mkdir sub; mv sub moved'
            for name in made linked moved; do
                assert_equal "$name on $type" "$(in_mounts stat -c %U:%G "$WORK/$name")" \
                    "$(caller_name):$(caller_name)"
            done
            in_mounts umount "$WORK"
            rm "$image"
        done
    }
    each_caller disk
}

@test "what a step leaves is given back past mounts below that answer nobody, or not at all" {
    past() {
        local server
        in_mounts mkdir "${WORK%/*}/roots" "$WORK/theirs"
        in_mounts bindfs --no-allow-other "${WORK%/*}/roots" "$WORK/theirs"
        fuse "$WORK/../under" "$WORK/mine" --no-allow-other
        server=$(pgrep -n -x bindfs)
        run -0 cell -- sh -c 'touch mine/new made; chown 12:34 made mine/new 2>/dev/null; :'
        mine made ../under/new
        # A server that hangs, one that has died.
        kill -STOP "$server"
        run -0 as timeout 30 "$STEPCELL" run --workdir "$WORK" "$IMAGE" touch past
        kill -KILL "$server"
        run -0 cell -- touch after
        mine past after
        in_mounts umount --lazy "$WORK/mine"
        no_fuse "$WORK/theirs"
    }
    CALLERS="ranges plain" each_caller past
}

@test "a source whose server hangs does not make stepcell deaf" {
    hung() {
        local server pid status=0 option
        run -0 cell -- true # the image is there
        fuse "${WORK%/*}/under" "${WORK%/*}/hangs" --no-allow-other -o attr_timeout=0,entry_timeout=0
        server=$(pgrep -n -x bindfs)
        kill -STOP "$server"
        for option in --package --workdir; do
            as "$STEPCELL" run --result "$RESULT" "$option" "${WORK%/*}/hangs" "$IMAGE" true 3>&- &
            pid=$!
            sleep 0.5
            # The outer shell waits for stepcell, which is asked.
            pkill -TERM -P "$pid" -x stepcell || kill -TERM "$pid"
            status=0
            wait "$pid" || status=$?
            assert_equal status $status 143
            assert_equal outcome "$(result_field .outcome)" canceled
        done
        kill -KILL "$server"
        in_mounts umount --lazy "${WORK%/*}/hangs"
    }
    each_caller hung
}

# in_time SECONDS COMMAND...: it takes no longer
in_time() {
    local limit=$1 start=$SECONDS
    shift
    "$@"
    [ $((SECONDS - start)) -le "$limit" ] || {
        echo "took $((SECONDS - start)) seconds instead of $limit"
        return 1
    }
}

# left PATTERN: the result names it as left behind, and says that the clean-up is not verified
left() {
    assert_match "$(result_field '.cleanup.left | join("\n")')" "$1"
    assert_equal verified "$(result_field .cleanup.verified)" false
}

# is_let_go: what was left behind ends by itself, and the next step removes the rest
is_let_go() {
    wait_for no_process_in_cells
    run -0 cell -- true
    assert_equal verified "$(result_field .cleanup.verified)" true
}

# But for the test's own, which holds the namespace with its /dev/fuse
no_process_in_cells() { [ -z "$(processes_in_cells | grep -vF "(process $MOUNTS)")" ]; }

# options of a deaf file system that every caller may have as a package
deaf_options() { [ "$CALLER" != root ] || echo "-o allow_other"; }

@test "a step that the kernel does not let end is given up after its timeout, and named" {
    stuck() {
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        in_time 25 run cell --timeout 1s --grace 1s --package "${WORK%/*}/deaf" -- \
            sh -c 'dd if="$1/file"' sh "${WORK%/*}/deaf"
        assert_equal status "$status" 124
        assert_equal outcome "$(result_field .outcome)" timed-out
        left "*process [0-9]* (dd)*/cells/*"
        assert_match "$output" "*does not let processes of the step end*"
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    CALLERS="root plain" each_caller stuck
}

@test "later steps do not wait for the cgroups of one that does not end" {
    later() {
        run -0 cell -- true # the image is there
        deaf "${WORK%/*}/deaf" -o allow_other
        in_time 25 run cell --timeout 1s --grace 0 --pids-limit 20 --package "${WORK%/*}/deaf" -- \
            dd if="${WORK%/*}/deaf/file"
        left "*/stepcell-*process [0-9]* (dd)*"
        in_time 3 run -0 cell -- true
        in_time 3 run -0 cell -- true
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    as_caller later
}

@test "a status that is known counts, whatever the step has left in the hands of a hung server" {
    known() {
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        # Its time is up while its end is waited for, which is no matter any more.
        in_time 25 run cell --timeout 3s --package "${WORK%/*}/deaf" -- \
            sh -c 'dd if="$1/file" & sleep 0.5; exit 7' sh "${WORK%/*}/deaf"
        assert_equal status "$status" 7
        assert_equal outcome "$(result_field .outcome)" exited
        left "*process [0-9]* (dd)*"
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    CALLERS="ranges" each_caller known
}

# signalled TIMES COMMAND...: its status, after so many SIGTERM
signalled() {
    local times=$1 pid status=0
    shift
    "$@" 3>&- &
    pid=$!
    sleep 1
    for ((; times > 0; times--)); do
        # The outer shell waits for stepcell, which is asked.
        pkill -TERM -P "$pid" -x stepcell || kill -TERM "$pid" 2>/dev/null || true
        sleep 0.5
    done
    wait "$pid" || status=$?
    return $status
}

@test "who asks three times does not wait for a step that the kernel does not let end" {
    asked() {
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        in_time 8 run signalled 3 as "$STEPCELL" run --result "$RESULT" --package "${WORK%/*}/deaf" "$IMAGE" \
            dd if="${WORK%/*}/deaf/file"
        assert_equal status "$status" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        left "*process [0-9]* (dd)*"
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    CALLERS="root ranges" each_caller asked
}

@test "a script whose server does not answer makes stepcell deaf to nobody" {
    script() {
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        in_time 5 run signalled 1 as "$STEPCELL" run --result "$RESULT" --script "${WORK%/*}/deaf/file" "$IMAGE"
        assert_equal status "$status" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        end_deaf "${WORK%/*}/deaf"
    }
    each_caller script
}

quietly() { "$@" >/dev/null 2>&1; }

@test "an image whose server does not answer holds nobody who asks twice" {
    image() {
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        # What waits there has the caller's standard error, and would hold who reads it to its end.
        in_time 5 run quietly signalled 2 as "$STEPCELL" run --result "$RESULT" \
            "docker-archive:${WORK%/*}/deaf/file" true
        assert_equal status "$status" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        end_deaf "${WORK%/*}/deaf"
        wait_for no_process_in_cells
    }
    each_caller image
}

@test "a server below the working directory that does not answer at the end is given up, and named" {
    walk() {
        run -0 cell -- true # the image is there
        as mkdir there
        cell -- sh -c 'touch made; chown 12 made; touch started; while [ ! -e go ]; do sleep 0.1; done' &
        wait_for test -e started
        CALLER=root deaf "$WORK/there" -o allow_other
        as touch go
        in_time 30 wait $!
        assert_equal left "$(result_field '.cleanup.left[]')" "files of other owners below the working directory"
        rm go started
        # Or at once, for who does not want to wait.
        end_deaf "$WORK/there"
        cell -- sh -c 'touch started; while [ ! -e go ]; do sleep 0.1; done' 3>&- &
        wait_for test -e started
        CALLER=root deaf "$WORK/there" -o allow_other
        as touch go
        sleep 1
        pkill -TERM -P $! -x stepcell
        in_time 3 wait $!
        assert_equal left "$(result_field '.cleanup.left[]')" "files of other owners below the working directory"
        end_deaf "$WORK/there"
        is_let_go
        mine made
    }
    CALLERS="root ranges" each_caller walk
}

@test "a directory of a killed stepcell whose server does not answer holds one process, whoever calls" {
    held() {
        local processes
        run -0 cell -- true # the image is there
        as mkdir there ../elsewhere
        cell -- sh -c 'touch made; chown 12 made; touch started; sleep 100' 3>&- &
        wait_for test -e started
        CALLER=root deaf "$WORK/there" -o allow_other
        pkill -KILL -P $! -x stepcell || kill -KILL $!
        wait $! || true
        for _ in 1 2 3; do
            WORK=$WORK/../elsewhere in_time 10 cell -- true
        done
        processes=$(pgrep -c -x stepcell-tidy)
        end_deaf "$WORK/there"
        assert_equal processes "$processes" 1
        is_let_go
        WORK=$WORK/../elsewhere cell -- true
        mine made
    }
    CALLERS="root ranges" each_caller held
}

@test "nobody waits for a tree without an end that a step has made in its root" {
    deep() {
        local stepcell
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2016 # the inner shell expands it
        cell -- sh -c 'cd /tmp; p=$(printf "d/%.0s" $(seq 500)); mkdir n0
            for i in $(seq 40); do mkdir -p "n$i/$p"; mv "n$((i - 1))" "n$i/$p"; done; touch "$0"' \
            "$WORK/made" 3>&- &
        wait_for test -e made
        # Held, so that it does not matter how fast this disk is.
        stepcell=$(pgrep -P $! -x stepcell)
        until pkill -STOP -P "$stepcell" -x stepcell-tidy; do kill -0 "$stepcell"; done
        kill -TERM "$stepcell"
        in_time 2 wait $!
        assert_equal outcome "$(result_field .outcome)" exited
        left "*/cells/*"
        # Each call removes a part.
        for _ in 1 2 3 4 5 6 7 8; do
            run -0 cell -- true
        done
        assert_equal "left in the scratch" "$(written_to_scratch "$TEST_DIR/store/$CALLER")" ""
    }
    CALLERS="root ranges" each_caller deep
}

@test "a step that cannot be set up says why, whatever else fails at the same moment" {
    cause() {
        local device
        run -0 cell -- true # the image is there
        # A host without /dev/full, and one on which the ids are set slowly and in vain.
        in_mounts mount -t tmpfs dev /mnt
        for device in null zero random urandom tty fuse; do
            in_mounts touch "/mnt/$device"
            in_mounts mount --bind "/dev/$device" "/mnt/$device"
        done
        in_mounts mount --move /mnt /dev
        printf '#!/bin/sh\nsleep 0.3\nexit 1\n' >"${WORK%/*}/newuidmap"
        chmod 755 "${WORK%/*}/newuidmap"
        in_mounts mount --bind "${WORK%/*}/newuidmap" /usr/bin/newuidmap
        for _ in 1 2 3 4 5; do
            run --separate-stderr cell -- true
            assert_equal status "$status" 125
            assert_match "$stderr" "*'/dev/full'*"
        done
        in_mounts umount /usr/bin/newuidmap
        in_mounts umount --lazy /dev
    }
    each_caller cause
}

@test "a recovery waits for the first process of the cell, and names it when that does not end" {
    deaf_leader() {
        local leader start=$SECONDS
        run -0 cell -- true # the image is there
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        new_id
        stepcell start --id "$ID" --workdir "$WORK" --package "${WORK%/*}/deaf" "$IMAGE" -- \
            sh -c 'touch started; dd if="$1/file"' sh "${WORK%/*}/deaf"
        wait_for test -e started
        sleep 0.5
        leader=$(jq -r 'select(.record == "started") | .pid' "$(step_dir)/ledger")
        [ -d "/proc/$leader" ]
        kill -KILL "$(supervisor)"
        run stepcell wait --id "$ID" --result "$RESULT"
        assert_equal status "$status" 125
        [ $((SECONDS - start)) -ge 10 ]
        assert_equal outcome "$(result_field .outcome)" unknown
        assert_equal verified "$(result_field .cleanup.verified)" false
        assert_match "$(result_field '.cleanup.left[]')" "*process $leader, the first one of the cell*"
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    CALLERS="root plain" each_caller deaf_leader
}

@test "who settles a step is not taken for its supervisor: a cancellation is not for it" {
    innocent() {
        local settler
        run -0 cell -- true
        # shellcheck disable=SC2046 # no option is no word
        deaf "${WORK%/*}/deaf" $(deaf_options)
        new_id
        stepcell start --id "$ID" --workdir "$WORK" --package "${WORK%/*}/deaf" "$IMAGE" -- \
            sh -c 'touch started; dd if="$1/file"' sh "${WORK%/*}/deaf"
        wait_for test -e started
        sleep 0.5
        kill -KILL "$(supervisor)"
        as timeout -k 5 30 "$STEPCELL" status --id "$ID" >../settled 3>&- &
        settler=$!
        sleep 1
        # It has the lock for ten seconds, in which nobody can reach the supervisor that is gone.
        run -125 stepcell cancel --id "$ID"
        ended "$settler"
        assert_equal status "$status" 0
        assert_equal settled "$(cat ../settled)" "finished unknown 125"
        end_deaf "${WORK%/*}/deaf"
        is_let_go
    }
    as_caller innocent
}
