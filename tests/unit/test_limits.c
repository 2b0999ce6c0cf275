#include "tests/unit/unit.h"

#include <sys/resource.h>

#include "shim/limits.h"

static void memory_is_read(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } table[] = {
        {"0", 0},
        {"6291456", 6291456},
        {"6291456b", 6291456},
        {"6144k", 6291456},
        {"6m", 6291456},
        {"64M", 64 << 20},
        {"64MB", 64 << 20},
        {"64MiB", 64 << 20},
        {"2g", UINT64_C(2) << 30},
        {"1T", UINT64_C(1) << 40},
        {"1.5g", UINT64_C(3) << 29},
        {"6291456.9", 6291456},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct limits limits = {.memory = 1};

        assert_null(limits_parse_memory(table[i].text, &limits));
        assert_int_equal(limits.memory, table[i].bytes);
    }
}

static void cpus_are_read(void **state)
{
    static const struct {
        const char *text;
        uint64_t us;
    } table[] = {
        {"0", 0},
        {"0.0", 0},
        {"1", 100000},
        {"0.5", 50000},
        {"0.01", 1000},
        {"1.5", 150000},
        {"2.000", 200000},
        {"0.333333333", 33333},
        {"8192", 819200000},
        {"0.123456", 12345},
        {".5", 50000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct limits limits = {.cpu = 1};

        assert_null(limits_parse_cpus(table[i].text, &limits));
        assert_int_equal(limits.cpu, table[i].us);
    }
}

static void pids_are_read(void **state)
{
    struct limits limits = {.pids = 7};

    (void)state;
    assert_null(limits_parse_pids("-1", &limits));
    assert_int_equal(limits.pids, 0);
    assert_null(limits_parse_pids("2", &limits));
    assert_int_equal(limits.pids, 2);
    assert_null(limits_parse_pids("0", &limits));
    assert_int_equal(limits.pids, 0);
    assert_null(limits_parse_pids("4194304", &limits));
    assert_int_equal(limits.pids, 4194304);
}

static void ulimits_are_read(void **state)
{
    struct limits limits = {.memory = 0};

    (void)state;
    assert_null(limits_parse_ulimit("nofile=100:200", &limits));
    assert_null(limits_parse_ulimit("core=0", &limits));
    assert_null(limits_parse_ulimit("stack=8388608:unlimited", &limits));
    assert_null(limits_parse_ulimit("memlock=-1", &limits));
    assert_int_equal(limits.ulimit_count, 4);
    assert_string_equal(limits.ulimits[0].name, "nofile");
    assert_int_equal(limits.ulimits[0].resource, RLIMIT_NOFILE);
    assert_int_equal(limits.ulimits[0].soft, 100);
    assert_int_equal(limits.ulimits[0].hard, 200);
    assert_int_equal(limits.ulimits[1].hard, 0);
    assert_true(limits.ulimits[2].hard == LIMITS_UNLIMITED);
    assert_true(limits.ulimits[3].soft == LIMITS_UNLIMITED);
    /* The last one of a name wins. */
    assert_null(limits_parse_ulimit("nofile=5", &limits));
    assert_int_equal(limits.ulimit_count, 4);
    assert_int_equal(limits.ulimits[0].hard, 5);
}

static void there_is_room_for_every_resource(void **state)
{
    static const char *const names[] = {"core",    "cpu",      "data",   "fsize",      "locks",
                                        "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                        "rss",     "rtprio",   "rttime", "sigpending", "stack"};
    struct limits limits = {.memory = 0};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[32];

        snprintf(text, sizeof(text), "%s=1", names[i]);
        assert_null(limits_parse_ulimit(text, &limits));
    }
    assert_int_equal(limits.ulimit_count, COUNT(names));
    assert_true(COUNT(names) <= LIMITS_ULIMITS);
}

static void bad_values_get_a_hint(void **state)
{
    static const struct {
        const char *(*parse)(const char *text, struct limits *limits);
        const char *text;
    } table[] = {
        {limits_parse_memory, ""},
        {limits_parse_memory, "m"},
        {limits_parse_memory, "5m"},
        {limits_parse_memory, "1"},
        {limits_parse_memory, "-1"},
        {limits_parse_memory, "64 m"},
        {limits_parse_memory, "64x"},
        {limits_parse_memory, "64mm"},
        {limits_parse_memory, "0x64m"},
        {limits_parse_memory, "99999999999999999999"},
        {limits_parse_memory, "99999999999999999999999999"},
        {limits_parse_memory, "9999999999g"},
        {limits_parse_cpus, ""},
        {limits_parse_cpus, "."},
        {limits_parse_cpus, "."},
        {limits_parse_memory, "1.g"},
        {limits_parse_memory, "1.2.3g"},
        {limits_parse_cpus, "1."},
        {limits_parse_cpus, "1.5.1"},
        {limits_parse_cpus, "-1"},
        {limits_parse_cpus, "0.009"},
        {limits_parse_cpus, "0.000000001"},
        {limits_parse_cpus, "0.0000000001"},
        {limits_parse_cpus, "8193"},
        {limits_parse_cpus, "1e1"},
        {limits_parse_cpus, "half"},
        {limits_parse_pids, ""},
        {limits_parse_pids, "1"},
        {limits_parse_pids, "-2"},
        {limits_parse_pids, "2.5"},
        {limits_parse_pids, "4194305"},
        {limits_parse_ulimit, ""},
        {limits_parse_ulimit, "nofile"},
        {limits_parse_ulimit, "nofile="},
        {limits_parse_ulimit, "nofile=:5"},
        {limits_parse_ulimit, "nofile=5:"},
        {limits_parse_ulimit, "nofile=5:4"},
        {limits_parse_ulimit, "nofile=-1:4"},
        {limits_parse_ulimit, "nofile=1:2:3"},
        {limits_parse_ulimit, "nofile=x"},
        {limits_parse_ulimit, "nofile=-2"},
        {limits_parse_ulimit, "NOFILE=5"},
        {limits_parse_ulimit, "nofiles=5"},
        {limits_parse_ulimit, "as=5"},
        {limits_parse_ulimit, "=5"},
        {limits_parse_ulimit, "nofile=18446744073709551616"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct limits limits = {.memory = 1, .cpu = 1, .pids = 3};

        if (!table[i].parse(table[i].text, &limits))
            fail_msg("'%s' (%zu) was accepted", table[i].text, i);
        assert_int_equal(limits.memory, 1);
        assert_int_equal(limits.cpu, 1);
        assert_int_equal(limits.pids, 3);
        assert_int_equal(limits.ulimit_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_read),
        cmocka_unit_test(cpus_are_read),
        cmocka_unit_test(pids_are_read),
        cmocka_unit_test(ulimits_are_read),
        cmocka_unit_test(there_is_room_for_every_resource),
        cmocka_unit_test(bad_values_get_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
