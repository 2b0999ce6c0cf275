# `stepcell report`: what happened to a durable step, and when.

load ../lib/common
load ../lib/registry
load ../lib/steps

teardown() { stop_registry; }

report_json() { stepcell report --json "$ID"; }
report_is() { jq -e "$1" <<<"$REPORT" >/dev/null || { echo "not so: $1"; jq . <<<"$REPORT"; return 1; }; }

# A step of a second: two processes, of which one works, output on both streams, and memory.
busy='dd if=/dev/zero of=/dev/shm/block bs=1M count=24 2>/dev/null; echo begin; echo oops >&2
    ( i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done ) & sleep 1; wait; echo end; exit 7'

@test "report tells of phases, output, processor time, memory and pids" {
    told() {
        new_id
        run -7 --separate-stderr durable sh -c "$busy"
        REPORT=$(report_json)
        report_is '.schema == "stepcell.report/1" and .state == "finished" and .log_damaged == false'
        report_is '.result.outcome == "exited" and .result.exit_code == 7'
        report_is '[.phases[].name] | contains(["resolve", "plan", "create", "start", "run", "drain", "cleanup"])'
        report_is '[.phases[] | .at_ms >= 0 and .ms >= 0] | all'
        report_is '.run_ms >= 1000 and .ms >= .run_ms'
        report_is '(.output.stdout | add) == .result.output.stdout.bytes and (.output.stderr | add) == .result.output.stderr.bytes'
        report_is '(.samples | length) >= 5 and ([.samples[].ms] | . == (sort | unique)) and .samples[0].ms >= 100'
        report_is '[.usage[] | .not_measured == null and .source == "processes"] | all'
        report_is '.usage.memory.peak == null'
        report_is '[.samples[].cpu_us] | . == sort'
        report_is '.samples[-1].cpu_us as $cpu | $cpu > 20000 and $cpu < .run_ms * 1000 * 3'
        report_is '[.samples[].memory] | max > 100000'
        # Pid 1, the shell, what it started.
        report_is '[.samples[].pids] | max >= 3 and max <= 5'
        report_is '[.marks[].text] | contains(["the step was accepted", "the cell ended: status 7"])'
        run -0 --separate-stderr stepcell report "$ID"
        assert_match "$output" "*state     exited, status 7*phases*run*stdout*cpu*s seen*memory*seen*pids*the cell ended: status 7*"
    }
    each_caller told
}

@test "where the cell has a cgroup of its own, that is what counts" {
    [ -e /sys/fs/cgroup/memory/memory.usage_in_bytes ] || skip "this kernel lacks controllers on cgroups version 1"
    counted() {
        new_id
        run -7 --separate-stderr stepcell run --id "$ID" --workdir "$WORK" --memory 96m --pids-limit 40 "$IMAGE" -- sh -c "$busy"
        REPORT=$(report_json)
        report_is '[.usage.memory, .usage.pids] | all(.[]; .source == "cgroup")'
        report_is '[.samples[].memory] | max > 24000000 and max < 101000000'
        report_is '[.samples[].pids] | max >= 3 and max <= 5'
        report_is '.samples[-1].pids == 0'
        # Which the kernel has counted.
        report_is '.usage.memory.peak >= ([.samples[].memory] | max) and .usage.memory.peak <= 96 * 1024 * 1024'
        run -0 stepcell report "$ID"
        assert_match "$output" "*memory *at most*"
    }
    as_caller counted
}

@test "what was not measured is named, with the reason" {
    short() {
        new_id
        durable true
        [ ! -e "$(step_dir)/samples" ]
        REPORT=$(report_json)
        report_is '[.usage[] | .source == null and (.not_measured | test("ended before"))] | all'
        report_is '.samples == []'
        run -0 stepcell report "$ID"
        assert_match "$output" "*memory * not measured: *ended before*"
        new_id
        run -127 durable /no/such/program
        run -0 stepcell report "$ID"
        [[ $output != *"while it ran"* ]]
        REPORT=$(report_json)
        report_is '.started_at_ms == null and .run_ms == 0'
        report_is '[.usage[].not_measured] | unique == ["the command never ran"]'
        report_is ".usage.memory.peak == null"
        run -125 stepcell report no-such-step
        assert_match "$output" "*no step has the id 'no-such-step'*"
        for words in "report x --html" "ps --json=1"; do
            # shellcheck disable=SC2086 # several words
            run -125 stepcell $words
            assert_match "$output" "*hint: --help lists the options"
        done
        run -125 stepcell report
        run -125 stepcell report a b
    }
    each_caller short
}

@test "a step that runs, and one that was lost, have a report as well" {
    lost() {
        new_id
        started sh -c 'echo here; exec sleep 60'
        wait_for test -s "$(step_dir)/samples"
        REPORT=$(report_json)
        report_is '.state == "running" and .result == null and .run_ms > 0'
        run -0 stepcell report "$ID"
        assert_match "$output" "*state     running*"
        kill -KILL "$(supervisor)"
        # Whatever a crash leaves of the last line is not taken for a sample.
        printf '[123456' >>"$(step_dir)/samples"
        REPORT=$(report_json)
        report_is '.state == "finished" and .result.outcome == "unknown" and (.samples | length) > 0'
        report_is '[.samples[].ms] | max < 60000'
        printf 'nonsense\n' >"$(step_dir)/samples"
        printf 'nonsense\n' >>"$(step_dir)/events.ndjson"
        REPORT=$(report_json)
        report_is '.samples == [] and .log_damaged and (.usage.cpu.not_measured | type == "string")'
    }
    each_caller lost
}

@test "all that was wrong with a step is told" {
    wrong() {
        new_id
        run -125 --separate-stderr cell --id "$ID" -v /no:/x -v "$WORK:/proc/x" -- true
        run -0 --separate-stderr stepcell report "$ID"
        assert_match "$output" "*error * '/no'*"$'\n'"hint *"$'\n'"error *'/proc/x'*"$'\n'"hint *"
        stepcell report --html ../page.html "$ID"
        assert_equal "errors of the page" "$(grep -c 'class=error' ../page.html)" 2
    }
    as_caller wrong
}

@test "a step that its timeout has killed says so" {
    killed() {
        new_id
        run -124 cell --id "$ID" --timeout 200ms --grace 200ms -- sh -c 'trap "" TERM; while :; do sleep 0.05; done'
        run -0 stepcell report "$ID"
        assert_match "$output" "*the cell ended: killed after the timeout"*
    }
    as_caller killed
}

# elements FILE: every element of a page with its attributes, and complaints about what is not closed
elements() {
    python3 - "$1" <<'EOF'
import html.parser, sys
class Page(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        print(tag, *(name for name, value in attributes))
Page(convert_charrefs=True).feed(open(sys.argv[1], encoding="utf-8").read())
EOF
}

@test "a step cannot put anything into the page" {
    hostile() {
        local evil='</pre></title></style><script>alert(1)</script><img src=x onerror=alert(2)>"'"'"'&<svg onload=alert(3)>'
        new_id
        ID="a@b+c=d-$ID"
        printf '%s' "$evil" >evil
        printf "##octopus[progress percentage='MTA=' message='%s']\n" "$(printf '%s' '</p><script>alert(4)</script>' | base64 -w 0)" >message
        run -0 --separate-stderr durable sh -c 'cat evil; printf "\033[31m\001\377\342\200\256\n"; cat message
            echo "##octopus[<script>alert(5)</script> x=1]"; sleep 0.3'
        stepcell report --html ../page.html "$ID"
        elements ../page.html >../elements
        assert_equal "elements" "$(cut -d ' ' -f 1 ../elements | sort -u | tr '\n' ' ')" \
            "body dd div dl dt footer h1 h2 h3 head header html i li main meta ol p path pre rect section span style svg title "
        assert_equal "attributes" "$(cut -s -d ' ' -f 2- ../elements | tr ' ' '\n' | sort -u | tr '\n' ' ')" \
            "aria-hidden charset class content d height http-equiv lang name preserveaspectratio viewbox width x y "
        grep -qF '&lt;/pre&gt;&lt;/title&gt;' ../page.html
        grep -qF '\x1b[31m\x01\xff\xe2' ../page.html
        ! grep -qP '[\x00-\x08\x0b-\x1f\x7f]' ../page.html
        assert_equal "loads nothing" "$(grep -cE '@import|url\(' ../page.html)" 0
        stepcell report --html - "$ID" | cmp - ../page.html
        run -125 stepcell report --html /nonexistent/page.html "$ID"
        run -125 --separate-stderr stepcell report --html /dev/full "$ID"
        assert_match "$stderr" "*cannot write '/dev/full': No space left*hint: make room there*"
    }
    each_caller hostile
}

@test "the page goes to what is there: a pipe, a device, a link's place; never where the step has led it" {
    written() {
        new_id
        as mkdir ../other ../package
        cell --id "$ID" --package-rw P="$(realpath ../package)" -- sh -c \
            'ln -s ../other out; ln -s ../other "$STEPCELL_PACKAGE_P/out"'
        stepcell report --html - "$ID" >../page.html
        as sh -c 'mkfifo ../pipe; echo mine >../other/file; ln -s file ../other/link'
        run -125 --separate-stderr stepcell report --html ../pipe "$ID"
        assert_match "$stderr" "*cannot write '../pipe': nobody reads from it*hint:*"
        cat ../pipe >../read 3>&- &
        stepcell report --html ../pipe "$ID"
        wait $!
        [ -p ../pipe ]
        cmp ../read ../page.html
        stepcell report --html ../other/link "$ID"
        [ ! -L ../other/link ]
        assert_equal "target of the link" "$(cat ../other/file)" mine
        local page
        for page in out/page.html ../package/out/page.html; do
            run -125 --separate-stderr stepcell report --html "$page" "$ID"
            assert_match "$stderr" "*no link is followed*"
        done
        assert_equal other "$(ls ../other)" $'file\nlink'
        # A device that nothing else has a name for.
        [ "$CALLER" = root ] || return 0
        mknod ../device c 1 3
        stepcell report --html ../device "$ID"
        [ -c ../device ]
    }
    each_caller written
}

@test "the layers of a pull are told one by one" {
    start_registry
    push "oci:$IMAGES/layers:latest" layers:1
    pulled() {
        new_id
        stepcell run --id "$ID" --store "${WORK%/*}/store" --workdir "$WORK" --progress none "$REGISTRY/layers:1" -- /bin/busybox true
        REPORT=$(stepcell report --store "${WORK%/*}/store" --json "$ID")
        report_is '[.phases[].name] | contains(["pull", "unpack"])'
        report_is '[.layers[] | .ms > 0 and .at_ms >= 0] | all'
        assert_equal layers "$(jq -r '.layers[] | "\(.layer) \(.bytes)"' <<<"$REPORT" | sort)" \
            "$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/layers:1" | jq -r '.layers[] | "\(.digest) \(.size)"' | sort)"
        run -0 stepcell report --store "${WORK%/*}/store" "$ID"
        assert_match "$output" "*layers of the pull*sha256:*|*#*sha256:*|*#*"
    }
    each_caller pulled
}

# screenshot WIDTH SCHEME FILE: of ../page.html, as Chromium draws it; SCHEME is 0 for dark and 1 for light
screenshot() {
    chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
        --user-data-dir="$BATS_TEST_TMPDIR/profile" --window-size="$1,2000" \
        --blink-settings="preferredColorScheme=$2" --screenshot="$3" "file://$(realpath ../page.html)" >/dev/null 2>&1
    [ -s "$3" ]
}

# corner FILE: the colour of the first pixel of a picture: no filter of PNG changes that one
corner() {
    python3 - "$1" <<'EOF'
import sys, zlib
data, at, pixels = open(sys.argv[1], "rb").read(), 8, b""
while at < len(data):
    size, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
    if kind == b"IDAT":
        pixels += data[at + 8:at + 8 + size]
    at += size + 12
print(zlib.decompressobj().decompress(pixels, 4)[1:4].hex())
EOF
}

@test "a browser shows the page on a phone and on a desk, in light and in dark" {
    drawn() {
        local width
        new_id
        run -7 --separate-stderr durable sh -c "$busy"
        stepcell report --html ../page.html "$ID"
        for width in 390 1280; do
            screenshot "$width" 1 "$BATS_TEST_TMPDIR/$width-light.png"
            assert_equal "light" "$(corner "$BATS_TEST_TMPDIR/$width-light.png")" f4f5f7
            screenshot "$width" 0 "$BATS_TEST_TMPDIR/$width-dark.png"
            assert_equal "dark" "$(corner "$BATS_TEST_TMPDIR/$width-dark.png")" 10141b
        done
        [ -z "${KEEP_PICTURES:-}" ] || cp ../page.html "$BATS_TEST_TMPDIR"/*.png "$KEEP_PICTURES"
    }
    as_caller drawn
}
