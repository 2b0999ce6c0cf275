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

@test "a line takes five milliseconds at the most, whatever looks at it" {
    STEPCELL=$STEPCELL_RELEASE
    make_ticker() { musl-gcc -O1 -static -o "$1" "$TESTS/lib/ticker.c"; }
    # late WHAT COMMAND...: the median of 300 lines. On a machine that has more to do than it can, a line waits for a
    # processor; what is held back by the relay is late in each try.
    late() {
        local us try
        for try in 1 2 3 4 5; do
            us=$("${@:2}" 7>/dev/null | /usr/bin/python3 "$TESTS/lib/line_latency.py")
            echo "# $1: $us µs" >&3
            [ "$us" -gt 5000 ] || return 0
        done
        return 1
    }
    latency() {
        local -x TOKEN=a-secret-value
        make_ticker ticker
        chmod 755 ticker
        run -0 cell -- true
        late "a bare pipe" ./ticker 300
        late "nothing looks" stepcell run -w "$WORK" "$IMAGE" ./ticker 300
        late "a result" cell -- ./ticker 300
        late "a result, events and a secret" cell --events fd:7 --secret-env TOKEN -- ./ticker 300
    }
    as_caller latency
}

@test "the step goes on when its reader goes away, and says what was lost" {
    # gone OPTION...: 5,000,000 bytes for a reader that takes ten of them
    gone() {
        (
            set +e -o pipefail
            cell "$@" -- sh -c 'yes | head -c 5000000; echo finished >finished' | head -c 10 >/dev/null
        ) || true
        assert_equal finished "$(cat finished)" finished
        rm finished
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal exit_code "$(result_field .exit_code)" 0
        assert_equal "delivered and lost" "$(result_field '.output.stdout | .bytes + .lost_bytes')" 5000000
        [ "$(result_field .output.stdout.lost_bytes)" -gt 4000000 ]
    }
    either() {
        gone
        # What is counted is what there was to deliver.
        gone --events file:../events
        assert_equal lines "$(result_field .output.stdout.lines)" 2500000
        assert_equal sha256 "$(result_field .output.stdout.sha256)" "$(yes | head -c 5000000 | sha256sum | cut -c1-64)"
        assert_equal events "$(jq -j 'select(.type == "output").text' ../events | wc -c)" 5000000
    }
    each_caller either
}

@test "who holds the output open does not hold up the end, and what was written before it arrives" {
    held() {
        local start=$EPOCHREALTIME
        cell "$@" -- sh -c 'sleep 100 & (sleep 100 &) ; setsid sleep 100 & yes 0123456789 | head -c 60000; exit 5' | (
            sleep 0.5
            cat >../out
        ) || true
        assert_equal exit_code "$(result_field .exit_code)" 5
        assert_equal bytes "$(stat -c %s ../out)" 60000
        [ $((${EPOCHREALTIME/./} - ${start/./})) -lt 20000000 ]
        # The end of the command is the end: who is left writes nothing more.
        cell "$@" -- sh -c '(sleep 1; echo late) & sleep 0.1; echo in time' >../out
        assert_equal out "$(cat ../out)" "in time"
    }
    either() {
        held
        held --events file:../events
    }
    each_caller either
}

@test "10,000 lines on each stream at once arrive in order on each" {
    order() {
        cell "$@" -- sh -c 'lines() { seq -w 1 10000 | sed "s/^/$1 /"; }
            lines out & lines err >&2 & wait' >../out 2>../err
        cmp ../out <(seq -f "out %05g" 10000)
        cmp ../err <(seq -f "err %05g" 10000)
        assert_equal bytes "$(bytes stdout) $(bytes stderr)" "100000 100000"
    }
    either() {
        local -x TOKEN=a-secret-value
        order
        order --events file:../events --secret-env TOKEN
        assert_equal lines "$(result_field '.output | [.stdout.lines, .stderr.lines] | join(" ")')" "10000 10000"
        cmp ../out <(jq -j 'select(.stream == "stdout").text' ../events)
        cmp ../err <(jq -j 'select(.stream == "stderr").text' ../events)
    }
    each_caller either
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

@test "what a full disk does not take of the output is said, and the step goes on" {
    full_disk() {
        cell --events file:../events -- sh -c 'yes | head -c 3000000; touch finished' 2>../err >/dev/full
        [ -e finished ]
        assert_match "$(cat ../err)" "stepcell: 3000000 bytes of stdout were not delivered: No space left on device"
        assert_equal warning "stepcell: $(jq -r 'select(.type == "warning").message' ../events)" "$(cat ../err)"
        assert_equal lost "$(result_field .output.stdout.lost_bytes)" 3000000
    }
    as_caller full_disk
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
