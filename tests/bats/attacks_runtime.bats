# What a step's own processes may try: against the programs that run it, against the caller's
# descriptors, terminal and directories, and against other cells. Races are tried for real.

load ../lib/common
load ../lib/images
load ../lib/attacks

setup_file() { make_attacks; }
teardown_file() { remove_attacks; }
teardown() { stop_racer; }

# start_racer COMMAND...: in the background until stop_racer
start_racer() {
    "$@" >/dev/null 2>&1 3>&- &
    RACER=$!
}

stop_racer() {
    [ -n "${RACER:-}" ] || return 0
    kill "$RACER" 2>/dev/null || true
    wait "$RACER" 2>/dev/null || true
    RACER=
}

# own_copy: stepcell's programs as files of the caller, so that nothing but the cell protects them
own_copy() {
    local build
    build=$(dirname "$(dirname "$STEPCELL")")
    mkdir ../copy
    cp -r "$build/bin" "$build/libexec" ../copy/
    chown -R "$(caller_name):" ../copy
    STEPCELL=$PWD/../copy/bin/stepcell
}

programs_look() { (cd ../copy && find . -type f -printf '%p %m %s %T@\n' -exec sha256sum {} + | sort); }

@test "no program of stepcell can be changed through /proc" {
    overwrite() {
        local STEPCELL=$STEPCELL before i
        own_copy
        before=$(programs_look)
        cp "$ATTACK" attack
        printf '#!/proc/self/exe\n' >script
        printf '#!/proc/1/exe\n' >script-1
        chmod 755 attack script script-1
        run -0 --separate-stderr cell -- ./attack programs
        assert_equal output "$output" ""
        for i in $(seq 10); do
            # The first process of the cell is still to become the command when these start.
            run --separate-stderr cell -- ./script
            [ "$status" != 0 ]
            run --separate-stderr cell -- ./script-1
            [ "$status" != 0 ]
            run -0 --separate-stderr cell -- sh -c './script & ./attack programs & ./script & wait'
            assert_equal output "$output" ""
        done
        assert_equal programs "$(programs_look)" "$before"
    }
    each_caller overwrite
}

@test "pid 1 of a cell gives nothing away" {
    steal() {
        cp "$ATTACK" attack
        run -0 --separate-stderr cell -- ./attack steal
        assert_equal output "$output" ""
        # Tracing works as such, so what fails above fails for pid 1.
        run -0 --separate-stderr cell -- sh -c 'sleep 5 & read -r x </proc/$!/environ || test -n "$x"; kill $!'
    }
    each_caller steal
}

@test "a program finds no descriptor but its three" {
    held() (
        for i in $(seq 3 60); do eval "exec $i<$TRAP"; done
        cell -- ./attack descriptors
    )
    descriptors() {
        cp "$ATTACK" attack
        run -0 --separate-stderr held
        assert_equal output "$output" ""
    }
    each_caller descriptors
}

@test "descriptors are no way to a directory outside, whoever names them" {
    hostile_image workdir-fd '{"config": {"WorkingDir": "/proc/self/fd/7"}}'
    named() (
        for i in $(seq 3 40); do eval "exec $i<$TRAP"; done
        stepcell run --result "$RESULT" --progress none "$@"
    )
    directories() {
        local fd
        run -0 --separate-stderr named --workdir "$WORK" "oci:$LAYOUT:workdir-fd" -- sh -c 'pwd; ls ..'
        assert_equal output "$output" "$WORK"$'\n'work
        for fd in 0 1 3 7 40; do
            run --separate-stderr named --workdir "/proc/self/fd/$fd" "$IMAGE" -- ls
            assert_equal status "$status" 125
            run --separate-stderr named --workdir "$WORK" --volume "$WORK:/proc/self/fd/$fd" "$IMAGE" -- ls
            assert_refused mount.denied
        done
        run --separate-stderr named --workdir "$WORK" --volume "$WORK:/proc/1/cwd" "$IMAGE" -- ls
        assert_refused mount.denied
    }
    each_caller directories
}

@test "no keystroke gets into the caller's terminal" {
    keystrokes() {
        local option
        cp "$ATTACK" attack
        for option in --no-proxy-env --interactive; do
            run as script --quiet --return --command \
                "'$STEPCELL' run $option -w '$WORK' --progress none '$IMAGE' ./attack type; echo ended" /dev/null </dev/null
            assert_equal output "$output" $'ended\r'
        done
    }
    each_caller keystrokes
}

@test "a source that is exchanged for a link during the start is the one that was checked, or refused" {
    exchange_source() {
        local i package=$WORK/../swap/package hidden=$WORK/../hidden
        mkdir -p ../swap/package ../hidden
        touch ../swap/package/open ../hidden/secret
        ln -s ../hidden ../swap/other
        hidden=$(realpath ../hidden) package=$(realpath ../swap)/package
        start_racer "$ATTACK" exchange "$package" "${package%/*}/other"
        for i in $(seq 40); do
            run --separate-stderr cell --package "$package" -- sh -c '
                [ -e "$1/open" ] || { [ -e "$1/secret" ] && [ -e "$2/secret" ]; } || echo "leaked: $(ls "$1")"' \
                sh "$package" "$hidden"
            assert_match "$status" "@(0|125)"
            [ "$status" = 0 ] || assert_match "$(result_field .error.code)" "mount.@(source-missing|conflict)"
            assert_equal output "$output" ""
        done
        stop_racer
    }
    each_caller exchange_source
}

@test "a target that another cell exchanges for a link during the start leads nowhere else" {
    exchange_target() {
        local i to
        mkdir ../source target
        touch ../source/here
        cp "$ATTACK" attack
        for to in / /proc "$TRAP" ../../../../../../..; do
            ln -sfn "$to" link
            chown -h "$(caller_name):" . link target
            # The process id is that of stepcell itself, so that its cell ends with it.
            start_racer as sh -c 'echo $$ >../racer && exec "$@"' sh "$STEPCELL" run --result ../racer.json \
                -w "$WORK" "$IMAGE" -- ./attack exchange target link
            for i in $(seq 12); do
                run --separate-stderr stepcell run --result ../other.json -w "$WORK" \
                    --volume "$WORK/../source:$WORK/target" "$IMAGE" -- \
                    sh -c '[ -e /bin/sh ] && [ -e /proc/self/stat ] && [ ! -e "$1/file" ] && echo usual' sh "$TRAP"
                assert_match "$status:$output" "@(0:usual|125:)"
            done
            wait_for test -s ../racer
            kill "$(cat ../racer)"
            wait "$RACER" || true
            rm -rf link target ../racer
            mkdir target
            assert_trap_untouched
        done
    }
    each_caller exchange_target
}

@test "what a step left to other ids is given back without leaving the working directory" {
    # A file of such an id lies outside, and a link to its directory takes turns with a directory.
    give_back() {
        local i id=2013331499 outside=$ATTACKS/outside.$CALLER
        [ "$CALLER" = root ] || id=1700042
        mkdir -p "$outside" directory other/deep
        ln -s "$outside" link
        chown -R "$(caller_name):" directory other link
        start_racer "$ATTACK" exchange "$WORK/directory" "$WORK/link"
        for i in $(seq 40); do
            touch "$outside/file"
            chown "$id:$id" "$outside/file"
            run --separate-stderr cell --user 0 -- sh -c 'mkdir -p a/b && touch a/b/c && chown -R 42:42 a'
            assert_match "$status" "@(0|125)"
            assert_equal "owner outside" "$(stat -c %u:%g "$outside/file")" "$id:$id"
            assert_equal "owner inside" "$(owner a/b/c)" "$(caller_name):$(caller_name)"
            rm -rf a
        done
        stop_racer
    }
    CALLERS="root ranges" each_caller give_back
}

@test "cells of one caller see nothing of each other" {
    neighbours() {
        local pid
        cp "$ATTACK" attack
        cell --env NAME=first-cell -- sh -c ': first-cell; trap "echo signalled; exit 3" TERM; echo secret >/tmp/neighbour; cp /tmp/neighbour /dev/shm/
            touch started; i=0; while [ ! -e finished ] && [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.1; done' \
            >../first 2>&1 3>&- &
        pid=$!
        wait_for test -e started
        run -0 --separate-stderr stepcell run --result ../other.json -w "$WORK" --progress none "$IMAGE" -- sh -c '
            ./attack signals
            ls /tmp/neighbour /dev/shm/neighbour 2>/dev/null
            grep -ls "first-[c]ell" /proc/[0-9]*/cmdline /proc/[0-9]*/environ
            ls /var/tmp/*/store /var/lib/stepcell 2>/dev/null
            ipcs -q 2>/dev/null | grep 0x; :'
        touch finished
        wait "$pid"
        assert_equal output "$output" ""
        assert_equal "output of the first" "$(cat ../first)" ""
    }
    each_caller neighbours
}

@test "descriptors that a cell has sent and nobody received keep no other cell from starting" {
    # The kernel compares them with the limit of who sends one more.
    other() (
        ulimit -S -n 1000
        stepcell run --result ../other.json -w "$WORK" --progress none "$@" "$IMAGE" -- tty
    )
    flood() {
        local pid
        cp "$ATTACK" attack
        cell -- ./attack flood flooded 3>&- &
        pid=$!
        wait_for test -e flooded
        run other
        assert_match "$status/$output" "$1"
        run other -t
        assert_match "$status/$output" "$2"
        rm flooded
        wait "$pid"
    }
    CALLERS=root each_caller flood '1/not a tty' '0//dev/pts/0*'
    # An ordinary user's step is one of that user's own processes.
    local refusal='125/*cannot hand the output of the command to stepcell: Too many references*'
    CALLERS="ranges plain" each_caller flood "$refusal" "$refusal"
}

@test "no link is followed in a store, nothing behind it removed, and what has no number is no cell's" {
    linked() {
        local store=$WORK/../copied part before
        cell -- true
        cp -a "$TEST_DIR/store/$CALLER" "$store"
        as mkdir -p ../away/keep/below ../away/7/below "$store/cells/keep/below"
        before=$(find ../away | sort)
        for part in cells layers steps; do
            as rm -rf ../aside
            [ ! -e "$store/$part" ] || mv "$store/$part" ../aside
            as ln -s "$WORK/../away" "$store/$part"
            run --separate-stderr stepcell run --store "$store" --pull never --id "$part" "$IMAGE" -- true
            assert_equal "$part" "$status" 125
            assert_match "$stderr" "*'$part'*"
            as rm "$store/$part"
            [ ! -e ../aside ] || mv ../aside "$store/$part"
            assert_equal "behind $part" "$(find ../away | sort)" "$before"
        done
        run -0 stepcell run --store "$store" --pull never "$IMAGE" -- true
        [ -d "$store/cells/keep/below" ]
    }
    each_caller linked
}

@test "other users of the host reach neither layers nor the files of a running cell" {
    others() {
        local other=stepcell-plain pid path
        [ "$CALLER" != plain ] || other=stepcell-ranges
        cell -- sh -c 'echo secret >/in-the-cell; chmod 777 /in-the-cell; touch started
            i=0; while [ ! -e finished ] && [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.1; done' >/dev/null 2>&1 3>&- &
        pid=$!
        wait_for test -e started
        find "$TEST_DIR/store/$CALLER" -name in-the-cell -o -path '*/layers/*' -name busybox >../paths
        grep -q in-the-cell ../paths
        grep -q busybox ../paths
        while read -r path; do
            run setpriv --reuid="$other" --regid="$other" --clear-groups -- stat "$path"
            [ "$status" != 0 ]
        done <../paths
        touch finished
        wait "$pid"
    }
    each_caller others
}

@test "stepcell does not run with the rights of another" {
    local name directory=$ATTACKS/set-id
    cp -r "$(dirname "$(dirname "$STEPCELL_RELEASE")")/." "$directory"
    for name in bin/stepcell libexec/stepcell/stepcell-{image,events}; do
        for bits in 4755 2755; do
            chown root:root "$directory/$name"
            chmod "$bits" "$directory/$name"
            CALLER=plain
            run --separate-stderr as "$directory/$name" list
            CALLER=root
            assert_equal status "$status" 125
            assert_match "$stderr" "*with the rights of*set-user-ID*"
            chmod 755 "$directory/$name"
        done
    done
}

# The root of a cell that has ended is kept alive by a descriptor outside.
# start_taker: an accomplice outside, as the caller, waits for a descriptor at $WORK/socket
start_taker() {
    mkfifo ../ask
    # shellcheck disable=SC2094 # a FIFO, opened for both so that nobody waits
    as "$ATTACK" take "$WORK/socket" <>../ask >../said 2>&1 3>&- &
    RACER=$!
    wait_for test -S socket
}

# taker COMMAND: the accomplice tries it with what it was sent, and with nothing but that
taker() {
    : >../said
    printf '%s; echo tried\n' "$1" >../ask
    wait_for grep -qx tried ../said
}

# end_taker: ends the accomplice and what it holds
end_taker() {
    pkill -KILL -x attack || true
    stop_racer
    rm -f ../ask ../said socket
}

@test "a root that a cell has sent out of itself is not the next cell's" {
    sent_out() {
        cp "$ATTACK" attack
        start_taker
        run -0 cell -- ./attack hand-over socket /
        cell -- sh -c 'echo secret >/made-by-the-next; echo >started; sleep 1; ls /' >../seen &
        wait_for test -e started
        taker 'cat /proc/self/fd/9/made-by-the-next && echo read; touch /proc/self/fd/9/made-from-outside'
        wait $!
        [[ $(cat ../said) != *read* ]]
        [[ $(cat ../seen) == *made-by-the-next* && $(cat ../seen) != *made-from-outside* ]]
        end_taker
    }
    each_caller sent_out
}

@test "a directory that a cell has sent out of itself shows no more after its end than before" {
    after() {
        local directory inside
        cp "$ATTACK" attack
        as mkdir package package/below
        echo content >package/file
        chmod 666 package/file
        for directory in . /; do
            start_taker
            run -0 cell --package package -- ./attack hand-over socket "$directory"
            inside=/proc/self/fd/9
            [ "$directory" = . ] || inside+=$WORK
            taker "echo changed >$inside/package/file; touch $inside/made"
            assert_match "$(cat ../said)" "*Read-only file system*"
            assert_equal package "$(cat package/file)" content
            end_taker
        done
        start_taker
        run -0 cell -- ./attack hand-over socket /proc
        taker 'cat /proc/self/fd/9/keys /proc/self/fd/9/timer_list; ls /proc/self/fd/9/acpi
            echo h >/proc/self/fd/9/sysrq-trigger; echo end'
        # Without its processes /proc takes no files at all.
        assert_equal "what was found in /proc" \
            "$(grep -v -e 'Read-only file system' -e 'Directory nonexistent' ../said)" $'end\ntried'
        end_taker
        start_taker
        run -0 cell -- ./attack hand-over socket /sys
        taker 'ls /proc/self/fd/9/firmware; touch /proc/self/fd/9/kernel/x; echo end'
        assert_equal "what was found in /sys" "$(grep -v 'Read-only file system' ../said)" $'end\ntried'
        end_taker
    }
    each_caller after
}

@test "a mount namespace that a cell has sent out of itself is named as left behind" {
    namespace() {
        cp "$ATTACK" attack
        start_taker
        run -0 cell -- ./attack hand-over socket /proc/self/ns/mnt
        assert_match "$(result_field '.cleanup.left[]')" "the mount namespace of the cell*"
        assert_equal verified "$(result_field .cleanup.verified)" false
        end_taker
        run -0 cell -- true
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    each_caller namespace
}
