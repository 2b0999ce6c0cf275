# The working directory, packages and other mounts.

load ../lib/common

# package [NAME]: a directory of the caller's with one file in it, beside the working directory
package() {
    PACKAGE=$WORK/../${1:-package}
    as mkdir -p "$PACKAGE"
    PACKAGE=$(realpath "$PACKAGE")
    as sh -c 'echo content >"$1/file"' sh "$PACKAGE"
}

@test "the working directory and packages appear at the same path" {
    same() {
        package
        run -0 cell --package "$PACKAGE" -- sh -c 'pwd; cat "$1/file"; stat -c %d:%i . "$1"' sh "$PACKAGE"
        assert_equal output "$output" "$WORK"$'\n'content$'\n'"$(stat -c %d:%i . "$PACKAGE")"
    }
    each_caller same
}

@test "a path through symbolic links works by both names" {
    links() {
        package 'real package'
        as ln -s "$PACKAGE" ../link
        as ln -s "$WORK" ../cwd
        run -0 cell --workdir "${WORK%/*}/cwd" --package "${WORK%/*}/link" -- sh -c '
            cat "$1/link/file" "$1/real package/file"; touch "$1/work/by-name" "$1/cwd/by-link"; pwd' \
            sh "${WORK%/*}"
        assert_match "$output" $'content\ncontent\n'*
        [ -e by-name ] && [ -e by-link ]
    }
    each_caller links
}

@test "a package is read-only, package-cow writable for the cell alone, package-rw writable" {
    modes() {
        package ro
        package cow
        package rw
        run -0 cell --package ../ro --package-cow ../cow --package-rw ../rw -- sh -c '
            cd ..; for p in ro cow rw; do
                (echo new >$p/file) 2>/dev/null && echo $p yes $(cat $p/file) || echo $p no; rm -f $p/file 2>/dev/null
            done; :'
        assert_equal output "$output" $'ro no\ncow yes new\nrw yes new'
        assert_equal ro "$(cat ../ro/file)" content
        assert_equal cow "$(cat ../cow/file)" content
        [ ! -e ../rw/file ]
    }
    each_caller modes
}

@test "a named package is announced in the environment" {
    named() {
        package
        run -0 cell --package "My.Migrations-1=$PACKAGE" -- sh -c 'echo "$STEPCELL_PACKAGE_MY_MIGRATIONS_1"'
        assert_equal output "$output" "$PACKAGE"
    }
    each_caller named
}

@test "a package inside the working directory keeps its own mode, in either order" {
    nested() {
        as mkdir -p tools/deep
        as sh -c 'echo content >tools/deep/file'
        local order
        for order in "--package $WORK/tools --package-rw $WORK/tools/deep" \
            "--package-rw $WORK/tools/deep --package $WORK/tools"; do
            # shellcheck disable=SC2086 # several words are meant
            run -0 cell $order -- sh -c '
                touch ok; touch tools/no 2>/dev/null || echo tools is read-only; touch tools/deep/yes'
            assert_equal output "$output" "tools is read-only"
            [ -e ok ] && [ -e tools/deep/yes ] && [ ! -e tools/no ]
        done
    }
    each_caller nested
}

@test "a working directory inside a read-only package stays writable" {
    inverse() {
        as mkdir -p sub
        run -0 cell --workdir "$WORK/sub" --package "$WORK" -- sh -c 'touch mine; touch ../no 2>/dev/null || echo no'
        assert_equal output "$output" no
        [ -e sub/mine ]
    }
    each_caller inverse
}

@test "hostile path names are mounted exactly" {
    hostile() {
        local name
        for name in 'with space' "quote'and\"double" $'new\nline' 'colon:comma,equals=' '-dash' \
            $'latin-1 \xe9\xff' 'back\slash' '$HOME `id` *' "$(printf '%0200d' 0)"; do
            package "$name"
            run -0 cell --package "$PACKAGE" -- cat "$PACKAGE/file"
            assert_equal "content in $name" "$output" content
            run -0 stepcell run -w "$PACKAGE" "$IMAGE" sh -c 'pwd >where; cat file'
            assert_equal "content in $name" "$output" content
            assert_equal where "$(cat "$PACKAGE/where")" "$PACKAGE"
        done
    }
    each_caller hostile
}

@test "packages of hostile path names are copy-on-write exactly" {
    hostile_cow() {
        local name
        # What is left of the names where a sign of theirs has a meaning.
        for name in p ps; do
            package "$name"
            as sh -c 'echo decoy >"$1/file"' sh "$PACKAGE"
        done
        for name in 'p,nosuid' 'p,ro,x' 'p\s' 'p:q'; do
            package "$name"
            run -0 cell --package-cow "$PACKAGE" -- sh -c 'cat "$1/file"; echo new >"$1/file"; cat "$1/file"' sh "$PACKAGE"
            assert_equal "content in $name" "$output" $'content\nnew'
            assert_equal "afterwards in $name" "$(cat "$PACKAGE/file")" content
        done
    }
    each_caller hostile_cow
}

@test "what only the caller may read is read by a step of any user" {
    closed() {
        package closed
        as chmod 0700 "$PACKAGE"
        run -0 cell --user 1234:1234 --package "$PACKAGE" -- cat "$PACKAGE/file"
        assert_equal output "$output" content
    }
    each_caller closed
}

@test "a missing source is mount.source-missing, and nothing is created" {
    missing() {
        local option
        for option in --package --package-cow --package-rw; do
            run --separate-stderr cell "$option" "$WORK/../nowhere" -- touch started
            assert_refused mount.source-missing
            assert_match "$stderr" "*nowhere*"
        done
        run --separate-stderr cell --volume "$WORK/../nowhere:/x" -- touch started
        assert_refused mount.source-missing
        run --separate-stderr cell --mount "type=bind,source=$WORK/../nowhere,target=/x" -- touch started
        assert_refused mount.source-missing
        [ ! -e "$WORK/../nowhere" ] && [ ! -e started ]
    }
    each_caller missing
}

@test "the same target twice is mount.conflict unless it is the same mount" {
    conflict() {
        package a
        package b
        run -0 cell --package ../a --package ../a -- true
        run --separate-stderr cell --package ../a --package-rw ../a -- true
        assert_refused mount.conflict
        run --separate-stderr cell -v "$WORK/../a:/x" -v "$WORK/../b:/x" -- true
        assert_refused mount.conflict
        run --separate-stderr cell -v "$WORK/../a:/x" --mount type=tmpfs,target=/x -- true
        assert_refused mount.conflict
    }
    each_caller conflict
}

@test "paths are compared by component" {
    component() {
        as mkdir -p ../space ../spaceship
        run -0 cell --package ../spaceship --package-rw ../space -- sh -c '
            touch ../space/x; touch ../spaceship/x 2>/dev/null || echo read-only'
        assert_equal output "$output" read-only
    }
    as_caller component
}

@test "targets that would break the cell are refused" {
    denied() {
        package
        local target
        for target in / /proc /proc/self /sys /sys/fs /dev /dev/shm /. /tmp/.. /proc/../proc //dev; do
            run --separate-stderr cell -v "$PACKAGE:$target" -- touch started
            assert_refused mount.denied
            [ ! -e started ]
        done
    }
    as_caller denied
    CALLER=plain as_caller denied
}

@test "--device shows a device of the host below /dev" {
    device() {
        run -0 cell --device /dev/random:/dev/deep/er/entropy -- sh -c '
            head -c 8 /dev/deep/er/entropy | wc -c'
        assert_equal output "$output" 8
        local bad
        for bad in "/etc/passwd:/dev/p" "/dev/random:/tmp/r" "/dev/random:/dev/null" "/dev/random:/dev/pts/0" /dev/tty; do
            run --separate-stderr cell --device "$bad" -- touch started
            assert_refused mount.denied
        done
        run --separate-stderr cell --device /dev/random:/dev/r:r -- touch started
        assert_refused option.invalid
        run --separate-stderr cell --device /dev/stepcell-none -- touch started
        assert_refused mount.source-missing
        [ ! -e started ]
    }
    each_caller device
}

@test "a device that only root of the host may open stays closed to the cell's root" {
    closed() {
        run -0 cell --device "$CLOSED:/dev/closed" -- sh -c '
            (: </dev/closed) 2>/dev/null && echo opened
            (: >/dev/closed) 2>/dev/null && echo opened
            stat -c %F /dev/closed'
        assert_equal output "$output" "character special file"
    }
    CLOSED=$(mktemp -d "$TEST_DIR/device.XXXXXX")/closed
    chmod 0755 "${CLOSED%/*}"
    mknod -m 0600 "$CLOSED" c 10 229 # another /dev/fuse: one that containers do not have anyway
    each_caller closed
}

@test "--volume and --mount follow docker's grammar" {
    grammar() {
        package
        run -0 cell -v "$PACKAGE:/a" -v "$PACKAGE:/b:ro" --mount "type=bind,source=$PACKAGE,target=/c,readonly" \
            --mount "type=bind,src=$PACKAGE,dst=/d/e/f" --mount type=tmpfs,target=/t -- sh -c '
            cat /a/file /b/file /c/file /d/e/f/file
            for d in a b c t; do touch /$d/new-$d 2>/dev/null && echo $d; done; :'
        assert_equal output "$output" $'content\ncontent\ncontent\ncontent\na\nt'
        assert_equal files "$(ls "$PACKAGE")" $'file\nnew-a'
        package 'comma,and"quote'
        run -0 cell --mount "type=bind,\"source=${PACKAGE//\"/\"\"}\",target=/x" -- cat /x/file
        assert_equal output "$output" content
    }
    each_caller grammar
}

@test "memory that is mounted over a directory is empty" {
    empty() {
        as mkdir deep
        as touch deep/file
        run -0 cell --tmpfs "$WORK/deep" --tmpfs /etc/memory -- sh -c 'ls -A deep /etc/memory; touch deep/mine'
        assert_equal shown "$output" $'/etc/memory:\n\ndeep:'
        assert_equal host "$(ls deep)" file
    }
    as_caller empty
}

@test "a single file can be mounted" {
    file() {
        package
        run -0 cell -v "$PACKAGE/file:/etc/one-file:ro" -- cat /etc/one-file
        assert_equal output "$output" content
        assert_equal host "$(ls "$PACKAGE")" file
    }
    each_caller file
}

@test "mount points are made in the cell alone, never on the host" {
    untouched() {
        package
        run -0 cell -v "$PACKAGE:/made/for/the/cell" -- test -f /made/for/the/cell/file
        [ ! -e /made ]
        # Inside a mounted directory a mount point would have to be made on the host.
        run --separate-stderr cell -v "$PACKAGE:$WORK/not/there" -- true
        assert_equal status "$status" 125
        assert_match "$(result_field .error.code)" "mount.*"
        [ ! -e not ]
    }
    each_caller untouched
}

@test "a path that the image has as a symbolic link leads nowhere outside" {
    image_link() {
        # /bin/sh is a link in this image; a target below a link stays inside the cell.
        package
        run --separate-stderr cell -v "$PACKAGE:/bin/sh/x" -- true
        [ ! -e "$(realpath /bin/sh)/x" ]
        assert_match "$status" "@(0|125)"
    }
    as_caller image_link
}

@test "what the cell mounts or unmounts never reaches the host" {
    private() {
        local before after
        # Without the ids: a daemon mounts its own storage anew at times.
        before=$(cut -d' ' -f3- /proc/self/mountinfo | sort)
        run cell -- sh -c 'mount -t tmpfs none /tmp; umount /proc; :'
        after=$(cut -d' ' -f3- /proc/self/mountinfo | sort)
        assert_equal mounts "$after" "$before"
    }
    each_caller private
}

@test "where a mount holds the store, the cell has an empty directory in its place" {
    covered() {
        local store=$WORK/deep/store other=${WORK%/*}/other seen=/seen
        as mkdir -p ../link deep
        as ln -s "$WORK" "$other"
        show() { run -0 --separate-stderr stepcell run --verbose --store "$store" "$@"; }
        # At each name, and whoever the step is; what lies beside it is there.
        show -w "$WORK" -v "$WORK:$seen" "$IMAGE" -- sh -c \
            'touch deep/mine; ls -A deep/store '"$seen"'/deep/store; ls deep; (: >deep/store/x) 2>/dev/null || echo refused'
        assert_equal shown "$output" "$seen/deep/store:"$'\n\n'"deep/store:"$'\nmine\nstore\nrefused'

        show -w "$other" "$IMAGE" -- sh -c 'pwd; ls -A deep/store'
        assert_equal "by a link" "$output" "$other"
        # Another mount is already there.
        show -w "$WORK" -v "$WORK/../link:$WORK/deep" "$IMAGE" -- ls -A deep
        assert_equal "another" "$output" ''
        # Neither what holds the store nor what lies between can be moved away, at no name; the rest can.
        show -w "$WORK" -v "$WORK:$seen" -v "$WORK/deep:/below" "$IMAGE" -- sh -c '
            for name in deep '"$seen"'/deep /below/store; do mv $name ${name}r 2>/dev/null && echo moved $name; done
            mv deep/mine yours; ls deep; ls'
        assert_equal moved "$output" $'store\ndeep\nyours'
        # Something else in its place does not loosen what is above.
        as mkdir -p "$store/../../further/down/store"
        run -0 --separate-stderr stepcell run --store "$WORK/further/down/store" -w "$WORK" \
            -v "$WORK/../link:$WORK/further/down" "$IMAGE" -- sh -c 'mv further away 2>/dev/null || echo refused'
        assert_equal above "$output" refused
        # A link on the way could be replaced.
        as ln -s "$WORK/deep" "$WORK/way"
        run --separate-stderr stepcell run --store "$WORK/way/store" --result "$RESULT" -w "$WORK" "$IMAGE" -- true
        assert_refused mount.denied
        # The store of calls that name none, which is made where the step could make it; root's is the host's own.
        if [ "$CALLER" != root ]; then
            XDG_DATA_HOME=$WORK/data show -w "$WORK" "$IMAGE" -- sh -c \
                'mkdir -p data/stepcell/steps 2>/dev/null; ls -A data/stepcell
                mv data away 2>/dev/null || mv data/stepcell away 2>/dev/null || echo kept'
            assert_equal default "$output" kept
            as mv data real
            as ln -s real data
            XDG_DATA_HOME=$WORK/data run --separate-stderr stepcell run --result "$RESULT" -w "$WORK" "$IMAGE" -- true
            assert_refused mount.denied
            # What is in its way could be moved away.
            as mkdir -m 0555 locked
            XDG_DATA_HOME=$WORK/locked run --separate-stderr stepcell run --store "$store" --result "$RESULT" -w "$WORK" "$IMAGE" -- true
            assert_refused mount.denied
        fi
        # What is copied on write shows it as little.
        show -w "$WORK/../link" --package-cow "$WORK" "$IMAGE" -- ls -A "$store"
        assert_equal copied "$output" ''
        # In the store itself there is nothing for a step to write to.
        run --separate-stderr stepcell run --store "$store" --result "$RESULT" -w "$store" "$IMAGE" -- true
        assert_refused mount.denied
        show -w "$WORK/../link" -v "$store:$seen:ro" "$IMAGE" -- sh -c 'ls "$1" | wc -l' sh "$seen"
        [ "$output" -gt 0 ]
    }
    each_caller covered
}

@test "a store is hidden at each name that the host has for it" {
    named() {
        local store=$WORK/deep/store
        as mkdir -p deep ../mounted ../inner/below
        mount --bind "$WORK" ../mounted
        mount --bind "$WORK" ../inner/below
        run --separate-stderr stepcell run --store "$store" -w "$WORK/../inner" -v "$WORK/../mounted:/mounted" \
            "$IMAGE" -- sh -c 'ls -A below/deep/store /mounted/deep/store
                mv below/deep below/away || mv /mounted/deep /mounted/away || mv below away || echo kept'
        umount ../mounted ../inner/below
        assert_equal hidden "$output" $'/mounted/deep/store:\n\nbelow/deep/store:\nkept'
    }
    each_caller named
}

@test "where a mount holds a store, a step makes no user namespace, in which it could uncover it" {
    alone() {
        local other store=$WORK/deep/store profile=(--seccomp /usr/share/containers/seccomp.json)
        local script='unshare -r true 2>&1 && echo made
            (echo 9 >/proc/sys/user/max_user_namespaces) 2>/dev/null && echo raised
            unshare -r true 2>/dev/null && echo made; :'
        if [ "${ENGINE:-native}" = native ]; then
            run -0 cell "${profile[@]}" -- sh -c "$script"
            assert_equal "without a store" "$output" $'made\nmade'
        else
            # Without a profile there is the engine's: Podman's is the one above.
            profile=()
        fi
        as mkdir deep ../other
        # Nor does who comes to see the cell. Something else in the store's place could be taken away as well.
        for other in "$WORK/../other:/other" "$WORK/../other:$WORK/deep"; do
            run -0 --separate-stderr stepcell run -q --store "$store" --result "$RESULT" --keep always "${profile[@]}" \
                -w "$WORK" -v "$other" "$IMAGE" -- sh -c "$script"
            assert_match "$output" "unshare: *"
            [[ $output != *$'\n'* ]]
            run -0 stepcell exec --store "$store" "$(result_field .id)" -- sh -c "$script"
            assert_match "$output" "unshare: *"
            [[ $output != *$'\n'* ]]
            run -0 stepcell cancel --store "$store" "$(result_field .id)"
        done
    }
    each_caller alone
}
