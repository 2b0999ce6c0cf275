# What a step gives to whoever runs it: $STEPCELL_OUTPUT and service messages, in the result and in events.

load ../lib/common
load ../lib/messages

outputs() { result_field '.outputs | tojson'; }
events() { jq -c "$1" ../events; }
warnings() { jq -r 'select(.type == "warning").message' ../events; }

# output_cell COMMAND...: a step with its events in ../events
output_cell() {
    status=0
    cell --events file:../events -- "$@" >../out 2>../err || status=$?
}

@test "the output file gives outputs: one line, several lines, the last value of a name" {
    file() {
        output_cell sh -c 'printf "A=one=1\nB<<END\nfirst\n\nthird\nEND\nA=two\nEmpty=\n" >"$STEPCELL_OUTPUT"'
        assert_equal outputs "$(outputs)" '{"A":"two","B":"first\n\nthird","Empty":""}'
        assert_equal events "$(events 'select(.type == "output_variable") | [.name, .value, .sensitive]' | paste -sd' ')" \
            '["A","one=1",false] ["B","first\n\nthird",false] ["A","two",false] ["Empty","",false]'
        assert_equal stderr "$(cat ../err)" ""
        # It is read whatever the status, and without anybody who gets events.
        run -3 cell -- sh -c 'echo A=1 >>"$STEPCELL_OUTPUT"; exit 3'
        assert_equal outputs "$(outputs)" '{"A":"1"}'
        run cell --timeout 500ms -- sh -c 'echo A=1 >>"$STEPCELL_OUTPUT"; sleep 10'
        assert_equal outputs "$(outputs)" '{"A":"1"}'
        run -0 cell -- true
        assert_equal outputs "$(outputs)" '{}'
    }
    each_caller file
}

@test "service messages become outputs and events, and pass through as they are" {
    messages() {
        {
            echo "text before $(message setVariable name Version value 1.7) and behind it"
            message setVariable NAME Wide value $'two\nlines – ä'
            message createArtifact path /srv/a.txt name a.txt length 4711
            message progress percentage 50 message 'half of it'
            message stdout-verbose
            message resultMessage message 'all is well'
            message unknown-to-us a b
            message setVariable name Version value 1.8
        } | as tee messages >/dev/null
        output_cell cat messages
        cmp messages ../out
        assert_equal outputs "$(outputs)" '{"Version":"1.8","Wide":"two\nlines – ä"}'
        assert_equal variables "$(events 'select(.type == "output_variable") | [.name, .value]' | paste -sd' ')" \
            '["Version","1.7"] ["Wide","two\nlines – ä"] ["Version","1.8"]'
        assert_equal artifact "$(events 'select(.type == "artifact") | [.path, .name, .length]')" '["/srv/a.txt","a.txt",4711]'
        assert_equal progress "$(events 'select(.type == "progress") | [.percentage, .message]')" '[50,"half of it"]'
        assert_equal warnings "$(warnings)" ""
        # A NUL, which few who read JSON expect.
        message setVariable name A value X | sed "s/WA==/$(printf 'a\0b' | base64)/" | as tee nul >/dev/null
        output_cell cat nul
        assert_equal outputs "$(outputs)" '{"A":"a\\x00b"}'
        # On stderr, and in pieces.
        output_cell sh -c 'head -c 30 messages >&2; sleep 0.1; tail -c +31 messages >&2'
        cmp messages ../err
        assert_equal outputs "$(outputs)" '{"Version":"1.8","Wide":"two\nlines – ä"}'
    }
    each_caller messages
}

@test "what is malformed is a warning, an event of its own, and passes through" {
    malformed() {
        {
            echo "##octopus[setVariable name='not base64!' value='eA==']"
            echo "##octopus[setVariable name='eA==']"
            echo "##octopus[progress percentage='aGFsZg==' message='eA==']"
            echo "##octopus[createArtifact path='eA==' name='eA==' length='LTE=']"
            echo "##octopus[no end"
        } | as tee messages >/dev/null
        output_cell cat messages
        cmp messages ../out
        assert_equal outputs "$(outputs)" '{}'
        assert_equal "warnings on stderr" "$(grep -c '^stepcell: ' ../err)" 5
        assert_equal "warning events" "$(warnings | sed 's/^/stepcell: /')" "$(cat ../err)"
        assert_match "$(warnings)" "*not base64*has no 'value'*'percentage'*no number*'length'*no number*line ends*"
        output_cell sh -c 'printf "A=1\nnonsense\n=x\nB=2\nC<<END\nno end\n" >"$STEPCELL_OUTPUT"'
        assert_equal outputs "$(outputs)" '{"A":"1","B":"2"}'
        assert_match "$(warnings)" "line 2 of the file*line 3 of*line 5 of*"
        assert_equal "warnings on stderr" "$(grep -c '^stepcell: line ' ../err)" 3
        cell --quiet --events file:../events -- cat messages 2>../err >../out
        assert_equal quiet "$(cat ../err)" ""
        assert_equal "warning events" "$(warnings | wc -l)" 5
    }
    each_caller malformed
}

@test "nobody drowns in warnings or outputs" {
    flood() {
        output_cell sh -c 'yes "##octopus[x" | head -n 3000'
        assert_equal "warning events" "$(warnings | wc -l)" 101
        assert_match "$(warnings | tail -n 1)" "further malformed*"
        # More than is kept, by number and by size; control characters take six bytes each in JSON.
        output_cell sh -c 'dd if=/dev/zero bs=1M count=1 2>/dev/null | tr "\0" "\1" >value
            for i in 1 2 3 4 5; do echo "V$i<<END"; cat value; echo; echo END; done >"$STEPCELL_OUTPUT"'
        assert_equal status "$status" 0
        assert_equal kept "$(result_field '.outputs | keys | join(" ")')" "V1 V2"
        assert_equal warnings "$(warnings)" "the step has more output variables than are kept"
        assert_equal last "$(tail -n 1 ../events | jq -r .type)" step.finished
        # One that changes all the time takes the room of one.
        message setVariable name A value "$(head -c 60000 /dev/zero | tr '\0' x)" | as tee large >/dev/null
        output_cell sh -c 'i=0; while [ $i -lt 400 ]; do cat large; i=$((i + 1)); done
            echo "##octopus[setVariable name='\''QQ=='\'' value='\''bGFzdA=='\'']"'
        assert_equal outputs "$(outputs)" '{"A":"last"}'
        assert_equal warnings "$(warnings)" ""
        run -0 --separate-stderr cell -- sh -c 'truncate -s 1000G "$STEPCELL_OUTPUT"'
        assert_match "$stderr" "*STEPCELL_OUTPUT is longer than*"
        assert_equal outputs "$(outputs)" '{}'
    }
    as_caller flood
}
