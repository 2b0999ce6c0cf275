# Working directories and packages on file systems other than a disk's: what has no idmapped mounts
# (FUSE, overlayfs) keeps the promise of ownership for ordinary callers, and is refused by name where
# root calls and something could be written. Everything is mounted in a namespace of the test's own.

load ../lib/common
load ../lib/mounts

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
        run -0 cell --user app -- sh -c 'ls; touch no 2>/dev/null || echo read-only'
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
