/* Which version of a feed is the newest, what its image is called, and what was there before. */
#include "tests/unit/unit.h"

#include "runtime/image/upstream.h"

#define MANY 12

/* NULL as the version: none, for the reason. */
static const struct {
    const char *what;
    enum version_scheme scheme;
    enum feed_kind kind;
    const char *versions[MANY], *version;
    enum upstream_reason reason;
    const char *prefix, *suffix, *at_least, *include, *exclude, *constraint;
    bool prereleases, revisions;
} choices[] = {
    {.what = "never by text",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v7.9.9", "v7.10.0"},
     .version = "7.10.0"},
    {.what = "the order of the feed says nothing",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"9.1", "10.0", "9.2"},
     .version = "10.0"},
    {.what = "no pre-releases",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.0", "v2.0-rc.1", "v2.0beta1"},
     .version = "1.0"},
    {.what = "but when they are wanted",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.0", "v2.0-rc.1"},
     .version = "2.0-rc.1",
     .prereleases = true},
    {.what = "no channels",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"nightly", "20240501-nightly", "v1.0"},
     .version = "1.0"},
    {.what = "another prefix is another software",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.0", "helm-chart-9.0", "sdk/v8.0"},
     .version = "1.0"},
    {.what = "which may be asked for",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.0", "helm-chart-9.0"},
     .version = "9.0",
     .prefix = "helm-chart-"},
    {.what = "and only one v",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"vv9.0", "v1.0"},
     .version = "1.0"},
    {.what = "variants are others",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TAGS,
     .versions = {"6.5.2", "6.5.3-ubuntu.24.04", "7.0.0-windows.ltsc2022"},
     .version = "6.5.2"},
    {.what = "and may be asked for",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TAGS,
     .versions = {"6.5.2", "6.5.3-ubuntu.24.04", "7.0.0-ubuntu.22.04"},
     .version = "6.5.3",
     .suffix = "-ubuntu.24.04"},
    {.what = "of names for one thing the longest",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TAGS,
     .versions = {"8", "8.0.0", "8.0"},
     .version = "8.0.0"},
    {.what = "days beside versions",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TAGS,
     .versions = {"2.1", "20240101"},
     .version = NULL,
     .reason = UPSTREAM_FEED_MIXED},
    {.what = "are told apart",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TAGS,
     .versions = {"2.1", "20240101"},
     .version = "2.1",
     .at_least = "2.0"},
    {.what = "from 1.10 to 1.10.1",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.10", "v1.10.1"},
     .version = "1.10.1",
     .at_least = "1.10"},
    {.what = "four numbers",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TEXT,
     .versions = {"10.0.20348.2031", "10.0.20348.2113"},
     .version = "10.0.20348.2113"},
    {.what = "beyond 2^53",
     .scheme = VERSION_NUMERIC,
     .kind = FEED_TEXT,
     .versions = {"20240101123045124", "20240101123045123"},
     .version = "20240101123045124"},
    {.what = "constraint",
     .scheme = VERSION_SEMVER,
     .kind = FEED_NPM,
     .versions = {"7.9.0", "8.0.0", "8.0.0-rc.1"},
     .version = "7.9.0",
     .constraint = "<8"},
    {.what = "include",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"7.9.0", "8.0.0"},
     .version = "7.9.0",
     .include = "7.*"},
    {.what = "exclude",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"7.9.0", "8.0.0"},
     .version = "7.9.0",
     .exclude = "8.0.0"},
    {.what = "debian's order",
     .scheme = VERSION_DEB,
     .kind = FEED_APT,
     .versions = {"2.88.0-1~noble", "2.9.0-1~noble", "2.88.0-1~jammy"},
     .version = "2.88.0-1~noble"},
    {.what = "python's",
     .scheme = VERSION_PEP440,
     .kind = FEED_PYPI,
     .versions = {"1.0", "1.1.dev1", "1.0.post1", "garbage"},
     .version = "1.0.post1"},
    {.what = "maven's",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"1.0.0.Final", "1.0.1-SNAPSHOT", "1.0.0.CR2"},
     .version = "1.0.0.Final"},
    {.what = "previews of maven",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"7.0.0", "8.0.0-preview.1", "8.0.0-pre", "8.0.0-nightly", "8.0.0-dev", "8.0.0-EA",
                  "8.0.0-canary.5", "8.0.0-next.1"},
     .version = "7.0.0"},
    {.what = "which may be wanted",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"7.0.0", "8.0.0-preview.1"},
     .version = "8.0.0-preview.1",
     .prereleases = true},
    {.what = "variants of maven",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"32.0.0", "33.0.0-jre", "33.0.0-android"},
     .version = "32.0.0"},
    {.what = "which may be asked for, too",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"32.0.0-jre", "33.0.0-jre", "33.0.0-android"},
     .version = "33.0.0",
     .suffix = "-jre"},
    {.what = "a candidate of debian",
     .scheme = VERSION_DEB,
     .kind = FEED_APT,
     .versions = {"1.0-1", "2.0~rc1-1", "2.0~beta2+ds-1", "2.0~b3-1"},
     .version = "1.0-1"},
    {.what = "maven's days",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"2.1", "20240101"},
     .version = NULL,
     .reason = UPSTREAM_FEED_MIXED},
    {.what = "maven's days are told apart",
     .scheme = VERSION_MAVEN,
     .kind = FEED_MAVEN,
     .versions = {"2.11.0", "20030203.000550"},
     .version = "2.11.0",
     .at_least = "2.0"},
    {.what = "python's days",
     .scheme = VERSION_PEP440,
     .kind = FEED_PYPI,
     .versions = {"2.1", "2024.1.1"},
     .version = NULL,
     .reason = UPSTREAM_FEED_MIXED},
    {.what = "debian's days",
     .scheme = VERSION_DEB,
     .kind = FEED_APT,
     .versions = {"1:2.1-1", "1:20240101-1"},
     .version = NULL,
     .reason = UPSTREAM_FEED_MIXED},
    {.what = "npm's years",
     .scheme = VERSION_SEMVER,
     .kind = FEED_NPM,
     .versions = {"2.1.0", "2024.1.0"},
     .version = NULL,
     .reason = UPSTREAM_FEED_MIXED},
    {.what = "days",
     .scheme = VERSION_DATE,
     .kind = FEED_TEXT,
     .versions = {"RELEASE.2024-05-01T10-00-00Z", "RELEASE.2024-04-30T10-00-00Z"},
     .version = "2024-05-01T10-00-00Z",
     .prefix = "RELEASE."},
    {.what = "revisions are variants",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"7.1.1", "7.1.1-9", "7.1.1-10"},
     .version = "7.1.1"},
    {.what = "unless they count",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"7.1.1", "7.1.1-9", "7.1.1-10"},
     .version = "7.1.1-10",
     .revisions = true},
    {.what = "nothing",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TEXT,
     .versions = {0},
     .version = NULL,
     .reason = UPSTREAM_FEED_EMPTY},
    {.what = "nothing that is one",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TEXT,
     .versions = {"latest", "deadbeef", "x-1.0"},
     .version = NULL,
     .reason = UPSTREAM_FEED_EMPTY},
    {.what = "nothing that is let in",
     .scheme = VERSION_DOCKER,
     .kind = FEED_TEXT,
     .versions = {"9.0"},
     .version = NULL,
     .reason = UPSTREAM_FEED_EMPTY,
     .constraint = "<8"},
    {.what = "back",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.0"},
     .version = NULL,
     .reason = UPSTREAM_FEED_BEHIND,
     .at_least = "1.1"},
    {.what = "not back",
     .scheme = VERSION_DOCKER,
     .kind = FEED_GITHUB,
     .versions = {"v1.1"},
     .version = "1.1",
     .at_least = "1.1"},
};

static void fill(struct strv *list, const char *const texts[MANY])
{
    for (size_t i = 0; i < MANY && texts[i]; i++)
        assert_true(strv_add(list, texts[i]));
}

static void test_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        struct upstream upstream = {
            .feed.kind = choices[i].kind,
            .rules = {.scheme = choices[i].scheme,
                      .prereleases = choices[i].prereleases ? PRERELEASES_YES : PRERELEASES_NO,
                      .revisions = choices[i].revisions,
                      .include = choices[i].include,
                      .exclude = choices[i].exclude,
                      .constraint = choices[i].constraint},
            .prefix = choices[i].prefix,
            .suffix = choices[i].suffix,
            .at_least = choices[i].at_least,
        };
        struct upstream_answer answer = {.err = ERR_INIT};
        autostrv versions = {0};
        bool ok;

        fill(&versions, choices[i].versions);
        ok = upstream_choose(&upstream, &versions, &answer);
        if (ok != (choices[i].version != NULL) ||
            (ok ? strcmp(answer.version, choices[i].version) != 0
                : answer.reason != choices[i].reason || !answer.err.message[0]))
            fail_msg("%s: '%s', %s: %s", choices[i].what, answer.version,
                     upstream_reason_word(answer.reason), answer.err.message);
    }
}

static const struct {
    enum version_scheme scheme;
    const char *template, *version, *tag; /* NULL: none */
    const char *tags[MANY], *previous;    /* NULL: a newer one than the version */
} names[] = {
    {VERSION_DOCKER, "{version}", "7.7.2", "7.7.2", {"7.7.1", "7.7.0", "latest"}, "7.7.1"},
    {VERSION_DOCKER, "{version}", "7.7.2", "7.7.2", {0}, ""},
    {VERSION_DOCKER,
     "{version}",
     "7.10.0",
     "7.10.0",
     {"7.9.9", "7.7.2-ubuntu.2204", "8.0.0-rc1"},
     "7.9.9"},
    {VERSION_DOCKER, "{version}", "7.10.0", "7.10.0", {"7.10.0", "7.9.9"}, "7.10.0"},
    {VERSION_DOCKER, "{version}", "7.9.9", "7.9.9", {"7.10.0"}, NULL},
    {VERSION_DOCKER, "{version}", "7.9.9", "7.9.9", {"20240101"}, ""},
    {VERSION_DOCKER,
     "{version}-ubuntu.2204",
     "7.7.2",
     "7.7.2-ubuntu.2204",
     {"7.7.1-ubuntu.2204", "8.0.0", "8.0.0-windows.2022", "latest-ubuntu.2204"},
     "7.7.1"},
    {VERSION_MAVEN,
     "{version}",
     "7.10.0",
     "7.10.0",
     {"7.10.0-ubuntu.2204", "7.10.0-windows.2022", "7.9.9", "7.9"},
     "7.9.9"},
    {VERSION_MAVEN, "{version}", "7.9.9", "7.9.9", {"20240101", "7.9.8"}, "7.9.8"},
    {VERSION_MAVEN, "{version}", "1.0.1.Final", "1.0.1.Final", {"1.0.2.Final"}, NULL},
    {VERSION_DOCKER, "v{version}", "7.7.2", "v7.7.2", {"v7.7.1", "7.7.2"}, "7.7.1"},
    {VERSION_SEMVER, "{version}", "1.0.0+b.2", "1.0.0_b.2", {"1.0.0_b.1", "0.9.0"}, "1.0.0+b.1"},
    {VERSION_DEB,
     "{version}",
     "2.89.0-1~noble",
     "2.89.0-1-noble",
     {"2.88.0-1-noble"},
     "2.88.0-1-noble"},
    {VERSION_DEB,
     "{version}",
     "2.88.0-1~noble",
     "2.88.0-1-noble",
     {"2.88.0-1-noble"},
     "2.88.0-1-noble"},
    {VERSION_DEB,
     "{version}",
     "2.88.0-2~noble",
     "2.88.0-2-noble",
     {"2.88.0-1-noble"},
     "2.88.0-1-noble"},
    {VERSION_DEB, "{version}", "1:2.3-1", "1-2.3-1", {0}, ""},
    {VERSION_ALPHA, "{version}", "~x", NULL, {0}, ""},
};

static void test_names(void **state)
{
    static const char *const good[] = {"{version}", "v{version}", "a-{version}.b"};
    static const char *const bad[] = {
        "",           "latest",      "{version}{version}", "{Version}",
        "-{version}", "{version}/a", "a:{version}",        "{version}+x"};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(upstream_template_is_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(upstream_template_is_valid(bad[i]));
    for (size_t i = 0; i < COUNT(names); i++) {
        struct upstream upstream = {
            .rules = {.scheme = names[i].scheme, .prereleases = PRERELEASES_NO},
            .template = names[i].template,
        };
        struct upstream_answer answer = {.err = ERR_INIT};
        autostrv tags = {0};
        bool ok;

        strcpy(answer.version, names[i].version);
        ok = upstream_name(&upstream, &answer);
        assert_int_equal(ok, names[i].tag != NULL);
        if (!ok) {
            assert_int_equal(answer.reason, UPSTREAM_TAG_INVALID);
            continue;
        }
        assert_string_equal(answer.tag, names[i].tag);
        fill(&tags, names[i].tags);
        ok = upstream_compare(&upstream, &tags, &answer);
        if (ok != (names[i].previous != NULL) ||
            (ok && strcmp(answer.previous, names[i].previous) != 0))
            fail_msg("'%s': '%s', %s", names[i].version, answer.previous, answer.err.message);
        if (!ok)
            assert_int_equal(answer.reason, UPSTREAM_FEED_BEHIND);
    }
}

/* The first is what an answer is before anything is known. */
static void test_reasons(void **state)
{
    (void)state;
    assert_int_equal(upstream_decision((enum upstream_reason)0), UPSTREAM_UNKNOWN);
    for (int i = 0; i < UPSTREAM_REASONS; i++)
        assert_non_null(upstream_reason_word((enum upstream_reason)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
