#include "runtime/image/version_schemes.h"

#include <ctype.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static const struct version_ops *const schemes[VERSION_SCHEMES] = {
    [VERSION_DOCKER] = &version_docker, [VERSION_SEMVER] = &version_semver,
    [VERSION_LOOSE] = &version_loose,   [VERSION_NUMERIC] = &version_numeric,
    [VERSION_DATE] = &version_date,     [VERSION_ALPHA] = &version_alpha,
    [VERSION_DEB] = &version_deb,       [VERSION_MAVEN] = &version_maven,
    [VERSION_PEP440] = &version_pep440, [VERSION_REGEX] = &version_regex,
};

/* ---- parts of texts ---- */

struct span span_digits(const char *text)
{
    return (struct span){text, strspn(text, "0123456789")};
}

struct span span_letters(const char *text)
{
    size_t len = 0;

    while (isalpha((unsigned char)text[len]))
        len++;
    return (struct span){text, len};
}

bool span_is(struct span span, const char *word)
{
    return strlen(word) == span.len && strncasecmp(span.at, word, span.len) == 0;
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

int version_compare_bytes(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.at, b.at, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct span without_zeros(struct span digits)
{
    while (digits.len > 0 && *digits.at == '0') {
        digits.at++;
        digits.len--;
    }
    return digits;
}

int version_compare_digits(struct span a, struct span b)
{
    a = without_zeros(a);
    b = without_zeros(b);
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return version_compare_bytes(a, b);
}

/* ---- loose: runs of digits, and what is between ---- */

static bool loose_is_valid(const struct version_rules *rules, const char *text)
{
    (void)rules;
    return text[strcspn(text, "0123456789")] != '\0';
}

/* The next run, of digits or of anything else. */
static struct span next_run(const char *text)
{
    struct span digits = span_digits(text);

    return digits.len ? digits : (struct span){text, strcspn(text, "0123456789")};
}

static int loose_compare(const struct version_rules *rules, const char *a, const char *b)
{
    (void)rules;
    while (*a && *b) {
        struct span left = next_run(a), right = next_run(b);
        bool number = isdigit((unsigned char)*a), other = isdigit((unsigned char)*b);
        int order = number != other ? number - other
                    : number        ? version_compare_digits(left, right)
                                    : version_compare_bytes(left, right);

        if (order)
            return order;
        a += left.len;
        b += right.len;
    }
    return (*a != '\0') - (*b != '\0');
}

static struct span first_digits(const char *text)
{
    return span_digits(text + strcspn(text, "0123456789"));
}

/* The same text but for its numbers. */
static bool same_shape(const struct version_rules *rules, const char *a, const char *b)
{
    (void)rules;
    if (!version_same_calendar(first_digits(a), first_digits(b)))
        return false;
    while (*a && *b) {
        struct span left = next_run(a), right = next_run(b);
        bool numbers = isdigit((unsigned char)*a) && isdigit((unsigned char)*b);

        if (!numbers && !span_equal(left, right))
            return false;
        a += left.len;
        b += right.len;
    }
    return *a == *b;
}

const struct version_ops version_loose = {
    .name = "loose",
    .is_valid = loose_is_valid,
    .compare = loose_compare,
    .same_flavour = same_shape,
};

/* ---- numeric ---- */

static bool numeric_is_valid(const struct version_rules *rules, const char *text)
{
    (void)rules;
    return *text && text[span_digits(text).len] == '\0';
}

static int numeric_compare(const struct version_rules *rules, const char *a, const char *b)
{
    (void)rules;
    return version_compare_digits(span_digits(a), span_digits(b));
}

const struct version_ops version_numeric = {
    .name = "numeric", .is_valid = numeric_is_valid, .compare = numeric_compare};

/* ---- date ---- */

static bool is_in(const char *digits, size_t len, int min, int max)
{
    int value = 0;

    if (span_digits(digits).len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (digits[i] - '0');
    return value >= min && value <= max;
}

/* Year, month and day, with the same separator between or with none. */
static bool date_is_valid(const struct version_rules *rules, const char *text)
{
    const char *day = text + strcspn(text, "0123456789");
    size_t gap;

    (void)rules;
    if (!is_in(day, 4, 1970, 2199))
        return false;
    gap = day[4] && strchr("-._", day[4]) ? 1 : 0;
    if (!is_in(day + 4 + gap, 2, 1, 12) || (gap && day[7] != day[4]))
        return false;
    return is_in(day + 6 + 2 * gap, 2, 1, 31);
}

/* Of the same shape: then each number has as many digits. */
static bool date_same(const struct version_rules *rules, const char *a, const char *b)
{
    (void)rules;
    for (; *a && *b; a++, b++) {
        bool digits = isdigit((unsigned char)*a) && isdigit((unsigned char)*b);

        if (!digits && *a != *b)
            return false;
    }
    return *a == *b;
}

static int date_compare(const struct version_rules *rules, const char *a, const char *b)
{
    return loose_compare(rules, a + strcspn(a, "0123456789"), b + strcspn(b, "0123456789"));
}

const struct version_ops version_date = {
    .name = "date",
    .is_valid = date_is_valid,
    .compare = date_compare,
    .same_flavour = date_same,
};

/* ---- alpha ---- */

static bool alpha_is_valid(const struct version_rules *rules, const char *text)
{
    (void)rules;
    return *text;
}

static int alpha_compare(const struct version_rules *rules, const char *a, const char *b)
{
    (void)rules;
    return strcmp(a, b);
}

const struct version_ops version_alpha = {
    .name = "alpha", .is_valid = alpha_is_valid, .compare = alpha_compare};

/* ---- what all schemes have in common ---- */

const struct version_ops *version_ops_of(const struct version_rules *rules)
{
    return schemes[rules->scheme];
}

const char *version_scheme_name(enum version_scheme scheme)
{
    return schemes[scheme]->name;
}

enum version_scheme version_scheme_parse(const char *name)
{
    int scheme = 0;

    while (scheme < VERSION_SCHEMES && strcmp(schemes[scheme]->name, name) != 0)
        scheme++;
    return (enum version_scheme)scheme;
}

bool version_prereleases_parse(const char *name, enum version_prereleases *prereleases)
{
    static const char *const names[] = {
        [PRERELEASES_SAME] = "same", [PRERELEASES_NO] = "no", [PRERELEASES_YES] = "yes"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *prereleases = (enum version_prereleases)i;
            return true;
        }
    }
    return false;
}

/* "sha256-HEX", "HEX.sig" and the like are about images, and "sha-1a2b3c4" is a commit. */
static bool is_artefact(const char *text)
{
    static const char *const endings[] = {".sig", ".att", ".sbom"};
    size_t len = strlen(text);

    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t ending = strlen(endings[i]);

        if (len >= ending && strcmp(text + len - ending, endings[i]) == 0)
            return true;
    }
    return strncmp(text, "sha", 3) == 0 && !isalpha((unsigned char)text[3]);
}

bool version_is_valid(const struct version_rules *rules, const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= VERSION_MAX && !is_artefact(text) &&
           schemes[rules->scheme]->is_valid(rules, text);
}

int version_compare(const struct version_rules *rules, const char *a, const char *b)
{
    return schemes[rules->scheme]->compare(rules, a, b);
}

bool version_is_prerelease(const struct version_rules *rules, const char *text)
{
    const struct version_ops *ops = schemes[rules->scheme];

    return ops->is_prerelease && ops->is_prerelease(rules, text);
}

static bool may_be_prerelease(const struct version_rules *rules, const char *current,
                              const char *candidate)
{
    const struct version_ops *ops = schemes[rules->scheme];

    if (rules->prereleases == PRERELEASES_YES || !version_is_prerelease(rules, candidate))
        return true;
    return rules->prereleases == PRERELEASES_SAME && version_is_prerelease(rules, current) &&
           ops->same_release && ops->same_release(rules, current, candidate);
}

static bool is_within(const struct version_rules *rules, const char *text)
{
    return version_is_valid(rules, text) &&
           (!rules->include || fnmatch(rules->include, text, 0) == 0) &&
           (!rules->exclude || fnmatch(rules->exclude, text, 0) != 0) &&
           (!rules->constraint || version_constraint_holds(rules, text));
}

bool version_same_flavour(const struct version_rules *rules, const char *a, const char *b)
{
    const struct version_ops *ops = schemes[rules->scheme];

    return !ops->same_flavour || ops->same_flavour(rules, a, b);
}

bool version_is_let_in(const struct version_rules *rules, const char *text)
{
    return is_within(rules, text) &&
           (rules->prereleases == PRERELEASES_YES || !version_is_prerelease(rules, text));
}

bool version_is_plain(const struct version_rules *rules, const char *text)
{
    const struct version_ops *ops = schemes[rules->scheme];

    return !ops->is_plain || ops->is_plain(rules, text);
}

bool version_follows(const struct version_rules *rules, const char *current, const char *candidate)
{
    return version_is_valid(rules, current) && is_within(rules, candidate) &&
           version_compare(rules, candidate, current) > 0 &&
           version_same_flavour(rules, current, candidate) &&
           may_be_prerelease(rules, current, candidate);
}

const char *version_rules_check(const struct version_rules *rules)
{
    const char *const texts[] = {rules->constraint, rules->include, rules->exclude,
                                 rules->expression};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (texts[i] && (!*texts[i] || strlen(texts[i]) > VERSION_RULE_MAX))
            return "a rule is empty or longer than 1024 bytes";
    }
    if ((rules->scheme == VERSION_REGEX) != (rules->expression != NULL))
        return "the scheme regex, and no other, needs an expression";
    if (rules->constraint && !version_constraint_is_valid(rules))
        return "the constraint is not made of comparisons such as '>=7.7 <8'";
    return rules->expression ? version_expression_refusal(rules->expression) : NULL;
}
