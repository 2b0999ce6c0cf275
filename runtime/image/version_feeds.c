/* Versions of package managers: Debian's, Maven's. */
#include "runtime/image/version_schemes.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- deb: deb-version(7) ---- */

struct deb {
    struct span epoch, upstream, revision;
};

static bool parse_deb(const char *text, struct deb *version)
{
    const char *colon = strchr(text, ':'), *dash;

    version->epoch = (struct span){text, colon ? (size_t)(colon - text) : 0};
    if (colon && (version->epoch.len == 0 || span_digits(text).len != version->epoch.len))
        return false;
    text = colon ? colon + 1 : text;
    dash = strrchr(text, '-');
    version->upstream = (struct span){text, dash ? (size_t)(dash - text) : strlen(text)};
    version->revision = dash ? (struct span){dash + 1, strlen(dash + 1)} : (struct span){"", 0};
    if (!isdigit((unsigned char)*text) || (dash && version->revision.len == 0))
        return false;
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && !strchr(dash && text > dash ? ".+~" : ".+~:-", *text))
            return false;
    }
    return true;
}

static bool deb_is_valid(const struct version_rules *rules, const char *text)
{
    struct deb version;

    (void)rules;
    return parse_deb(text, &version);
}

/* '~' is before the end, which is before letters, which are before anything else. */
static int deb_weight(struct span rest)
{
    unsigned char c = rest.len ? (unsigned char)*rest.at : '\0';

    if (c == '~')
        return -1;
    if (c == '\0' || isdigit(c))
        return 0;
    return isalpha(c) ? c : c + 256;
}

static struct span behind(struct span text, size_t len)
{
    return (struct span){text.at + len, text.len - len};
}

static struct span digits_of(struct span text)
{
    size_t len = 0;

    while (len < text.len && isdigit((unsigned char)text.at[len]))
        len++;
    return (struct span){text.at, len};
}

static bool begins_with_text(struct span text)
{
    return text.len > 0 && !isdigit((unsigned char)*text.at);
}

static int deb_compare_part(struct span a, struct span b)
{
    while (a.len > 0 || b.len > 0) {
        struct span left, right;
        int order;

        while (begins_with_text(a) || begins_with_text(b)) {
            order = deb_weight(a) - deb_weight(b);
            if (order)
                return order;
            a = behind(a, 1);
            b = behind(b, 1);
        }
        left = digits_of(a);
        right = digits_of(b);
        order = version_compare_digits(left, right);
        if (order)
            return order;
        a = behind(a, left.len);
        b = behind(b, right.len);
    }
    return 0;
}

static int deb_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct deb a, b;
    int order;

    (void)rules;
    parse_deb(left, &a);
    parse_deb(right, &b);
    order = version_compare_digits(a.epoch, b.epoch);
    if (order == 0)
        order = deb_compare_part(a.upstream, b.upstream);
    return order ? order : deb_compare_part(a.revision, b.revision);
}

/* "2.0~rc1-1"; of "1.0-1~bpo1" and "2.88.0-1~noble" the package is one of a release. */
static bool deb_is_prerelease(const struct version_rules *rules, const char *text)
{
    (void)rules;
    while ((text = strchr(text, '~'))) {
        if (version_begins_with_prerelease(++text))
            return true;
    }
    return false;
}

static bool deb_same_flavour(const struct version_rules *rules, const char *left, const char *right)
{
    struct deb a, b;

    (void)rules;
    return parse_deb(left, &a) && parse_deb(right, &b) &&
           version_same_calendar(digits_of(a.upstream), digits_of(b.upstream));
}

const struct version_ops version_deb = {
    .name = "deb",
    .is_valid = deb_is_valid,
    .compare = deb_compare,
    .is_prerelease = deb_is_prerelease,
    .same_flavour = deb_same_flavour,
};

/* ---- maven: the version order of the POM reference ---- */

/* Qualifiers in their order; what is in no place here comes behind "sp", by its letters. */
static const struct {
    const char *word;
    int rank;
} qualifiers[] = {
    {"alpha", 1}, {"beta", 2}, {"milestone", 3}, {"rc", 4},      {"cr", 4}, {"snapshot", 5},
    {"", 6},      {"ga", 6},   {"final", 6},     {"release", 6}, {"sp", 7},
};
#define RANK_NONE    6
#define RANK_UNKNOWN 8

struct maven_token {
    char separator; /* '.' or '-' */
    bool number;
    struct span text;
    int rank; /* of a qualifier */
};

#define MAVEN_TOKENS_MAX (2 * VERSION_MAX + 2)

struct maven {
    struct maven_token tokens[MAVEN_TOKENS_MAX];
    size_t count;
};

static int qualifier_rank(struct span text, bool before_number)
{
    static const struct {
        const char *word;
        int rank;
    } shorthands[] = {{"a", 1}, {"b", 2}, {"m", 3}};

    for (size_t i = 0; before_number && i < ARRAY_SIZE(shorthands); i++) {
        if (span_is(text, shorthands[i].word))
            return shorthands[i].rank;
    }
    for (size_t i = 0; i < ARRAY_SIZE(qualifiers); i++) {
        if (span_is(text, qualifiers[i].word))
            return qualifiers[i].rank;
    }
    return RANK_UNKNOWN;
}

static bool is_null(const struct maven_token *token)
{
    static const struct span none = {"", 0};

    return token->number ? version_compare_digits(token->text, none) == 0
                         : token->rank == RANK_NONE;
}

/* Takes nulls away at the end, and in front of every '-' and every qualifier. */
static void trim(struct maven *version)
{
    for (size_t end = version->count; end > 0; end--) {
        size_t first = end;

        if (end < version->count && version->tokens[end].separator != '-' &&
            version->tokens[end].number)
            continue;
        while (first > 1 && is_null(&version->tokens[first - 1]))
            first--;
        memmove(&version->tokens[first], &version->tokens[end],
                (version->count - end) * sizeof(*version->tokens));
        version->count -= end - first;
        end = first;
    }
}

static struct span maven_run(const char *text)
{
    struct span digits = span_digits(text);

    return digits.len ? digits : (struct span){text, strcspn(text, ".-0123456789")};
}

static void parse_maven(const char *text, struct maven *version)
{
    static const struct span zero = {"0", 1};
    char separator = '.';

    version->count = 0;
    for (;;) {
        struct span run = maven_run(text);
        struct maven_token *token = &version->tokens[version->count++];
        bool number = run.len == 0 || isdigit((unsigned char)*run.at);
        char next = text[run.len];

        *token = (struct maven_token){.separator = separator, .number = number, .text = run};
        if (run.len == 0)
            token->text = zero;
        if (!number)
            token->rank = qualifier_rank(run, isdigit((unsigned char)next));
        if (!next)
            break;
        separator = next == '.' ? '.' : '-';
        text += run.len + (next == '.' || next == '-' ? 1 : 0);
    }
    trim(version);
}

static bool maven_is_valid(const struct version_rules *rules, const char *text)
{
    (void)rules;
    for (const char *p = text; *p; p++) {
        if (!isgraph((unsigned char)*p))
            return false;
    }
    return isdigit((unsigned char)*text);
}

/* Qualifiers come before "-1", and that before ".1". */
static int maven_weight(const struct maven_token *token)
{
    return !token->number ? 0 : token->separator == '-' ? 1 : 2;
}

static int lower_compare(struct span a, struct span b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int order = tolower((unsigned char)a.at[i]) - tolower((unsigned char)b.at[i]);

        if (order)
            return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_tokens(const struct maven_token *a, const struct maven_token *b)
{
    int order = maven_weight(a) - maven_weight(b);

    if (order)
        return order;
    if (a->number)
        return version_compare_digits(a->text, b->text);
    if (a->rank != b->rank || a->rank != RANK_UNKNOWN)
        return a->rank - b->rank;
    return lower_compare(a->text, b->text);
}

/* What stands for a missing token beside this one. */
static struct maven_token padding(const struct maven_token *token)
{
    return (struct maven_token){
        .separator = token->separator, .number = token->number, .text = {"", 0}, .rank = RANK_NONE};
}

static int maven_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct maven a, b;
    int order = 0;

    (void)rules;
    parse_maven(left, &a);
    parse_maven(right, &b);
    for (size_t i = 0; order == 0 && (i < a.count || i < b.count); i++) {
        struct maven_token pad = padding(i < a.count ? &a.tokens[i] : &b.tokens[i]);

        order =
            compare_tokens(i < a.count ? &a.tokens[i] : &pad, i < b.count ? &b.tokens[i] : &pad);
    }
    return order;
}

/* Also words that have no place in the order: "8.0.0-preview.1". */
static bool leads_to_release(const struct maven_token *token)
{
    return !token->number &&
           (token->rank < RANK_NONE || version_begins_with_prerelease(token->text.at));
}

static bool maven_is_prerelease(const struct version_rules *rules, const char *text)
{
    struct maven version;

    (void)rules;
    parse_maven(text, &version);
    for (size_t i = 0; i < version.count; i++) {
        if (leads_to_release(&version.tokens[i]))
            return true;
    }
    return false;
}

/* "33.0.0-jre" is a variant. */
static bool maven_is_plain(const struct version_rules *rules, const char *text)
{
    struct maven version;

    (void)rules;
    parse_maven(text, &version);
    for (size_t i = 0; i < version.count; i++) {
        const struct maven_token *token = &version.tokens[i];

        if (!token->number && token->rank == RANK_UNKNOWN && !leads_to_release(token))
            return false;
    }
    return true;
}

static bool maven_same_flavour(const struct version_rules *rules, const char *left,
                               const char *right)
{
    (void)rules;
    return version_same_calendar(span_digits(left), span_digits(right));
}

const struct version_ops version_maven = {
    .name = "maven",
    .is_valid = maven_is_valid,
    .compare = maven_compare,
    .is_prerelease = maven_is_prerelease,
    .is_plain = maven_is_plain,
    .same_flavour = maven_same_flavour,
};
