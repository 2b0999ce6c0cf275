/* Version schemes: order, flavour, rules. */
#include "tests/unit/unit.h"

#include "runtime/image/version.h"

static void text_is(const char *what, const char *a, const char *b, bool is, bool expected)
{
    if (is != expected)
        fail_msg("%s: '%s' and '%s': %d, expected %d", what, a, b, is, expected);
}

/* Each line rises; '=' in front of a version: it is equal to the one before. */
static const struct {
    enum version_scheme scheme;
    const char *versions[16];
} orders[] = {
    {VERSION_DOCKER, {"7.9.9", "7.10.0"}},
    {VERSION_DOCKER, {"1.9", "1.10"}},
    {VERSION_DOCKER, {"10.0.20348.2031", "10.0.20348.2113"}},
    {VERSION_DOCKER, {"20240101123045123", "20240101123045124"}},
    {VERSION_DOCKER, {"1.2.3", "=v1.2.3", "=1.2.03"}},
    {VERSION_DOCKER, {"2024.1.1", "=2024.01.1", "2024.02.0", "2024.10.0"}},
    {VERSION_DOCKER,
     {"1.2.0-dev", "1.2.0-alpha", "1.2.0-alpha.2", "1.2.0-beta1", "1.2.0-beta.2", "1.2.0-beta.10",
      "1.2.0rc1", "=1.2.0-rc.1", "=1.2.0-rc1", "=1.2.0-RC-1", "=1.2.0.cr1", "1.2.0", "1.2.1-m1"}},
    {VERSION_DOCKER, {"4.0.0-beta.1", "4.0.0", "=4.0.0-alpine"}},
    {VERSION_DOCKER, {"8u402", "8u1000"}},
    {VERSION_DOCKER, {"3.12.0a9", "3.12.0b3", "3.12.0rc1", "3.12.0"}},
    {VERSION_DOCKER, {"1.0.0.Final", "1.0.1.Final"}},
    {VERSION_DOCKER, {"5.3.0.M1", "5.3.0.RC1", "5.3.0.RELEASE", "5.3.1.RELEASE"}},
    {VERSION_SEMVER,
     {"1.0.0-0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
      "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "=1.0.0+build.9", "1.0.1", "1.10.0",
      "99999999999999999999.0.0"}},
    {VERSION_LOOSE, {"9", "10", "=010", "10a", "10a2", "10a10", "10b"}},
    {VERSION_LOOSE, {"9007199254740993", "9007199254740994", "90071992547409931"}},
    {VERSION_NUMERIC, {"0", "=00", "9", "10", "9007199254740993", "9007199254740994"}},
    {VERSION_DATE, {"2023-12-31", "2024-05-01", "2024-05-02"}},
    {VERSION_DATE, {"20231231", "20240501"}},
    {VERSION_DATE, {"RELEASE.2024-05-01T09-59-59Z", "RELEASE.2024-05-01T10-00-00Z"}},
    {VERSION_ALPHA, {"10", "9", "a", "b"}},
    {VERSION_DEB, {"1.0~rc1", "1.0", "1.0-1"}},
    {VERSION_DEB, {"1.0-1~bpo1", "1.0-1", "1.0-1ubuntu1"}},
    {VERSION_DEB, {"2.88.0-1~noble", "2.88.0-1"}},
    {VERSION_DEB, {"2.0", "1:0.5"}},
    {VERSION_DEB, {"1.0", "1.0a", "1.0+"}},
    {VERSION_DEB, {"1.0-1", "1.0+b"}},
    {VERSION_DEB, {"1.0", "=1.00", "=0:1.0-0"}},
    {VERSION_DEB, {"566.0.0", "=566.0.0-0"}},
    {VERSION_DEB, {"1.0~~", "1.0~~a", "1.0~", "1.0"}},
    {VERSION_MAVEN, {"1.0.RC2", "1.0-RC3", "1.0.1"}},
    {VERSION_MAVEN,
     {"1-alpha", "1-beta", "1-milestone", "1-rc", "=1-cr", "1-SNAPSHOT", "1", "=1-ga", "=1.final",
      "=1.0.0", "=1-release", "1-sp", "1-abc", "1-xyz", "1-1", "1.1"}},
    {VERSION_MAVEN, {"1-a1", "=1-alpha-1", "1-b1", "=1-beta1", "1-m1", "=1-milestone-1"}},
    {VERSION_MAVEN, {"1-foo2", "1-foo10"}},
    {VERSION_MAVEN, {"1.foo", "=1-foo", "1-1", "1.1"}},
    {VERSION_MAVEN, {"1.0.0.Final", "=1.0.0", "1.0.1.Final", "1.0.10"}},
    {VERSION_MAVEN, {"7.9", "7.10", "7.10.1", "2147483648", "99999999999999999999"}},
    {VERSION_PEP440,
     {"1.dev0", "1.0.dev456", "1.0a1", "=1.0-alpha1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12",
      "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1",
      "=1.0.0c1", "=1.0_pre.1"}},
    {VERSION_PEP440,
     {"1.0rc1", "1.0", "=v1.0.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34",
      "1.0.post456", "=1.0-456", "1.0.15", "1.1.dev1", "1!0.5"}},
};

static void versions_have_an_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        const struct version_rules rules = {.scheme = orders[i].scheme};
        const char *last = NULL;

        for (size_t k = 0; k < COUNT(orders[i].versions) && orders[i].versions[k]; k++) {
            const char *next = orders[i].versions[k];
            int expected = *next == '=' ? 0 : -1, order;

            next += *next == '=' ? 1 : 0;
            if (!version_is_valid(&rules, next))
                fail_msg("'%s' is no version of %s", next, version_scheme_name(rules.scheme));
            if (last) {
                order = version_compare(&rules, last, next);
                text_is("order", last, next, expected ? order < 0 : order == 0, true);
                order = version_compare(&rules, next, last);
                text_is("reverse", next, last, expected ? order > 0 : order == 0, true);
            }
            last = next;
        }
    }
}

static const struct {
    enum version_scheme scheme;
    const char *text;
} no_versions[] = {
    {VERSION_DOCKER, "latest"},
    {VERSION_DOCKER, "latest-ubuntu.2204"},
    {VERSION_DOCKER, "edge"},
    {VERSION_DOCKER, "nightly"},
    {VERSION_DOCKER, "20240501-nightly"},
    {VERSION_DOCKER, "nightly-20240501"},
    {VERSION_DOCKER, "7.7.2-latest"},
    {VERSION_DOCKER, "ubuntu.2204"},
    {VERSION_DOCKER, "windows-ltsc2022"},
    {VERSION_DOCKER, "deadbeef"},
    {VERSION_DOCKER, "1234567a"},
    {VERSION_DOCKER, "sha-0123456"},
    {VERSION_DOCKER, "sha256-0000000000000000000000000000000000000000000000000000000000000000"},
    {VERSION_DOCKER, "1.2.3.sig"},
    {VERSION_DOCKER, "1.2.3.att"},
    {VERSION_DOCKER, "1.2.3.sbom"},
    {VERSION_DOCKER, ""},
    {VERSION_DOCKER, "1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"},
    {VERSION_SEMVER, "2024.01.1"},
    {VERSION_SEMVER, "v1.2.3"},
    {VERSION_SEMVER, "1.2"},
    {VERSION_SEMVER, "1.2.3.4"},
    {VERSION_SEMVER, "1.2.3-"},
    {VERSION_SEMVER, "1.2.3-a..b"},
    {VERSION_SEMVER, "1.2.3-01"},
    {VERSION_SEMVER, "1.2.3+"},
    {VERSION_SEMVER, "1.2.3 "},
    {VERSION_LOOSE, "latest"},
    {VERSION_NUMERIC, "1.2"},
    {VERSION_NUMERIC, "-1"},
    {VERSION_DATE, "2024-13-01"},
    {VERSION_DATE, "2024-02-32"},
    {VERSION_DATE, "2024-0501"},
    {VERSION_DATE, "7.7.2"},
    {VERSION_DATE, "20240"},
    {VERSION_DEB, "rc1"},
    {VERSION_DEB, "1.0-"},
    {VERSION_DEB, ":1.0"},
    {VERSION_DEB, "a:1.0"},
    {VERSION_DEB, "1.0 "},
    {VERSION_MAVEN, "latest"},
    {VERSION_MAVEN, "1 2"},
    {VERSION_PEP440, "1.0-"},
    {VERSION_PEP440, "1.0+"},
    {VERSION_PEP440, "1.0+a..b"},
    {VERSION_PEP440, "2004d"},
    {VERSION_PEP440, "french toast"},
    {VERSION_REGEX, "1.2"},
};

static void what_is_no_version_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(no_versions); i++) {
        const struct version_rules rules = {.scheme = no_versions[i].scheme};

        text_is("valid", version_scheme_name(rules.scheme), no_versions[i].text,
                version_is_valid(&rules, no_versions[i].text), false);
    }
}

#define UBUNTU "6.5.2-ubuntu.24.04"

static const struct {
    struct version_rules rules;
    const char *current, *candidate;
    bool follows;
} successors[] = {
    {{0}, "7.9.9", "7.10.0", true},
    {{0}, "7.10.0", "7.9.9", false},
    {{0}, "7.10.0", "7.10.0", false},
    {{0}, UBUNTU, "6.5.3-ubuntu.24.04", true},
    {{0}, UBUNTU, "6.5.3-windows.ltsc2022", false},
    {{0}, UBUNTU, "6.5.3", false},
    {{0}, UBUNTU, "7.0.0-ubuntu.22.04", false},
    {{0}, "7.7.2", "7.7.2-ubuntu.2004", false},
    {{0}, "7.7.2", "7.7.3-ubuntu.2004", false},
    {{0}, "12.14", "12.15", true},
    {{0}, "12.14", "12.15.0", false},
    {{.any_precision = true}, "12.14", "12.15.0", true},
    {{.any_precision = true}, "12.14", "12.14.0", false},
    {{0}, "7.7.2", "latest", false},
    {{0}, "7.7.2", "20240501-nightly", false},
    {{0}, "20240401-nightly", "20240501-nightly", false},
    {{0}, "latest-ubuntu.2204", "latest-ubuntu.2404", false},
    {{.prereleases = PRERELEASES_YES}, "20240401", "20240501-nightly", false},
    {{0}, "v1.2.3", "1.2.4", false},
    {{0}, "v1.2.3", "v1.2.4", true},
    {{0}, "release-1.2", "release-1.3", true},
    {{0}, "windows-1.2", "linux-1.3", false},
    {{0}, "2.1", "20240101", false},
    {{0}, "7", "20240101", false},
    {{0}, "7.7.2", "2024.01.1", false},
    {{0}, "20240101", "20240102", true},
    {{0}, "2024.01.1", "2024.02.0", true},
    {{0}, "7", "8", true},
    {{0}, "7", "7.7", false},
    {{0}, "7", "7.7.2", false},
    {{0}, "8u402", "8u412", true},
    {{0}, "8u402", "11", false},
    {{0}, "8u402", "8.412", false},
    {{0}, "1234567", "1234568", true},
    {{0}, "1.2.3", "deadbeef", false},
    {{0}, "1.0.0.Final", "1.0.1.Final", true},
    {{0}, "1.0.0.Final", "1.0.1", false},
    {{0}, "4.0.0-alpine", "4.0.1-alpine", true},
    {{0}, "4.0.0-alpine", "4.0.1-alpine3.19", false},
    {{0}, "1.2.0", "1.2.1-rc1", false},
    {{0}, "1.2.0-rc1", "1.2.0-rc2", true},
    {{0}, "1.2.0-rc1", "1.2.0", true},
    {{0}, "1.2.0-rc1", "1.3.0-rc1", false},
    {{0}, "1.2.0-rc1-alpine", "1.2.0-alpine", true},
    {{.prereleases = PRERELEASES_NO}, "1.2.0-rc1", "1.2.0-rc2", false},
    {{.prereleases = PRERELEASES_NO}, "1.2.0-rc1", "1.2.0", true},
    {{.prereleases = PRERELEASES_YES}, "1.2.0", "1.3.0-rc1", true},
    {{0}, "7.7.2-3", "7.7.3-1", false},
    {{0}, "7.7.2-3", "7.7.2-4", false},
    {{.revisions = true}, "7.7.2-3", "7.7.2-4", true},
    {{.revisions = true}, "7.7.2", "7.7.2-1", true},
    {{.revisions = true}, "7.7.2-3", "7.7.3-1", true},
    {{.revisions = true}, "7.7.2-3", "7.7.2", false},
    {{.constraint = ">=7.7 <8"}, "7.7.2", "7.9.0", true},
    {{.constraint = ">=7.7 <8"}, "7.7.2", "8.0.0", false},
    {{.constraint = "<8", .prereleases = PRERELEASES_YES}, "7.7.2", "8.0.0-rc1", false},
    {{.include = "7.*"}, "7.7.2", "7.8.0", true},
    {{.include = "7.*"}, "7.7.2", "8.8.0", false},
    {{.exclude = "*.0"}, "7.7.2", "7.8.0", false},
    {{.exclude = "*.0"}, "7.7.2", "7.8.1", true},
    {{.scheme = VERSION_SEMVER}, "1.0.0", "1.1.0-alpha", false},
    {{.scheme = VERSION_SEMVER}, "1.0.0-alpha", "1.0.0", true},
    {{.scheme = VERSION_SEMVER}, "4.0.0-beta.1", "4.0.0-alpine", false},
    {{.scheme = VERSION_LOOSE}, "r9-x", "r10-x", true},
    {{.scheme = VERSION_LOOSE}, "r9-x", "r10-y", false},
    {{.scheme = VERSION_NUMERIC}, "20240101123045123", "20240101123045124", true},
    {{.scheme = VERSION_NUMERIC}, "9", "10a", false},
    {{.scheme = VERSION_DATE}, "2024-05-01", "2024-05-02", true},
    {{.scheme = VERSION_DATE}, "2024-05-01", "20240502", false},
    {{.scheme = VERSION_DATE}, "2024-05-01", "2024-05-02-alpine", false},
    {{.scheme = VERSION_ALPHA}, "jammy", "noble", true},
    {{.scheme = VERSION_DEB}, "1.0-1", "1.0-1ubuntu1", true},
    {{.scheme = VERSION_DEB}, "2.88.0-1~noble", "2.89.0-1~noble", true},
    {{.scheme = VERSION_DEB}, "1.0-1", "2.0~rc1-1", false},
    {{.scheme = VERSION_DEB}, "1.0-1", "20240101-1", false},
    {{.scheme = VERSION_MAVEN}, "5.3.0", "5.4.0-preview.1", false},
    {{.scheme = VERSION_MAVEN}, "2.1", "20240101", false},
    {{.scheme = VERSION_MAVEN}, "5.3.0", "5.4.0-SNAPSHOT", false},
    {{.scheme = VERSION_MAVEN}, "5.3.0.RELEASE", "5.3.1.RELEASE", true},
    {{.scheme = VERSION_PEP440}, "3.12.0b3", "3.12.0", true},
    {{.scheme = VERSION_PEP440}, "3.12.0", "3.13.0b1", false},
};

static void newer_is_of_the_same_flavour_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(successors); i++) {
        assert_null(version_rules_check(&successors[i].rules));
        text_is(
            "follows", successors[i].current, successors[i].candidate,
            version_follows(&successors[i].rules, successors[i].current, successors[i].candidate),
            successors[i].follows);
    }
}

static const struct {
    const char *constraint, *yes, *no;
} constraints[] = {
    {">=7.7", "7.7", "7.6.9"},
    {">=7.7", "7.10", "6"},
    {">7.7", "7.8", "7.7.1"},
    {">7.7.0", "7.7.1", "7.7.0"},
    {"<=7.7", "7.7.9", "7.8"},
    {"<=7.7.0", "7.7", "7.7.1"},
    {"<=1", "1.4.9", "2.0"},
    {"<8", "7.9", "8.0.0-rc.1"},
    {"=7.7", "7.7.0", "7.7.1"},
    {"7.7", "7.7", "7.8"},
    {"!=7.7", "7.8", "7.7"},
    {"!=7.7", "7.8", "7.7.1"},
    {"!=7.7.0", "7.7.1", "7.7"},
    {"^1.2.3", "1.9", "2.0.0"},
    {"^0.2.3", "0.2.9", "0.3.0"},
    {"^1.2.3", "1.2.3", "1.2.2"},
    {"~1.2.3", "1.2.9", "1.3.0"},
    {"~1", "1.9", "2.0"},
    {"1.x", "1.9", "2.0"},
    {"1.2.*", "1.2.9", "1.3.0"},
    {"1.2 - 1.4", "1.4", "1.5"},
    {"1.2 - 1.4", "1.4.9", "1.5.0"},
    {"1.2 - 1.4.2", "1.4.2", "1.4.9"},
    {"1.2 - 1.4.x", "1.4.9", "1.5.0"},
    {"1.2 - 1.4", "1.2", "1.1"},
    {">=1 <2 !=1.5", "1.4", "1.5"},
    {">=1.0-rc2", "1.0", "1.0-rc1"},
    {"<7.10", "7.9", "7.10"},
    {">= 7", NULL, NULL},
    {"", NULL, NULL},
    {"-", NULL, NULL},
    {"1 -", NULL, NULL},
    {"- 1", NULL, NULL},
    {">1 - 2", NULL, NULL},
    {"1 - - 2", NULL, NULL},
    {"latest", NULL, NULL},
    {"||", NULL, NULL},
    {">", NULL, NULL},
    {"1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", NULL, NULL},
};

static void constraints_hold_or_do_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(constraints); i++) {
        const struct version_rules rules = {.constraint = constraints[i].constraint};
        const char *yes = constraints[i].yes, *no = constraints[i].no;

        text_is("valid", constraints[i].constraint, "", !version_rules_check(&rules), yes);
        if (!yes)
            continue;
        text_is("holds", constraints[i].constraint, yes, version_constraint_holds(&rules, yes),
                true);
        text_is("holds", constraints[i].constraint, no, version_constraint_holds(&rules, no),
                false);
    }
}

#define OCTOPUS                                                                                    \
    "(?<major>\\d+)\\.(?<minor>\\d+)(-(?<compatibility>[a-z]+))?(rc(?<prerelease>\\d+))?"

static void expressions_are_read(void **state)
{
    static const struct {
        const char *expression, *why; /* a part of it */
    } bad[] = {
        {"", "is empty"},
        {"x", "no group of the expression is a number"},
        {"(?<major>\\d+", "no POSIX extended one"},
        {"(?<other>\\d+)", "a name that means nothing"},
        {"(?<major>\\1)", "a letter or a digit behind '\\'"},
        {"(?<major>a)(?<major>b)", "two groups of the expression have one name"},
        {"(?<compatibility>.*)", "no group of the expression is a number"},
        {"(?<major>\\d+){1,255}", "'{' is not allowed"},
        {"(?<major>[", "a '[' has no ']'"},
        {"(?<major>[\\d])", "a letter or a digit behind '\\'"},
        {"(?<major>\\d)|x)", "a ')' has no '('"},
        {"(?<major>\\d))|(x", "a ')' has no '('"},
        {"(?<major>\\d+++++++++++++++++++++)", "too large"},
        {"(?<major>\\d+[[:digit:][]++++++++++)", "too large"},
        {"((((((((((?<major>\\d)+)+)+)+)+)+)+)+)+)+", "too large"},
        {"(?<major>\\d)(a?)*(b|)+", "what can be empty"},
        {"(?<major>\\d)(^|a)*", "not allowed in a group"},
        {"(?<major>\\d)(a*)*", "what can be empty"},
        {"(?<major>\\d)a**", "what can be empty"},
        {"(?<major>\\d)(|\\>|^|\\<|$)(|\\>|^|\\<|$)", "not allowed in a group"},
        {"(^|)(?<major>\\d)", "not allowed in a group"},
        {"(?<major>\\d($))", "not allowed in a group"},
        {"(?<major>\\", "nothing is behind the last '\\'"},
        {"(?<", "a name that means nothing"},
    };
    const struct version_rules rules = {.scheme = VERSION_REGEX, .expression = OCTOPUS};
    const struct version_rules none = {.scheme = VERSION_REGEX};
    const struct version_rules other = {.expression = OCTOPUS};

    (void)state;
    assert_null(version_rules_check(&rules));
    assert_non_null(version_rules_check(&none));
    assert_non_null(version_rules_check(&other));
    assert_true(version_follows(&rules, "1.9", "1.10"));
    assert_false(version_follows(&rules, "1.9-a", "1.10-b"));
    assert_true(version_follows(&rules, "1.9-a", "1.10-a"));
    assert_false(version_follows(&rules, "1.9", "1.10rc1"));
    assert_true(version_follows(&rules, "1.9rc2", "1.9rc10"));
    assert_true(version_follows(&rules, "1.9rc2", "1.9"));
    assert_false(version_is_valid(&rules, "x1.9"));
    assert_false(version_is_valid(&rules, "1.9x5"));
    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct version_rules wrong = {.scheme = VERSION_REGEX,
                                            .expression = bad[i].expression};
        const char *why = version_rules_check(&wrong);

        if (!why || !strstr(why, bad[i].why))
            fail_msg("'%s': '%s'", bad[i].expression, why ? why : "it was accepted");
    }
}

static void names_are_read(void **state)
{
    enum version_prereleases prereleases;

    (void)state;
    for (int i = 0; i < VERSION_SCHEMES; i++) {
        const char *name = version_scheme_name((enum version_scheme)i);

        assert_int_equal(version_scheme_parse(name), i);
    }
    assert_int_equal(version_scheme_parse("Docker"), VERSION_SCHEMES);
    assert_true(version_prereleases_parse("yes", &prereleases));
    assert_int_equal(prereleases, PRERELEASES_YES);
    assert_false(version_prereleases_parse("maybe", &prereleases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_have_an_order),
        cmocka_unit_test(what_is_no_version_is_none),
        cmocka_unit_test(newer_is_of_the_same_flavour_alone),
        cmocka_unit_test(constraints_hold_or_do_not),
        cmocka_unit_test(expressions_are_read),
        cmocka_unit_test(names_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
