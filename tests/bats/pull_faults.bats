# Whole pulls, several layers at a time, from registries and mirrors that are not in order.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

LAYERS=6

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    chmod 755 "$FAULTS_DIR"
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    start_registry
    push_layers
}

teardown() {
    stop_faults
    stop_registry
}

# push_layers: an image of $LAYERS layers that cannot be compressed, as $REGISTRY/large:1
push_layers() {
    local layout=$FAULTS_DIR/layout tree=$FAULTS_DIR/tree i
    new_layout "$layout"
    mkdir -p "$tree/bin"
    cp /bin/busybox "$tree/bin/"
    ln -s busybox "$tree/bin/sh"
    tar -C "$tree" --numeric-owner --owner=0 --group=0 -cf "$FAULTS_DIR/0.tar" .
    for ((i = 1; i < LAYERS; i++)); do
        head -c 500000 /dev/urandom >"$FAULTS_DIR/random-$i"
        tar -C "$FAULTS_DIR" --numeric-owner --owner=0 --group=0 -cf "$FAULTS_DIR/$i.tar" "random-$i"
    done
    put_image "$layout" '{"config": {}}' "$FAULTS_DIR"/[0-9].tar | name_image "$layout" latest
    push "oci:$layout:latest" large:1
}

# whole: what was pulled is all there, and runs
whole() {
    run -0 stepcell image verify
    run -0 --separate-stderr stepcell run --pull never --workdir "$WORK" "$1" -- \
        sh -c 'cat /random-* | /bin/busybox sha256sum'
    assert_equal content "${output%% *}" "$(cat "$FAULTS_DIR"/random-* | sha256sum | cut -d' ' -f1)"
}

@test "layers that arrive at once each go on after breaks, limits and errors" {
    local fault
    go_on() {
        homes
        for fault in break limit away "break limit"; do
            echo "fault: $fault"
            # shellcheck disable=SC2086 # words
            start_before "$CALLER-${fault/ /-}" $fault
            stepcell image gc --unused-for 0s >/dev/null
            run -0 stepcell image pull -q "$(faults "$CALLER-${fault/ /-}")/large:1"
            whole "$(faults "$CALLER-${fault/ /-}")/large:1"
        done
        # The broken ones went on where they were.
        assert_equal ranges "$(requests "$CALLER-break" .range | grep -c ^bytes=)" "$LAYERS"
    }
    each_caller go_on
}

@test "a layer that fails ends the others, which wait for a registry, in time" {
    start_before one flip-first
    in_time() {
        homes
        # The first layer is damaged; the others are to be asked for again in half a minute.
        SECONDS=0
        run --separate-stderr stepcell run --result "$RESULT" --workdir "$WORK" "$(faults one)/large:1" -- true
        assert_refused image.corrupt
        [ "$SECONDS" -lt 15 ]
        assert_equal left "$(find "$TEST_DIR/store/root/layers" -mindepth 2 -maxdepth 2 -name '*.part' 2>/dev/null | wc -l)" 0
    }
    CALLERS=root each_caller in_time
}

@test "a blob that a mirror gives wrong comes from the registry" {
    start_before mirror flip
    start_before right
    mended() {
        local host
        homes
        host=$(faults right)
        configure "{\"registries\": {\"$host\": {\"mirrors\": [{\"location\": \"$(faults mirror)\"}]}}}"
        : >"$FAULTS_DIR/mirror/log"
        stepcell image gc --unused-for 0s >/dev/null
        run -0 stepcell image pull -q "$host/large:1"
        [ -n "$(requests mirror 'select(.path | contains("/blobs/")) | .path')" ]
        whole "$host/large:1"
        stepcell image gc --unused-for 0s >/dev/null
        # Without another place it is refused.
        run -125 --separate-stderr stepcell image pull -q "$(faults mirror)/large:1"
        assert_match "$stderr" "*sha256:*"
    }
    each_caller mended
}

@test "what a registry warns of is shown once, and cannot drive a terminal" {
    start_before one warn
    shown() {
        homes
        stepcell image gc --unused-for 0s >/dev/null
        run -0 --separate-stderr stepcell image pull "$(faults one)/large:1"
        assert_equal warnings "$(grep -c "the registry '$(faults one)' warns: this registry .x1b.31mends soon" <<<"$stderr")" 1
        [[ $stderr != *$'\e'* && $stderr != *"not for users"* ]]
        run -0 --separate-stderr stepcell run --workdir "$WORK" --pull always "$(faults one)/large:1" -- sh -c 'echo ran'
        assert_equal output "$output" ran
        assert_match "$stderr" "*warns: this registry*"
        run -0 --separate-stderr stepcell image pull -q "$(faults one)/large:1"
        assert_equal stderr "$stderr" ""
    }
    each_caller shown
}

# on_terminal ARG...: stepcell's output and messages as a terminal gets them, in $output
on_terminal() {
    local line
    printf -v line '%q ' "$STEPCELL" "$@"
    run -0 as env SHELL=/bin/bash script -qec "$line" /dev/null </dev/null
}

@test "a pull on a terminal draws one bar, which goes away, and lines are whole" {
    bar() {
        homes
        stepcell image gc --unused-for 0s >/dev/null
        start_before "slow-$CALLER" limit warn
        # The limit makes it last for a second, in which the bar is drawn several times.
        on_terminal image pull "$(faults "slow-$CALLER")/large:1"
        assert_match "$output" "*pulling $LAYERS layers, *"
        [ "$(grep -o $'\r''stepcell: \[[# ]*\] [^,]* of [^,]*, [0-9]*/6 layers'$'\e''\[K' <<<"$output" | wc -l)" -ge 3 ]
        # Each bar begins its line anew; the last is taken back before the digest is printed.
        assert_match "$output" *$'\r\e[K'sha256:*
        [[ ${output##*$'\r\e[K'} != *'['*'#'* ]]
        # A bar is never longer than a narrow terminal.
        [ "$(tr '\r' '\n' <<<"$output" | grep '^stepcell: \[' | sed 's/\x1b\[K.*//' | wc -L)" -le 80 ]
        stepcell image gc --unused-for 0s >/dev/null
        on_terminal image pull --progress plain "$(faults "slow-$CALLER")/large:1"
        [[ $output != *'stepcell: ['* ]]
        assert_match "$output" "*layer $LAYERS/$LAYERS is ready*"
    }
    each_caller bar
}
