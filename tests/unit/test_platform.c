#include "tests/unit/unit.h"

#include "runtime/image/platform.h"

static const struct {
    const char *text, *normal;
} good[] = {
    {"linux/amd64", "linux/amd64"},
    {"Linux/x86_64", "linux/amd64"},
    {"linux/amd64/v1", "linux/amd64"},
    {"linux/amd64/v3", "linux/amd64/v3"},
    {"linux/aarch64", "linux/arm64"},
    {"linux/arm64/v8", "linux/arm64"},
    {"linux/arm64/8", "linux/arm64"},
    {"linux/arm", "linux/arm/v7"},
    {"linux/arm/7", "linux/arm/v7"},
    {"linux/armhf", "linux/arm/v7"},
    {"linux/armel", "linux/arm/v6"},
    {"linux/i386", "linux/386"},
    {"macos/arm64", "darwin/arm64"},
    {"windows(10.0.20348.2227)/amd64", "windows(10.0.20348.2227)/amd64"},
    {"linux/riscv64", "linux/riscv64"},
};

static const char *const bad[] = {
    "",
    "linux",
    "linux/",
    "/amd64",
    "linux/amd64/",
    "linux/amd64/v1/x",
    "linux(/amd64",
    "linux()/amd64",
    "lin ux/amd64",
    "linux/amd64\n",
    "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

/* Rank -1 is no match; otherwise only the order of ranks for the same wanted platform counts. */
static const struct {
    const char *wanted, *offered;
    int rank;
} ranks[] = {
    {"linux/amd64", "linux/amd64", 0},
    {"linux/amd64", "linux/386", 1},
    {"linux/amd64", "linux/amd64/v2", -1},
    {"linux/amd64", "windows/amd64", -1},
    {"linux/amd64", "linux/arm64", -1},
    {"linux/amd64/v3", "linux/amd64/v3", 0},
    {"linux/amd64/v3", "linux/amd64/v2", 1},
    {"linux/amd64/v3", "linux/amd64", 2},
    {"linux/amd64/v3", "linux/386", 3},
    {"linux/amd64/v3", "linux/amd64/v4", -1},
    {"linux/386", "linux/amd64", -1},
    {"linux/arm/v7", "linux/arm/v7", 0},
    {"linux/arm/v7", "linux/arm/v6", 1},
    {"linux/arm/v7", "linux/arm/v5", 2},
    {"linux/arm/v6", "linux/arm/v7", -1},
    {"linux/arm/v5", "linux/arm/v5", 0},
    {"linux/arm64", "linux/arm64", 0},
    {"linux/arm64", "linux/arm/v8", 1},
    {"linux/arm64", "linux/arm/v7", 2},
    {"linux/arm64/v8.2", "linux/arm64/v8.1", 1},
    {"linux/arm64/v8.2", "linux/arm64", 2},
    {"linux/arm64/v9", "linux/arm64/v8.5", 1},
    {"linux/arm64", "linux/arm64/v9", -1},
    {"linux/s390x", "linux/s390x", 0},
    {"linux/s390x", "linux/amd64", -1},
    {"windows/amd64", "windows(10.0.20348.1)/amd64", 0},
    {"windows(10.0.17763.1)/amd64", "windows(10.0.17763.9)/amd64", 0},
    {"windows(10.0.17763.1)/amd64", "windows(10.0.14393.1)/amd64", -1},
    {"windows(10.0.20348.1)/amd64", "windows(10.0.17763.1)/amd64", -1},
    {"windows(10.0.26100.1)/amd64", "windows(10.0.20348.1)/amd64", 0},
    {"windows(10.0.26100.1)/amd64", "windows(10.0.26100.9)/amd64", 0},
    {"windows(10.0.20348.1)/amd64", "windows(10.0.26100.1)/amd64", -1},
    {"windows(10.0.20348.1)/amd64", "windows(11.0.20348.1)/amd64", -1},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        char text[PLATFORM_TEXT_MAX];
        struct platform platform;
        struct err err;

        assert_true(platform_parse(good[i].text, &platform, &err));
        platform_text(&platform, text);
        assert_string_equal(text, good[i].normal);
    }
}

static void test_refuse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct platform platform;
        struct err err;

        if (platform_parse(bad[i], &platform, &err))
            fail_msg("'%s' is taken for a platform", bad[i]);
        assert_int_equal(err.code, ERR_OPTION_INVALID);
    }
}

static void test_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ranks); i++) {
        struct platform wanted, offered;
        struct err err;
        int rank;

        assert_true(platform_parse(ranks[i].wanted, &wanted, &err));
        assert_true(platform_parse(ranks[i].offered, &offered, &err));
        rank = platform_rank(&wanted, &offered);
        if (rank != ranks[i].rank)
            fail_msg("%s for %s: %d", ranks[i].offered, ranks[i].wanted, rank);
    }
}

/* Every machine runs what it is. */
static void test_host(void **state)
{
    struct platform host;

    (void)state;
    platform_host(&host);
    assert_string_equal(host.os, "linux");
    assert_int_equal(platform_rank(&host, &host), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
