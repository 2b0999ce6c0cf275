#include "tests/unit/unit.h"

#include "base/cleanup.h"
#include "shim/relay/counter.h"

#define AMOUNT ((size_t)3 << 20)

/* Chunks that a thread counts, and smaller and larger ones that are counted at once. */
#define CHUNK_MAX 700000

static char *make_bytes(uint64_t *lines)
{
    char *bytes = malloc(AMOUNT);
    unsigned seed = 7;

    assert_non_null(bytes);
    *lines = 1; /* the last one has no end */
    for (size_t i = 0; i < AMOUNT; i++) {
        bytes[i] = (char)(i + 1 == AMOUNT ? 'x' : rand_r(&seed) % 97);
        *lines += bytes[i] == '\n';
    }
    return bytes;
}

static void check(const struct counts *counts, const char *bytes, uint64_t lines)
{
    char sha256[DIGEST_TEXT_MAX];

    digest_of(bytes, AMOUNT, sha256);
    assert_string_equal(counts->sha256, sha256);
    assert_int_equal(counts->lines, lines);
}

/* What was given is the caller's again at once. */
static void give(struct counter *counter, const char *bytes, size_t len)
{
    autofree char *copy = malloc(len + 1);

    memcpy(copy, bytes, len);
    counter_add(counter, copy, len);
    memset(copy, '\n', len);
}

static void chunks_of_any_size_add_up(void **state)
{
    uint64_t lines;
    autofree char *bytes = make_bytes(&lines);
    unsigned seed = 3;

    (void)state;
    for (int round = 0; round < 5; round++) {
        struct counter counter;
        struct counts counts;

        assert_true(counter_open(&counter));
        for (size_t at = 0, n; at < AMOUNT; at += n) {
            n = (size_t)rand_r(&seed) % (round % 2 ? CHUNK_MAX : 5000);
            n = n < AMOUNT - at ? n : AMOUNT - at;
            give(&counter, bytes + at, n);
        }
        assert_true(counter_finish(&counter, &counts));
        assert_false(counter_finish(&counter, &counts));
        check(&counts, bytes, lines);
    }
}

static void counters_do_not_mix(void **state)
{
    uint64_t lines;
    autofree char *bytes = make_bytes(&lines);
    struct counter one, other;
    struct counts counts;

    (void)state;
    assert_true(counter_open(&one));
    assert_true(counter_open(&other));
    for (size_t at = 0; at < AMOUNT; at += AMOUNT / 8) {
        give(&one, bytes + at, AMOUNT / 8);
        give(&other, bytes + at, AMOUNT / 8);
    }
    assert_true(counter_finish(&one, &counts));
    check(&counts, bytes, lines);
    assert_true(counter_finish(&other, &counts));
    check(&counts, bytes, lines);
}

static void one_that_is_given_up_leaves_nothing(void **state)
{
    uint64_t lines;
    autofree char *bytes = make_bytes(&lines);
    struct counter counter;

    (void)state;
    assert_true(counter_open(&counter));
    counter_add(&counter, bytes, AMOUNT);
    counter_release(&counter);
    counter_release(&counter);
    /* Nothing is counted any more, and nothing is waited for. */
    counter_add(&counter, bytes, AMOUNT);
    counter_release(&counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_any_size_add_up),
        cmocka_unit_test(counters_do_not_mix),
        cmocka_unit_test(one_that_is_given_up_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
