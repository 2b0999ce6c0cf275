# The parsers against bytes that nobody thought of. ctest tries the inputs of tests/corpus/fuzz; here each
# target searches for new ones, two targets at a time: 10 seconds each in CI, STEPCELL_FUZZ_SECONDS (5) elsewhere.

load ../lib/common

setup_file() {
    local seconds=${STEPCELL_FUZZ_SECONDS:-5}
    [ -z "${CI:-}" ] || seconds=10
    export SECONDS_EACH=$seconds ROOT=${TESTS%/*}
    # Here and not in a test, whose time is limited.
    "$ROOT/scripts/build" --fuzz >/dev/null
}

# search FROM TO: the targets whose place in the list is in this range; none of them may find anything
search() {
    local targets
    mapfile -t targets < <("$ROOT/scripts/fuzz" --list | sed -n "$1,$2p")
    # More take longer than a test may.
    [ ${#targets[@]} -gt 0 ] && [ ${#targets[@]} -le 6 ]
    run -0 "$ROOT/scripts/fuzz" --seconds "$SECONDS_EACH" "${targets[@]}"
    assert_equal "targets without findings" "$(grep -c '^ok: ' <<<"$output")" "${#targets[@]}"
}

@test "fuzzing finds nothing, targets 1 to 6" { search 1 6; }
@test "fuzzing finds nothing, targets 7 to 12" { search 7 12; }
@test "fuzzing finds nothing, targets 13 to 18" { search 13 18; }
@test "fuzzing finds nothing, targets 19 to 24" { search 19 24; }
@test "fuzzing finds nothing, targets 25 to 30" { search 25 30; }
@test "fuzzing finds nothing, targets 31 to 36" { search 31 36; }
@test "fuzzing finds nothing, targets 37 to 42" { search 37 42; }
@test "fuzzing finds nothing, targets 43 to 48" { search 43 48; }
@test "fuzzing finds nothing, targets 49 to the last" { search 49 '$'; }

@test "every fuzz target has inputs, every file of inputs a target, and replaying notices a fault" {
    diff <("$ROOT/scripts/fuzz" --list | sort) <(ls "$TESTS/corpus/fuzz")
    diff <("$ROOT/scripts/fuzz" --list | sort) \
        <(grep -l LLVMFuzzerTestOneInput "$TESTS"/fuzz/*.c | xargs -n 1 basename -s .c | grep -vx replay | sort)
    run -1 "$ROOT/build-test/tests/fuzz_json" "$BATS_TEST_TMPDIR"
    assert_match "$output" "*has no inputs*"
    cat >"$BATS_TEST_TMPDIR/planted.c" <<'END'
#include "tests/fuzz/fuzz.h"
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size);
    FUZZ_CHECK(strcmp(text, "planted") != 0);
    return 0;
}
END
    gcc -D_GNU_SOURCE -I"$ROOT" -fsanitize=address,undefined "$BATS_TEST_TMPDIR/planted.c" "$TESTS/fuzz/replay.c" \
        "$ROOT/build-test/libbase.a" -ljansson -o "$BATS_TEST_TMPDIR/planted"
    mkdir "$BATS_TEST_TMPDIR/inputs"
    echo harmless >"$BATS_TEST_TMPDIR/inputs/1"
    run -0 "$BATS_TEST_TMPDIR/planted" "$BATS_TEST_TMPDIR/inputs"
    printf planted >"$BATS_TEST_TMPDIR/inputs/2"
    run "$BATS_TEST_TMPDIR/planted" "$BATS_TEST_TMPDIR/inputs"
    assert_equal status "$status" 134
    assert_match "$output" "*broken promise*"
}
