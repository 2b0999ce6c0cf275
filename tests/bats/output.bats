# The relay: every byte, on its own stream, in its order, at once; and standard input.

load ../lib/common

bytes() { result_field ".output.$1.bytes"; }

@test "binary output arrives byte for byte on both streams" {
    binary() {
        as sh -c 'head -c 3000000 /dev/urandom >a; head -c 2000000 /dev/urandom >b'
        cell -- sh -c 'cat a; cat b >&2' >../a 2>../b
        cmp a ../a
        cmp b ../b
        assert_equal bytes "$(bytes stdout) $(bytes stderr)" "3000000 2000000"
    }
    each_caller binary
}

@test "no newline is added, none is lost, and NUL passes" {
    exact() {
        cell -- printf 'a\000b\r\n\n' >../out
        assert_equal sum "$(od -An -c ../out | tr -d ' \n')" 'a\0b\r\n\n'
        cell -- printf 'no end' >../out
        assert_equal size "$(stat -c %s ../out)" 6
        assert_equal bytes "$(bytes stdout)" 6
        cell -- true >../out
        assert_equal bytes "$(bytes stdout)" 0
    }
    each_caller exact
}

@test "a hundred megabytes arrive, on one line too" {
    much() {
        local sum
        sum=$(cell -- sh -c 'yes 0123456789 | head -c 104857600' | sha256sum)
        assert_equal sum "$sum" "$(yes 0123456789 | head -c 104857600 | sha256sum)"
        assert_equal bytes "$(bytes stdout)" 104857600
        sum=$(cell -- sh -c 'head -c 104857600 /dev/zero' 2>&1 | sha256sum)
        assert_equal sum "$sum" "$(head -c 104857600 /dev/zero | sha256sum)"
    }
    as_caller much
    CALLER=ranges as_caller much
}

@test "a line is there as soon as it was written" {
    prompt() {
        local line start=$EPOCHREALTIME
        {
            read -r line
            assert_equal line "$line" first
            [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 3000000 ]
            as touch go
            read -r line
            assert_equal line "$line" second
        } < <(cell -- sh -c 'echo first; until [ -e go ]; do sleep 0.05; done; echo second' 3>&-)
        wait "$!"
    }
    each_caller prompt
}

@test "the step goes on when its reader goes away, and says what was lost" {
    gone() {
        (
            set +e -o pipefail
            cell -- sh -c 'yes | head -c 5000000; echo finished >finished' | head -c 10 >/dev/null
        ) || true
        assert_equal finished "$(cat finished)" finished
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal exit_code "$(result_field .exit_code)" 0
    }
    each_caller gone
}

@test "a slow reader loses nothing" {
    slow() {
        local sum
        sum=$(cell -- sh -c 'yes slow | head -c 3000000' | (
            sleep 1
            sha256sum
        ))
        assert_equal sum "$sum" "$(yes slow | head -c 3000000 | sha256sum)"
    }
    as_caller slow
}

@test "standard input is empty unless -i passes it" {
    stdin() {
        run -0 cell -- cat < <(echo not for the cell)
        assert_equal output "$output" ""
        run -0 cell -i -- cat < <(echo for the cell)
        assert_equal output "$output" "for the cell"
        as sh -c 'head -c 2000000 /dev/urandom >in'
        cell -i -- sha256sum <in >../sum
        assert_equal sum "$(cat ../sum)" "$(sha256sum <in)"
    }
    each_caller stdin
}

@test "closed standard streams of the caller do no harm" {
    closed() {
        cell -- sh -c 'echo x; echo y >&2; exit 0' <&- >&- 2>&-
        assert_equal exit_code "$(result_field .exit_code)" 0
        cell -i -- cat <&-
        assert_equal exit_code "$(result_field .exit_code)" 0
    }
    as_caller closed
}

@test "output to a file of the caller arrives there" {
    file() {
        cell -- sh -c 'echo one; echo two' >>../file
        cell -- sh -c 'echo three' >>../file
        assert_equal file "$(cat ../file)" $'one\ntwo\nthree'
    }
    each_caller file
}

@test "many small writes into a file of the caller do not stop the relay" {
    small() {
        # shellcheck disable=SC2016 # the cell's shell
        cell --timeout 60 -- sh -c 'i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done' >../file
        assert_equal lines "$(wc -l <../file)" 20000
    }
    each_caller small
}

@test "the script's output is relayed as it is, messages of stepcell carry their prefix" {
    prefix() {
        run -0 --separate-stderr cell -- sh -c 'echo "##octopus[setVariable name=x]"; echo plain >&2'
        assert_equal stdout "$output" "##octopus[setVariable name=x]"
        assert_equal stderr "$(grep -v '^stepcell: ' <<<"$stderr")" plain
    }
    each_caller prefix
}
