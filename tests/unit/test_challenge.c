#include "tests/unit/unit.h"

#include "runtime/net/challenge.h"
#include "runtime/net/url.h"

static const struct {
    const char *header;
    bool basic, bearer;
    const char *realm, *service, *scope;
} cases[] = {
    {"Basic realm=\"r\"", true, false, NULL, NULL, NULL},
    {"basic", true, false, NULL, NULL, NULL},
    {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", false, true,
     "https://a/t", "s", "repository:x:pull"},
    {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"a,b\",Basic realm=\"r\"", true, true,
     "https://a/t", "s", "a,b"},
    {"Basic realm=\"r\", Bearer realm=\"https://a/t\"", true, true, "https://a/t", NULL, NULL},
    {"bEaReR REALM = \"https://a/t\" , Service=s", false, true, "https://a/t", "s", NULL},
    {"Bearer realm=https://a/t,service=s", false, true, "https://a/t", "s", NULL},
    {"Bearer realm=\"a\\\"b\\\\c\"", false, true, "a\"b\\c", NULL, NULL},
    {"Bearer realm=\"one\",realm=\"two\"", false, true, "one", NULL, NULL},
    {"Bearer realm=\"one\", Bearer realm=\"two\"", false, true, "one", NULL, NULL},
    {"Bearer service=\"s\"", false, false, NULL, NULL, NULL},
    {"Bearer error=\"x\",realm=\"r\"", false, true, "r", NULL, NULL},
    {"Negotiate", false, false, NULL, NULL, NULL},
    {"Negotiate abc+/==, Basic realm=\"r\"", true, false, NULL, NULL, NULL},
    {"Digest realm=\"d\", nonce=\"n\", Basic realm=\"r\"", true, false, NULL, NULL, NULL},
    {"", false, false, NULL, NULL, NULL},
    {",,, ,", false, false, NULL, NULL, NULL},
    {"Bearer realm=\"never closed", false, true, "never closed", NULL, NULL},
    {"Bearer realm=", false, true, "", NULL, NULL},
    {"=\"x\" Bearer", false, false, NULL, NULL, NULL},
    {"Bearer realm=\"ends in \\", false, true, "ends in \\", NULL, NULL},
};

static void same(const char *found, const char *expected)
{
    if (expected)
        assert_string_equal(found, expected);
    else
        assert_null(found);
}

static void test_challenges(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autochallenge challenge = {0};

        assert_true(challenge_parse(cases[i].header, &challenge));
        if (challenge.basic != cases[i].basic || challenge.bearer != cases[i].bearer)
            fail_msg("%s", cases[i].header);
        same(challenge.realm, cases[i].realm);
        same(challenge.service, cases[i].service);
        same(challenge.scope, cases[i].scope);
    }
}

static void test_long_value(void **state)
{
    char header[2 * CHALLENGE_VALUE_MAX] = "Bearer realm=\"";
    autochallenge challenge = {0};

    (void)state;
    memset(header + strlen(header), 'a', CHALLENGE_VALUE_MAX + 1);
    strcat(header, "\",service=\"s\"");
    assert_true(challenge_parse(header, &challenge));
    assert_false(challenge.bearer);
}

static void test_hosts(void **state)
{
    static const char *const loopback[] = {
        "localhost", "localhost:5000", "127.0.0.1",   "127.1.2.3:80",
        "[::1]",     "[::1]:5000",     "a.localhost",
    };
    static const char *const private[] = {
        "10.0.0.1",          "192.168.1.1",      "172.16.0.1:5000",
        "172.31.255.255",    "169.254.169.254",  "[fe80::1]:1",
        "[fd00::1]",         "0.0.0.0",          "[::]",
        "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]",
        "[2002:a00:1::1]",   "[::10.0.0.1]",     "[fec0::1]",
        "[feff::1]",
    };
    static const char *const public[] = {
        "docker.io", "172.32.0.1", "8.8.8.8",           "[2001:db8::1]",
        "[2003::1]", "[ff02::1]",  "localhost.example", "127.example",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(loopback); i++)
        assert_true(host_is_loopback(loopback[i]) && host_is_private(loopback[i]));
    for (size_t i = 0; i < COUNT(private); i++)
        assert_true(!host_is_loopback(private[i]) && host_is_private(private[i]));
    for (size_t i = 0; i < COUNT(public); i++)
        assert_false(host_is_private(public[i]));
}

static void test_urls(void **state)
{
    static const char *const refused[] = {
        "",
        "x",
        "/x",
        "file:///etc/passwd",
        "gopher://x/",
        "https://a@b/",
        "https://a:b@c/",
        "https://",
        "ftp://x/",
        "http://%30x7f.1/",
        "http:/%35",
    };
    autourl base = {0}, next = {0}, other = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(url_parse(refused[i], NULL, &other));
    assert_true(url_parse("https://h:8443/a/b?c", NULL, &base));
    assert_true(url_parse("../d", &base, &next));
    assert_string_equal(next.text, "https://h:8443/d");
    assert_true(url_same_origin(&base, &next));
    assert_true(url_parse("//h/x", &base, &other));
    assert_false(url_same_origin(&base, &other));
    assert_false(url_parse("file:///etc/passwd", &base, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_long_value),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
