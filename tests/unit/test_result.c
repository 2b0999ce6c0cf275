#include "tests/unit/unit.h"

#include "shim/result.h"

static void results_have_their_shape(void **state)
{
    struct result result = {.id = "abc",
                            .outcome = OUTCOME_EXITED,
                            .exit_code = 7,
                            .engine = "native",
                            .reference = "a\xff",
                            .out = {.bytes = 5000000000, .lost = 3},
                            .oom_killed = true,
                            .cleanup_verified = true};
    autojson *json = NULL;
    const json_t *output;

    (void)state;
    phases_enter(&result.phases, "resolve");
    phases_enter(&result.phases, "run");
    phases_leave(&result.phases);
    json = result_json(&result);
    assert_non_null(json);
    assert_string_equal(json_text(json, "schema"), "stepcell.result/1");
    assert_string_equal(json_text(json, "outcome"), "exited");
    assert_int_equal(json_integer_value(json_object_get(json, "exit_code")), 7);
    assert_true(json_is_null(json_object_get(json, "signal")));
    assert_true(json_is_null(json_object_get(json, "error")));
    assert_string_equal(json_text(json_object_get(json, "image"), "reference"), "a\\xff");
    assert_true(json_is_true(json_object_get(json, "oom_killed")));
    output = json_object_get(json_object_get(json, "output"), "stdout");
    assert_int_equal(json_integer_value(json_object_get(output, "bytes")), 5000000000);
    assert_int_equal(json_integer_value(json_object_get(output, "lost_bytes")), 3);
    assert_int_equal(json_array_size(json_object_get(json, "phases")), 2);
    assert_true(json_is_true(json_object_get(json_object_get(json, "cleanup"), "verified")));
}

static void refusals_carry_their_error(void **state)
{
    struct result result = {
        .id = "abc", .outcome = OUTCOME_REFUSED, .exit_code = 125, .engine = "native"};
    autojson *json = NULL;
    struct err one;

    (void)state;
    err_set(&result.error, ERR_IMAGE_ENTRYPOINT, "no");
    assert_true(errs_add(&result.violations, &result.error));
    err_set(&one, ERR_USER_UNKNOWN, "who");
    err_detail(&one, "raw");
    assert_true(errs_add(&result.violations, &one));
    json = result_json(&result);
    assert_true(json_is_null(json_object_get(json, "image")));
    assert_true(json_is_null(json_object_get(json, "kept_until")));
    assert_true(json_is_false(json_object_get(json, "oom_killed")));
    assert_string_equal(json_text(json_object_get(json, "error"), "code"), "image.entrypoint");
    /* One that came without a fix has that of its code. */
    assert_non_null(strstr(json_text(json_object_get(json, "error"), "hint"), "ENTRYPOINT []"));
    assert_null(json_object_get(json_object_get(json, "error"), "detail"));
    assert_int_equal(json_array_size(json_object_get(json, "violations")), 2);
    assert_string_equal(json_text(json_array_get(json_object_get(json, "violations"), 1), "detail"),
                        "raw");
    errs_release(&result.violations);
    assert_int_equal(result_outcome_of(ERR_IMAGE_ENTRYPOINT), OUTCOME_REFUSED);
    assert_int_equal(result_outcome_of(ERR_ENGINE_FAILED), OUTCOME_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_have_their_shape),
        cmocka_unit_test(refusals_carry_their_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
