/* Parsers of what servers and the environment say. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "runtime/net/fields.h"
#include "runtime/net/proxy.h"

#define NOW 1000000000 /* Sun, 09 Sep 2001 01:46:40 GMT */

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        uint64_t ms;
    } good[] = {
        {"0", 0},
        {"1", 1000},
        {"120 ", 120000},
        {"1000000000", UINT64_C(1000000000000)},
        {"Sun, 09 Sep 2001 01:46:45 GMT", 5000},
        {"Sunday, 09-Sep-01 01:47:40 GMT", 60000},
        {"Sun Sep  9 01:46:41 2001", 1000},
        {"Sun, 09 Sep 2001 01:46:40 GMT", 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    };
    static const char *const bad[] = {"",    " ",       "-1",   "1.5",  "+1",
                                      "1s",  "1 2",     "0x10", "soon", "99999999999999999999999",
                                      "Sun", "2001-09", "01",   "\x1b"};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!retry_after_parse(good[i].value, NOW, &ms) || ms != good[i].ms)
            fail_msg("'%s'", good[i].value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (retry_after_parse(bad[i], NOW, &ms))
            fail_msg("'%s' was accepted", bad[i]);
    }
}

static void test_content_range(void **state)
{
    static const struct {
        const char *value;
        struct content_range range;
    } good[] = {
        {"bytes 0-0/1", {0, 0, true, 1}},
        {"bytes 5-9/10", {5, 9, true, 10}},
        {"BYTES \t5-9/*", {5, 9, false, 0}},
        {"bytes 0-9223372036854775806/9223372036854775807", {0, INT64_MAX - 1, true, INT64_MAX}},
    };
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes ",
        "bytes */10",
        "bytes 5-9",
        "bytes 5-9/",
        "bytes 9-5/10",
        "bytes 5-10/10",
        "bytes -9/10",
        "bytes 5-/10",
        "bytes 5 - 9/10",
        "bytes 5-9/10x",
        "bytes 5-9/1 0",
        "bytes=5-9/10",
        "items 5-9/10",
        "5-9/10",
        "bytes 0x5-9/10",
        "bytes -1--2/3",
        "bytes 5-9/-10",
        "bytes 99999999999999999999999999-9/10",
        "bytes 5-18446744073709551616/18446744073709551617",
    };
    struct content_range range;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        memset(&range, 0, sizeof(range));
        if (!content_range_parse(good[i].value, &range))
            fail_msg("'%s'", good[i].value);
        assert_int_equal(range.first, good[i].range.first);
        assert_int_equal(range.last, good[i].range.last);
        assert_int_equal(range.has_size, good[i].range.has_size);
        assert_int_equal(range.size, good[i].range.size);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (content_range_parse(bad[i], &range))
            fail_msg("'%s' was accepted", bad[i]);
    }
}

static void test_links(void **state)
{
    static const struct {
        const char *value, *target;
    } cases[] = {
        {"</v2/x?last=a&n=2>; rel=\"next\"", "/v2/x?last=a&n=2"},
        {"</v2/x?last=a%2Fb>;rel=next", "/v2/x?last=a%2Fb"},
        {"<a>; REL=NEXT", "a"},
        {"<a>; rel = \"prev next\"", "a"},
        {"<a>; title=\"x, <b>; rel=next\"; rel=\"next\"", "a"},
        {"<a>; rel=prev, <b>; rel=next", "b"},
        {"<a>; flag; rel=next", "a"},
        {", <a> ; rel=next ,", "a"},
        {"<a,b;c>; rel=next", "a,b;c"},
        {"<>; rel=next", ""},
        {"<a>; rel=next; rel=prev", "a"},
        {"<a>; rel=prev; rel=next", NULL},
        {"<a>; rel=\"nextish\"", NULL},
        {"<a>; x-rel=next", NULL},
        {"<a>", NULL},
        {"<a; rel=next", NULL},
        {"a; rel=next", NULL},
        {"", NULL},
        {"<a>; rel=", NULL},
        {"<a>; =next", NULL},
        {"<a>; rel=\"never closed", NULL},
        {"<a>; title=\"ends in \\", NULL},
        {"<a>;;;; = = ,,", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autofree char *target = link_next(cases[i].value);

        if (!target != !cases[i].target || (target && strcmp(target, cases[i].target) != 0))
            fail_msg("'%s' gives '%s'", cases[i].value, target ? target : "nothing");
    }
}

static void test_warnings(void **state)
{
    static const struct {
        const char *value, *text;
    } cases[] = {
        {"299 - \"read this\"", "read this"},
        {" 299 - \"a \\\"b\\\" c\" ", "a \"b\" c"},
        {"299 - \"old\" \"Sat, 25 Aug 2012 23:34:45 GMT\"", "old"},
        {"110 a.example \"stale, 299 - \", 299 - \"own\"", "own"},
        {"110 a.example \"stale\" \"Sat, 25 Aug 2012 23:34:45 GMT\", 299 - \"own\"", "own"},
        {"299 - \"first\", 299 - \"second\"", "first"},
        {"299 - \"\x1b[31m\"", "\x1b[31m"},
        {"", NULL},
        {"299 -", NULL},
        {"299 - text", NULL},
        {"299 - \"open", NULL},
        {"299 - \"\"", NULL},
        {"299 a.example \"not ours\"", NULL},
        {"199 - \"passing\"", NULL},
        {"2990 - \"x\"", NULL},
        {"110 x \"a\" \"b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autofree char *text = warning_text(cases[i].value);

        if (cases[i].text ? !text || strcmp(text, cases[i].text) != 0 : text != NULL)
            fail_msg("'%s' gives '%s'", cases[i].value, text ? text : "nothing");
    }
}

static void test_long_warning(void **state)
{
    autofree char *inside = text_printf("299 - \"%0*d\"", WARNING_MAX, 0);
    autofree char *outside = text_printf("299 - \"%0*d\"", WARNING_MAX + 1, 0);
    autofree char *text = warning_text(inside), *none = warning_text(outside);

    (void)state;
    assert_non_null(text);
    assert_int_equal(strlen(text), WARNING_MAX);
    assert_null(none);
}

static void test_long_link(void **state)
{
    static char value[8192] = "<a>; title=\"";

    (void)state;
    memset(value + strlen(value), 'x', 4000);
    strcat(value, "\"; rel=next");
    {
        autofree char *target = link_next(value);

        assert_string_equal(target, "a");
    }
}

static void test_no_proxy(void **state)
{
    static const struct {
        const char *list, *host;
        unsigned int port;
        bool covers;
    } cases[] = {
        {"*", "any.example", 443, true},
        {"example.com", "example.com", 443, true},
        {"example.com", "EXAMPLE.com", 443, true},
        {"example.com", "a.example.com", 443, true},
        {"example.com", "example.com.", 443, true},
        {"example.com", "badexample.com", 443, false},
        {"example.com", "example.com.evil", 443, false},
        {".example.com", "a.example.com", 443, true},
        {"*.example.com", "a.b.example.com", 443, true},
        {"a, b ,example.com", "example.com", 443, true},
        {"a b\texample.com", "example.com", 443, true},
        {"example.com:5000", "example.com", 5000, true},
        {"example.com:5000", "example.com", 443, false},
        {"192.0.2.1", "192.0.2.1", 80, true},
        {"192.0.2.1:80", "192.0.2.1", 80, true},
        {"192.0.2.1:80", "192.0.2.1", 81, false},
        {"192.0.2.1", "192.0.2.10", 80, false},
        {"2.1", "192.0.2.1", 80, false},
        {"192.0.2.0/24", "192.0.2.77", 80, true},
        {"192.0.2.0/25", "192.0.2.128", 80, false},
        {"192.0.2.128/25", "192.0.2.129", 80, true},
        {"0.0.0.0/0", "198.51.100.1", 80, true},
        {"192.0.2.0/33", "192.0.2.1", 80, false},
        {"192.0.2.0/", "192.0.2.1", 80, false},
        {"192.0.2.0/24", "host.example", 80, false},
        {"2001:db8::/32", "[2001:db8::5]", 80, true},
        {"2001:db8::/32", "[2001:db9::5]", 80, false},
        {"2001:db8::5", "[2001:db8:0::5]", 80, true},
        {"[2001:db8::5]", "[2001:db8::5]", 80, true},
        {"[2001:db8::5]:80", "[2001:db8::5]", 80, true},
        {"[2001:db8::5]:81", "[2001:db8::5]", 80, false},
        {"::/0", "192.0.2.1", 80, false},
        {"", "x", 80, false},
        {",, ,", "x", 80, false},
        {".", "x", 80, false},
        {"*.", "x", 80, false},
        {":80", "x", 80, false},
        {"[", "x", 80, false},
        {"[]", "x", 80, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (no_proxy_covers(cases[i].list, cases[i].host, cases[i].port) != cases[i].covers)
            fail_msg("'%s' and '%s'", cases[i].list, cases[i].host);
    }
}

static const char *chosen(const char *text)
{
    autourl url = {0};

    assert_true(url_parse(text, NULL, &url));
    return proxy_for(&url);
}

static void test_proxy_for(void **state)
{
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY",
                                        "no_proxy",    "NO_PROXY",   "REQUEST_METHOD"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
    assert_null(chosen("https://a.example/"));
    setenv("ALL_PROXY", "all", 1);
    assert_string_equal(chosen("https://a.example/"), "all");
    setenv("HTTP_PROXY", "plain", 1);
    setenv("HTTPS_PROXY", "tls", 1);
    assert_string_equal(chosen("http://a.example/"), "plain");
    assert_string_equal(chosen("https://a.example/"), "tls");
    setenv("https_proxy", "lower", 1);
    assert_string_equal(chosen("https://a.example/"), "lower");
    setenv("REQUEST_METHOD", "GET", 1);
    assert_string_equal(chosen("http://a.example/"), "all");
    setenv("NO_PROXY", "b.example, a.example:443", 1);
    assert_null(chosen("https://a.example/"));
    assert_string_equal(chosen("https://a.example:444/"), "lower");
    setenv("no_proxy", "", 1);
    assert_string_equal(chosen("https://a.example/"), "lower");
    assert_null(chosen("https://127.0.0.1/"));
    assert_null(chosen("http://localhost:5000/"));
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
}

static void test_proxy_urls(void **state)
{
    static const char *const good[] = {
        "proxy.example",         "proxy.example:3128",     "http://proxy.example:3128/",
        "http://u:p@proxy:3128", "https://proxy.example",  "socks5h://proxy:1080",
        "SOCKS4://proxy",        "http://[2001:db8::1]:1", "192.0.2.1:80",
    };
    static const char *const bad[] = {
        "",          " ",   "http://", "ftp://proxy",        "file:///etc", "http://u:p@",
        "http://[x", "a b", "proxy:x", "http://proxy:99999", "http://a\nb",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!url_is_proxy(good[i]))
            fail_msg("'%s'", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (url_is_proxy(bad[i]))
            fail_msg("'%s' was accepted", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_content_range),
        cmocka_unit_test(test_links),       cmocka_unit_test(test_long_link),
        cmocka_unit_test(test_warnings),    cmocka_unit_test(test_long_warning),
        cmocka_unit_test(test_no_proxy),    cmocka_unit_test(test_proxy_for),
        cmocka_unit_test(test_proxy_urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
