/* What decides about the delivery of events: which lines go together, and when to try again. */
#include "tests/unit/unit.h"

#include "base/clock.h"
#include "shim/events/backoff.h"
#include "shim/events/batch.h"

static void test_cut(void **state)
{
    static const struct {
        const char *bytes;
        size_t limit, cut;
    } cases[] = {
        {"", 10, 0},
        {"a", 10, 0},
        {"\n", 10, 1},
        {"a\nb", 10, 2},
        {"a\nb\n", 10, 4},
        {"a\nb\n", 4, 4},
        {"a\nb\n", 3, 2},
        {"a\nb\n", 2, 2},
        {"a\nb\n", 1, 2},
        /* Longer than the limit: alone, once it is whole. */
        {"abcdef\ng\n", 3, 7},
        {"abcdef", 3, 0},
        {"abcdef\n", 6, 7},
        {"abcdef\n", 7, 7},
        {"a\nbcdef\n", 4, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t cut = batch_cut(cases[i].bytes, strlen(cases[i].bytes), cases[i].limit);

        if (cut != cases[i].cut)
            fail_msg("'%s', %zu: %zu", cases[i].bytes, cases[i].limit, cut);
    }
    assert_int_equal(batch_cut(NULL, 0, BATCH_MAX), 0);
}

static void test_lines(void **state)
{
    static const char bytes[] = "ab\nc\ndef\n";
    size_t len = strlen(bytes);

    (void)state;
    assert_int_equal(batch_whole("ab\ncd", 5), 3);
    assert_int_equal(batch_whole("ab", 2), 0);
    assert_int_equal(batch_whole(NULL, 0), 0);
    assert_ptr_equal(batch_last_line(bytes, &len), bytes + 5);
    assert_int_equal(len, 4);
    len = 3;
    assert_ptr_equal(batch_last_line(bytes, &len), bytes);
    assert_int_equal(len, 3);
    assert_true(batch_is_single(bytes, 3));
    assert_false(batch_is_single(bytes, 5));
    assert_true(batch_is_single("\n", 1));
}

static void test_event(void **state)
{
    static const char *const bad[] = {"",
                                      "\n",
                                      "x\n",
                                      "[]\n",
                                      "{}\n",
                                      "{\"seq\": 1}\n",
                                      "{\"type\": \"output\"}\n",
                                      "{\"seq\": -1, \"type\": \"output\"}\n",
                                      "{\"seq\": \"1\", \"type\": \"output\"}\n",
                                      "{\"seq\": 1, \"type\": 2}\n"};
    static const char output[] =
        "{\"seq\": 7, \"type\": \"output\", \"text\": \"step.finished\"}\n";
    static const char end[] = "{\"seq\": 8, \"type\": \"step.finished\"}\n";
    struct event event = {.seq = 5};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (event_read(bad[i], strlen(bad[i]), &event))
            fail_msg("'%s' was accepted", bad[i]);
    }
    assert_int_equal(event.seq, 5);
    assert_true(event_read(output, strlen(output), &event));
    assert_int_equal(event.seq, 7);
    assert_false(event.last);
    assert_true(event_read(end, strlen(end), &event));
    assert_int_equal(event.seq, 8);
    assert_true(event.last);
}

static void test_delays(void **state)
{
    static const uint64_t halves[] = {50,   100,  200,   400,   800,  1600,
                                      3200, 6400, 12800, 15000, 15000};
    static const uint32_t randoms[] = {1, 14999, 15000, 15001, UINT32_MAX / 2, UINT32_MAX};
    struct backoff backoff = BACKOFF_NONE;
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < COUNT(halves); i++) {
        struct backoff same = backoff;

        assert_true(backoff_next(&same, 1000, 0, 0, &ms));
        assert_int_equal(ms, halves[i]);
        assert_true(backoff_next(&backoff, 1000, 0, (uint32_t)halves[i], &ms));
        assert_int_equal(ms, 2 * halves[i]);
    }
    for (size_t i = 0; i < COUNT(randoms); i++) {
        assert_true(backoff_next(&backoff, 1000, 0, randoms[i], &ms));
        assert_in_range(ms, BACKOFF_MAX_MS / 2, BACKOFF_MAX_MS);
    }
    backoff = BACKOFF_NONE;
    assert_true(backoff_next(&backoff, 1000, 0, 0, &ms));
    assert_int_equal(ms, 50);
}

static void test_asked(void **state)
{
    struct backoff backoff = BACKOFF_NONE;
    uint64_t ms;

    (void)state;
    assert_true(backoff_next(&backoff, 0, 2000, 50, &ms));
    assert_int_equal(ms, 2050);
    assert_true(backoff_next(&backoff, 0, 10, 0, &ms));
    assert_int_equal(ms, 100);
    assert_true(backoff_next(&backoff, 0, BACKOFF_ASKED_MAX, 0, &ms));
    assert_int_equal(ms, BACKOFF_ASKED_MAX);
    assert_true(backoff_next(&backoff, 0, UINT64_MAX, 0, &ms));
    assert_int_equal(ms, BACKOFF_ASKED_MAX);
}

static void test_give_up(void **state)
{
    const int64_t day = BACKOFF_GIVE_UP_MS * NS_PER_MS;
    struct backoff backoff = BACKOFF_NONE;
    uint64_t ms;

    (void)state;
    assert_true(backoff_next(&backoff, 5 * day, 0, 0, &ms));
    assert_true(backoff_next(&backoff, 6 * day - 1, 0, 0, &ms));
    assert_false(backoff_next(&backoff, 6 * day, 0, 0, &ms));
    /* A success in between, and the day begins again. */
    backoff = BACKOFF_NONE;
    assert_true(backoff_next(&backoff, 6 * day, 0, 0, &ms));
    assert_true(backoff_next(&backoff, 7 * day - 1, 0, 0, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_lines), cmocka_unit_test(test_event),
        cmocka_unit_test(test_delays), cmocka_unit_test(test_asked), cmocka_unit_test(test_give_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
