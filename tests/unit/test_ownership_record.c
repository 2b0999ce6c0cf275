/*
 * The record of what a step may leave to other ids: what is written can be read, and nothing else.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "runtime/native/ownership.h"
#include "runtime/native/ownership_record.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal)                                                                   \
    }

struct text {
    const char *bytes;
    size_t size;
};

static bool parse(const struct text *text, struct ownership_record *record)
{
    autobuf buf = BUF_INIT(OWNERSHIP_RECORD_MAX);

    assert_true(buf_append(&buf, text->bytes, text->size));
    return ownership_record_parse(&buf, record);
}

static void sources_are_read(void **state)
{
    static const struct text text =
        TEXT("0 1000 1700000000 999999999 a-step.1\0"
             "2049 12 1600000000 7 1000 100 /work\0"
             "18446744073709551615 18446744073709551615 0 0 0 4294967294 /a b\n\"\377 1 2");
    struct ownership_record record;

    (void)state;
    assert_true(parse(&text, &record));
    assert_int_equal(record.uid, 0);
    assert_int_equal(record.gid, 1000);
    assert_int_equal(record.start.tv_sec, 1700000000);
    assert_int_equal(record.start.tv_nsec, 999999999);
    assert_string_equal(record.step, "a-step.1");
    assert_int_equal(record.plan.count, 2);
    assert_int_equal(record.plan.mounts[0].source.dev, 2049);
    assert_int_equal(record.plan.mounts[0].source.ino, 12);
    assert_int_equal(record.plan.mounts[0].source.birth.tv_sec, 1600000000);
    assert_int_equal(record.plan.mounts[0].source.birth.tv_nsec, 7);
    assert_int_equal(record.plan.mounts[0].source.uid, 1000);
    assert_int_equal(record.plan.mounts[0].source.gid, 100);
    assert_string_equal(record.plan.mounts[0].source.resolved, "/work");
    assert_string_equal(record.plan.mounts[1].source.resolved, "/a b\n\"\377 1 2");
    assert_true(ownership_is_writable(&record.plan.mounts[1]));
    ownership_record_release(&record);
}

static void a_step_without_sources(void **state)
{
    static const struct text text = TEXT("5 6 0 0 x");
    struct ownership_record record;

    (void)state;
    assert_true(parse(&text, &record));
    assert_int_equal(record.plan.count, 0);
    ownership_record_release(&record);
}

static void what_else_lies_there_is_refused(void **state)
{
    static const struct text table[] = {
        {"", 0},
        TEXT(""),
        {"0 0 1 2 x", 9}, /* without its end */
        TEXT("0 0 1"),
        TEXT("0 0 1 2"),
        TEXT("0 0 1 2  x"),
        TEXT(" 0 0 1 2 x"),
        TEXT("00 0 1 2 x"),
        TEXT("-1 0 1 2 x"),
        TEXT("4294967296 0 1 2 x"),
        TEXT("0 0 99999999999999999999 2 x"),
        TEXT("x 0 1 2 x"),
        TEXT("0 0 1 2 x\0"),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 /work"),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 4 work"),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 4  /work"),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 4 "),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 4 /work\0"),
        TEXT("0 0 1 2 x\0"
             "1 2 0 9 3 +4 /work"),
        TEXT("0 0 1 2 x\0"
             "18446744073709551616 2 0 9 3 4 /work"),
        {"0 0 1 2 x\0" /* cut off */
         "1 2 0 9 3 4 /wor",
         26},
        TEXT("0 0 1 2 x\0"
             "1 2 3 4 /work"),
        TEXT("0 0 1 2 x\0"
             "1 2 99999999999999999999 9 3 4 /work"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct ownership_record record;

        if (parse(&table[i], &record))
            fail_msg("accepted: %zu", i);
        ownership_record_release(&record);
    }
}

static void too_many_sources_are_refused(void **state)
{
    static const char source[] = "1 2 0 9 3 4 /work";
    autobuf text = BUF_INIT(OWNERSHIP_RECORD_MAX);
    struct ownership_record record;

    (void)state;
    assert_true(buf_append(&text, "0 0 1 2 x", 10));
    for (size_t i = 0; i < MOUNT_PLAN_MAX; i++)
        assert_true(buf_append(&text, source, sizeof(source)));
    assert_true(ownership_record_parse(&text, &record));
    ownership_record_release(&record);
    assert_true(buf_append(&text, source, sizeof(source)));
    assert_false(ownership_record_parse(&text, &record));
    ownership_record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(a_step_without_sources),
        cmocka_unit_test(what_else_lies_there_is_refused),
        cmocka_unit_test(too_many_sources_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
