# --script: which interpreter runs it, where it may lie, what it sees of itself.

load ../lib/common

@test "a script in the working directory runs at its own path with its arguments" {
    plain() {
        printf 'echo "$0 $# $1 $2"\nexit 5\n' >'deploy me.sh'
        run -5 stepcell run --progress none -w "$WORK" --script 'deploy me.sh' "$IMAGE" one 'two three'
        assert_equal output "$output" "$WORK/deploy me.sh 2 one two three"
    }
    each_caller plain
}

@test "the interpreter is --shell, else the first line, else the ending, else sh" {
    interpreter() {
        printf '#!/bin/cat\nfirst line\n' >a.sh
        run -0 script_cell --script a.sh
        assert_equal output "$output" $'#!/bin/cat\nfirst line'
        run -0 script_cell --shell 'tac' --script a.sh
        assert_equal output "$output" $'first line\n#!/bin/cat'
        # As the kernel does it, what stands behind the program is one argument.
        printf '#!/bin/head -n1\nsecond line\n' >flags
        run -0 script_cell --script flags
        assert_equal output "$output" '#!/bin/head -n1'
        echo 'echo "by ending: $0"' >b.sh
        run -0 script_cell --script b.sh
        assert_equal output "$output" "by ending: $WORK/b.sh"
        echo 'echo "by default"' >c.unknown
        run -0 script_cell --script c.unknown
        assert_equal output "$output" "by default"
    }
    each_caller interpreter
}

@test "a script need not be executable, and may come from a read-only package" {
    package() {
        as mkdir "$WORK/../package"
        as sh -c 'echo "echo packaged" >../package/p.sh; chmod 0400 ../package/p.sh'
        run -0 script_cell --package "$WORK/../package" --script "$WORK/../package/p.sh"
        assert_equal output "$output" packaged
    }
    each_caller package
}

@test "a script from outside everything that is mounted runs too, and nothing is left of it" {
    outside() {
        as sh -c 'echo "echo outside; ls -A ." >../outside.sh'
        run -0 script_cell --script ../outside.sh
        assert_equal output "$output" outside
        [ -z "$(ls -A .)" ]
    }
    each_caller outside
}

@test "a script may come from standard input" {
    from_stdin() {
        run -4 stepcell run --progress none -w "$WORK" --script - "$IMAGE" arg <<<'echo "got $1"; exit 4'
        assert_equal output "$output" "got arg"
        [ -z "$(ls -A .)" ]
        run -0 stepcell run --progress none -w "$WORK" --script - "$IMAGE" </dev/null
        assert_equal output "$output" ""
    }
    each_caller from_stdin
}

@test "a long script from a file on standard input runs to its end, whether the image was there or not" {
    long() {
        local pull
        { yes ': a line that does nothing' | head -n 3000; echo 'echo the end'; } >../long
        for pull in missing always; do
            run -0 --separate-stderr script_cell --pull $pull --script - <../long
            assert_equal "output with --pull $pull" "$output" "the end"
        done
    }
    as_caller long
}

@test "a script with Windows line ends or a byte order mark still finds its interpreter" {
    windows() {
        printf '#!/bin/sh\r\necho ran\n' >crlf
        run -0 script_cell --script crlf
        assert_equal output "$output" ran
    }
    as_caller windows
}

@test "a missing script is script.missing" {
    missing() {
        run --separate-stderr script_cell --script nowhere.sh
        assert_refused script.missing
        assert_match "$stderr" "*nowhere.sh*"
        as mkdir directory
        run --separate-stderr script_cell --script directory
        assert_refused script.missing
    }
    each_caller missing
}

@test "an interpreter that the image lacks is image.shell-missing" {
    no_shell() {
        echo 'print(1)' >a.py
        run --separate-stderr script_cell --script a.py
        assert_refused image.shell-missing
        assert_match "$stderr" "*python*"
        echo 'echo 1' >a.bash
        run --separate-stderr script_cell --script a.bash
        assert_refused image.shell-missing
        printf '#!/usr/bin/env perl\n' >perl
        run --separate-stderr script_cell --script perl
        assert_match "$status" "@(125|127)"
        IMAGE=$IMAGES_AT/static:latest
        echo 'echo 1' >a.sh
        run --separate-stderr script_cell --script a.sh
        assert_refused image.shell-missing
    }
    each_caller no_shell
}

@test "an image without a shell runs its own program" {
    static() {
        IMAGE=$IMAGES_AT/static:latest
        run -0 cell -- /bin/true
    }
    each_caller static
}
