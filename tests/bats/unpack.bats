# The child that unpacks: what surrounds it, tried from inside by tests/unit/test_walls.c as every caller.

load ../lib/common

@test "a child that unpacks reaches nothing but its layer, whoever calls" {
    walls() {
        run as env STEPCELL_TEST_DIR="$WORK" "$(dirname "$STEPCELL")/../tests/test_walls"
        assert_equal status "$status" 0
        assert_match "$output" "*4 test(s) run.*"
        assert_equal "what is left" "$(ls "$WORK")" ""
    }
    each_caller walls
}
