/* What feeds serve, and what is taken from it. */
#include "tests/unit/unit.h"

#include "runtime/image/feed.h"
#include "runtime/image/xml.h"

/* All of them in the order of the document, with commas between. */
static void joined(const struct strv *versions, char *text, size_t size)
{
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < versions->count; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%s", i ? "," : "", versions->items[i]);
}

#define MAVEN(inside) "<metadata><versioning>" inside "</versioning></metadata>"
#define ONE           "<versions><version>1.0</version></versions>"

static const struct {
    const char *feed, *text, *versions; /* NULL: it cannot be read */
} documents[] = {
    /* maven */
    {"maven:file:///f", MAVEN("<latest>9</latest><release>8</release>" ONE), "1.0"},
    {"maven:file:///f", MAVEN("<release/><versions><version>\n 1.0\t</version></versions>"), "1.0"},
    {"maven:file:///f", "<?xml version='1.0' encoding='utf-8'?>\n<!-- c -->" MAVEN(ONE) "\n",
     "1.0"},
    {"maven:file:///f", "\xef\xbb\xbf" MAVEN(ONE), "1.0"},
    {"maven:file:///f", MAVEN("<versions><version><![CDATA[1.0]]>-b</version></versions>"),
     "1.0-b"},
    {"maven:file:///f", MAVEN("<versions><version>1&#46;0&#x2b;b</version></versions>"), "1.0+b"},
    {"maven:file:///f",
     MAVEN("<versions><version>1.0\nx=y</version><version>../1</version><version>1.1</version>"
           "</versions>"),
     "1.1"},
    {"maven:file:///f", MAVEN("<versions><version>1.0&lt;b&amp;</version></versions>"), ""},
    {"maven:file:///f", MAVEN("<versions></versions>"), ""},
    {"maven:file:///f", "<metadata xmlns=\"http://example.org/m\"/>", ""},
    {"maven:file:///f", "<metadata><other><version>1</version></other></metadata>", ""},
    {"maven:file:///f", "<html>" MAVEN(ONE) "</html>", NULL},
    {"maven:file:///f", "", NULL},
    {"maven:file:///f", "<metadata><versioning>" ONE, NULL},
    {"maven:file:///f", MAVEN("<versions><version>1<b/>0</version></versions>"), NULL},
    {"maven:file:///f", MAVEN("<versions><version>&v;</version></versions>"), NULL},
    {"maven:file:///f",
     "<!DOCTYPE metadata [<!ENTITY v '1.0'>]>" MAVEN("<versions><version>&v;</version></versions>"),
     NULL},
    {"maven:file:///f", "<?xml version='1.0' encoding='utf-16'?>" MAVEN(ONE), NULL},
    {"maven:file:///f", "<?php ?>" MAVEN(ONE), NULL},
    /* github */
    {"github:file:///f", "[{\"tag_name\":\"v1.0\"},{\"name\":\"v1.1\"}]", "v1.0,v1.1"},
    {"github:file:///f", "[{\"tag_name\":\"v1.0\",\"name\":\"The big one\"}]", "v1.0"},
    {"github:file:///f",
     "[{\"tag_name\":\"v2\",\"draft\":true},{\"tag_name\":\"v3\",\"prerelease\":true},"
     "{\"tag_name\":\"v1\",\"draft\":false,\"prerelease\":false}]",
     "v1"},
    {"github:file:///f", "[]", ""},
    {"github:file:///f", "{\"tag_name\":\"v1.0\"}", NULL},
    {"github:file:///f", "{\"message\":\"API rate limit exceeded\"}", NULL},
    {"github:file:///f", "[{\"id\":1}]", NULL},
    {"github:file:///f", "[1]", NULL},
    {"github:file:///f", "<html></html>", NULL},
    /* npm */
    {"npm:file:///f",
     "{\"dist-tags\":{\"latest\":\"1.9.0\",\"next\":\"2.0.0\"},\"versions\":{\"1.9.0\":{},"
     "\"2.0.0\":{},\"1.8.0\":{\"deprecated\":\"bad\"},\"1.7.0\":{\"deprecated\":false},"
     "\"1.6.0\":{\"deprecated\":true},\"1.5.0\":{\"deprecated\":\"\"}}}",
     "1.9.0,1.7.0,1.5.0"},
    {"npm:file:///f", "{\"versions\":{\"1.0.0\":{},\"1.1.0\":{}}}", "1.0.0,1.1.0"},
    {"npm:file:///f", "{\"dist-tags\":{\"latest\":\"3.0.0\"},\"versions\":{\"1.0.0\":{}}}", NULL},
    {"npm:file:///f", "{\"error\":\"not_found\"}", NULL},
    {"npm:file:///f", "{\"versions\":[\"1.0.0\"]}", NULL},
    /* pypi */
    {"pypi:file:///f",
     "{\"info\":{\"version\":\"9\"},\"releases\":{\"1.0\":[{\"yanked\":false}],\"1.1\":[],"
     "\"1.2\":[{\"yanked\":true}],\"1.3\":[{\"yanked\":true},{\"yanked\":false}]}}",
     "1.0,1.3"},
    {"pypi:file:///f",
     "{\"versions\":[\"1.0\",\"1.1\",\"1.2\",\"2.0\"],\"files\":["
     "{\"filename\":\"a_b-1.0-py3-none-any.whl\",\"yanked\":false},"
     "{\"filename\":\"a-b-1.1.tar.gz\",\"yanked\":\"a reason\"},"
     "{\"filename\":\"a-b-1.2.tar.gz\",\"yanked\":true},"
     "{\"filename\":\"a_b-1.2-py3-none-any.whl\"}]}",
     "1.0,1.2"},
    {"pypi:file:///f", "{\"message\":\"Not Found\"}", NULL},
    {"pypi:file:///f", "[]", NULL},
    /* apt */
    {"apt:file:///f#azure-cli",
     "Package: azure-cli\nVersion: 2.88.0-1~noble\nDepends: x\n\n"
     "Package: azure-cli-extra\nVersion: 9\n\nVersion: 1:2.9-1\nPackage:  azure-cli \n",
     "2.88.0-1~noble,1:2.9-1"},
    {"apt:file:///f#a-b", "Package: a-b\nDescription: x\n Version: 9\n\n", ""},
    {"apt:file:///f#a-b", "Package: other\nVersion: 1\n", ""},
    {"apt:file:///f#a-b", "Package: a-b\r\nVersion: 1\r\n\r\nPackage: c\r\nVersion: 2\r\n", "1"},
    {"apt:file:///f#a-b", "Package: a-b\nVersion: 1\n \t\nPackage: c\nVersion: 2\n", "1"},
    {"apt:file:///f#a-b", "<html>Version: 1\n</html>", NULL},
    {"apt:file:///f#a-b", "", NULL},
    /* json */
    {"json:file:///f#/a/b", "{\"a\":{\"b\":\"1.10\"}}", "1.10"},
    {"json:file:///f#/a", "{\"a\":[\"1.10\",\"1.9\"]}", "1.10,1.9"},
    {"json:file:///f#/versions", "{\"versions\":{\"1.10\":{},\"1.9\":1}}", "1.10,1.9"},
    {"json:file:///f#", "[\"1\"]", "1"},
    {"json:file:///f#/*/version", "[{\"version\":\"1\"},{\"x\":1},{\"version\":null}]", "1"},
    {"json:file:///f#/0/v", "[{\"v\":\"1\"},{\"v\":\"2\"}]", "1"},
    {"json:file:///f#/a~1b/c~0d/e%20f", "{\"a/b\":{\"c~d\":{\"e f\":\"1\"}}}", "1"},
    {"json:file:///f#/*", "{\"*\":\"1\"}", "1"},
    {"json:file:///f#/a", "{\"a\":1.10}", NULL},
    {"json:file:///f#/a", "{\"a\":[1.10]}", NULL},
    {"json:file:///f#/a", "{\"a\":true}", NULL},
    {"json:file:///f#/a", "{\"b\":\"1\"}", NULL},
    {"json:file:///f#/a", "{\"a\":null}", NULL},
    {"json:file:///f#/*/v", "[]", NULL},
    {"json:file:///f#/01", "[\"1\",\"2\"]", NULL},
    {"json:file:///f#/a", "{\"a\":\"1\",\"a\":\"2\"}", NULL},
    {"json:file:///f#/a", "{\"a\":\"1\"} ", "1"},
    {"json:file:///f#/a", "{\"a\":\"1\"}x", NULL},
    {"json:file:///f#/a", "{\"a\":\"1\\u000aContinue=Yes\"}", ""},
    /* text */
    {"text:file:///f#flyway-([0-9.]+)\\.tar",
     "<a href=flyway-7.9.9.tar.gz> <a href=flyway-7.10.0.tar>\nflyway-8.0.tar", "7.9.9,7.10.0,8.0"},
    {"text:file:///f#^v([0-9]+)$", "v1\nxv2\nv3x\nv4", "1,4"},
    {"text:file:///f#([0-9.]*)", "a1.0b", "1.0"},
    {"text:file:///f#v([^ ]+)", "v1;rm v2", "2"},
    {"text:file:///f#v([0-9]+)", "", ""},
};

static void test_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        autofeed feed = {0};
        autostrv versions = {0};
        char text[4096];
        struct err err = ERR_INIT;
        bool ok;

        assert_ok(feed_parse(documents[i].feed, &feed, &err));
        ok = feed_read(&feed, documents[i].text, strlen(documents[i].text), &versions, &err);
        if (ok != (documents[i].versions != NULL))
            fail_msg("%s: %s: %s", documents[i].feed, documents[i].text, err.message);
        if (!ok) {
            assert_int_equal(err.code, ERR_CONFIG_INVALID);
            continue;
        }
        joined(&versions, text, sizeof(text));
        if (strcmp(text, documents[i].versions) != 0)
            fail_msg("%s: %s: '%s'", documents[i].feed, documents[i].text, text);
    }
}

/* Values of JSON take much more room than their text. */
static void test_values(void **state)
{
    autofeed feed = {0};
    autostrv versions = {0};
    autobuf text = BUF_INIT(2 * FEED_VALUES_MAX);
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(feed_parse("json:file:///f#/0", &feed, &err));
    assert_true(buf_append_text(&text, "[\"1\""));
    for (size_t i = 0; i < FEED_VALUES_MAX / 2; i++)
        assert_true(buf_append_text(&text, ",[]"));
    assert_true(buf_append_text(&text, "]"));
    assert_false(feed_read(&feed, text.data, text.len, &versions, &err));
    assert_non_null(strstr(err.message, "too many values"));
}

/* A line of any length, with a version on every border of what an expression sees at once. */
static void test_windows(void **state)
{
    const size_t around = 3 * FEED_WINDOW;

    (void)state;
    for (size_t at = 0; at < around; at += 61) {
        autofeed feed = {0};
        autostrv versions = {0};
        autobuf text = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;

        assert_ok(feed_parse("text:file:///f#tool-([0-9.]+)", &feed, &err));
        for (size_t j = 0; j < at; j++)
            assert_true(buf_append_text(&text, "x"));
        assert_true(buf_append_text(&text, "tool-123.456.789"));
        for (size_t j = 0; j < around; j++)
            assert_true(buf_append_text(&text, "y"));
        assert_true(feed_read(&feed, text.data, text.len, &versions, &err));
        assert_int_equal(versions.count, 1);
        assert_string_equal(versions.items[0], "123.456.789");
    }
}

static void test_names(void **state)
{
    static const char *const good[] = {
        "maven:https://repo.example.org/m/maven-metadata.xml",
        "github:http://127.0.0.1:8080/repos/o/r/releases?per_page=100",
        "npm:https://example.org/@a%2fb",
        "apt:https://example.org/dists/x/main/binary-amd64/Packages.gz#azure-cli",
        "json:https://example.org/index.json#",
        "text:https://example.org/#>([0-9.]+)#",
        "tags:registry.example.org/team/tools",
        "json:file:///tmp/a b.json#/x",
    };
    static const char *const bad[] = {
        "",
        "maven",
        "maven:",
        "Maven:https://example.org/",
        "nuget:https://example.org/",
        "https://example.org/maven-metadata.xml",
        "maven:ftp://example.org/",
        "maven:https://user:password@example.org/",
        "maven:https://example.org/#x",
        "maven:file://host/path",
        "maven:file:///a%20b",
        "maven:/etc/passwd",
        "tags:registry.example.org/team/tools:1.0",
        "tags:oci:/tmp/layout",
        "apt:https://example.org/Packages",
        "apt:https://example.org/Packages#",
        "apt:https://example.org/Packages#A",
        "apt:https://example.org/Packages#a b",
        "json:https://example.org/",
        "json:https://example.org/#a",
        "json:https://example.org/#/~2",
        "json:https://example.org/#/%zz",
        "json:https://example.org/#/%00",
        "text:https://example.org/",
        "text:https://example.org/#",
        "text:https://example.org/#[0-9]+",
        "text:https://example.org/#([0-9]+)([a-z])",
        "text:https://example.org/#([0-9]+)\\1",
        "text:https://example.org/#([0-9]{3})",
        "text:https://example.org/#([0-9]+",
        "text:https://example.org/#([0-9]+))",
        "text:https://example.org/#([0-9]*)+",
        "text:https://example.org/#([0-9]++++++++++)",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        autofeed feed = {0};
        struct err err = ERR_INIT;

        assert_ok(feed_parse(good[i], &feed, &err));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        autofeed feed = {0};
        struct err err = ERR_INIT;

        if (feed_parse(bad[i], &feed, &err))
            fail_msg("'%s' was accepted", bad[i]);
        assert_int_equal(err.code, ERR_OPTION_INVALID);
    }
}

static void test_versions(void **state)
{
    static const char *const good[] = {"1", "v1.2.3-rc.1+build_5", "1:2.3~rc1", "RELEASE.2024"};
    static const char *const bad[] = {"",    "1 2", "1\n2",     "1;2",   "1%0A2",
                                      "1'2", "1|2", "1]2",      "1\x1b", "1$(2",
                                      "1=2", "1/2", "\xc3\xa4", "1\"",   "`1`"};
    char longest[VERSION_MAX + 2];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(feed_version_is_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(feed_version_is_valid(bad[i]));
    memset(longest, '1', sizeof(longest));
    longest[VERSION_MAX] = '\0';
    assert_true(feed_version_is_valid(longest));
    longest[VERSION_MAX] = '1';
    longest[VERSION_MAX + 1] = '\0';
    assert_false(feed_version_is_valid(longest));
}

/* ---- xml ---- */

/* What is read, as "<name", "text", ">name"; ends with "!" when it is broken. */
static void events(const char *text, size_t len, char *out, size_t size)
{
    autoxml xml;
    enum xml_event event;
    size_t used = 0;

    xml_begin(&xml, text, len);
    out[0] = '\0';
    while ((event = xml_next(&xml)) != XML_DONE && used + 200 < size) {
        const struct xml_name *name = xml.depth ? &xml.names[xml.depth - 1] : NULL;

        if (event == XML_BROKEN) {
            assert_non_null(xml.why);
            snprintf(out + used, size - used, "!");
            return;
        }
        used += (size_t)(event == XML_TEXT
                             ? snprintf(out + used, size - used, "%s",
                                        xml.text.data ? xml.text.data : "")
                             : snprintf(out + used, size - used, "%c%.*s",
                                        event == XML_START ? '<' : '>', (int)name->len, name->at));
    }
}

static void test_xml(void **state)
{
    static const struct {
        const char *text, *events;
    } good[] = {
        {"<a/>", "<a>a"},
        {" <a\n/> <!-- x --> <!----> ", "<a>a"},
        {"<a><b/><b></b ></a>", "<a<b>b<b>b>a"},
        {"<a x='1' y = \"<\"/>", "!"},
        {"<a x='&lt;' y = \"'\"/>", "<a>a"},
        {"<a>1 &amp; 2 &#x20AC;</a>", "<a1 & 2 \xe2\x82\xac>a"},
        {"<a>1<!-- <b> -->2</a>", "<a12>a"},
        {"<a><![CDATA[<b>&amp;]]></a>", "<a<b>&amp;>a"},
        {"<?xml version=\"1.0\"?><n:a-1.b/>", "<n:a-1.b>n:a-1.b"},
        {"<?xml version=\"1.0\" encoding=\"US-ASCII\"?><a/>", "<a>a"},
    };
    static const char *const bad[] = {
        "",
        " ",
        "a",
        "<",
        "<a",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='c>",
        "<a b='c'd='e'/>",
        "<1/>",
        "< a/>",
        "<a>&b;</a>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#1a;</a>",
        "<a><!-- -- --></a>",
        "<a><!-- </a>",
        "<a><![CDATA[</a>",
        "<![CDATA[a]]><a/>",
        "<!DOCTYPE a><a/>",
        "<a><!ENTITY b 'c'></a>",
        "<a><?b?></a>",
        "<a/><?b?>",
        " <?xml version='1.0'?><a/>",
        "<?xml version='1.0' encoding='latin1'?><a/>",
        "<?xml version='1.0'",
        "<a>\xff</a>",
        "<a>\x01</a>",
        "<a/ >",
        "<a>&#99999999999;</a>",
    };
    char out[1024];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        events(good[i].text, strlen(good[i].text), out, sizeof(out));
        assert_string_equal(out, good[i].events);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        events(bad[i], strlen(bad[i]), out, sizeof(out));
        if (!strchr(out, '!'))
            fail_msg("'%s' was accepted: %s", bad[i], out);
    }
}

static void test_xml_limits(void **state)
{
    autobuf text = BUF_INIT(1 << 20);
    char out[1024];

    (void)state;
    for (int i = 0; i < XML_DEPTH_MAX + 1; i++)
        assert_true(buf_append_text(&text, "<a>"));
    events(text.data, text.len, out, sizeof(out));
    assert_non_null(strchr(out, '!'));
    buf_release(&text);
    assert_true(buf_append_text(&text, "<a>"));
    for (int i = 0; i < XML_TEXT_MAX + 1; i++)
        assert_true(buf_append_text(&text, "b"));
    assert_true(buf_append_text(&text, "</a>"));
    events(text.data, text.len, out, sizeof(out));
    assert_string_equal(out, "<a!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),  cmocka_unit_test(test_values),
        cmocka_unit_test(test_windows),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_versions),   cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
