/* Tags of images as most people make them, and Semantic Versioning. */
#include "runtime/image/version_schemes.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

#define COMMIT_MIN 7 /* digits of a commit's name */
#define COMMIT_MAX 40

/* Words in front of a release, in their order. One letter alone needs a number behind it. */
static const struct {
    const char *word;
    int rank;
} prerelease_words[] = {
    {"dev", 1},  {"snapshot", 1}, {"preview", 2},   {"pre", 2}, {"alpha", 3}, {"a", 3},
    {"beta", 4}, {"b", 4},        {"milestone", 5}, {"m", 5},   {"rc", 6},    {"cr", 6},
};
#define RANK_RELEASE 7

/* What moves on by itself is never newer than anything. */
static const char *const channels[] = {"latest", "edge", "nightly", "canary", "unstable"};

/* A number right behind one of these is the version of what it names, not of the image. */
static const char *const platforms[] = {"ubuntu", "debian",     "alpine",     "windows",
                                        "ltsc",   "nanoserver", "servercore", "win"};

struct tag {
    struct span prefix;
    struct span numbers[VERSION_NUMBERS_MAX];
    struct span joints[VERSION_NUMBERS_MAX]; /* what is in front of each number but the first */
    size_t count;
    int rank; /* of a pre-release, or RANK_RELEASE */
    struct span pre_number;
    struct span revision;
    char variant[VERSION_MAX + 1];
};

static bool is_one_of(struct span word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_is(word, words[i]))
            return true;
    }
    return false;
}

/* All of a text's words, and whether one of them is a channel. */
static bool names_channel(const char *text)
{
    while (*text) {
        struct span word = span_letters(text);

        if (is_one_of(word, channels, ARRAY_SIZE(channels)))
            return true;
        text += word.len ? word.len : 1;
    }
    return false;
}

/* Hexadecimal digits that are not all decimal. */
static bool is_commit(const char *text)
{
    size_t len = strlen(text);

    return len >= COMMIT_MIN && len <= COMMIT_MAX && strspn(text, "0123456789abcdef") == len &&
           span_digits(text).len != len;
}

bool version_begins_with_prerelease(const char *text)
{
    struct span word = span_letters(text);

    for (size_t i = 0; i < ARRAY_SIZE(prerelease_words); i++) {
        if (span_is(word, prerelease_words[i].word))
            return word.len > 1 || isdigit((unsigned char)text[word.len]);
    }
    return is_one_of(word, channels, ARRAY_SIZE(channels));
}

/* "rc1", "rc.1", "beta": the rank and the number of the word that the token is, or 0. */
static int prerelease_rank(struct span token, struct span *number)
{
    struct span word = span_letters(token.at);
    const char *rest, *end = token.at + token.len;

    for (size_t i = 0; i < ARRAY_SIZE(prerelease_words); i++) {
        if (word.len > token.len || !span_is(word, prerelease_words[i].word))
            continue;
        rest = token.at + word.len;
        if (rest < end && *rest == '.')
            rest++;
        *number = (struct span){rest, (size_t)(end - rest)};
        for (; rest < end; rest++) {
            if (!isdigit((unsigned char)*rest) && *rest != '.')
                return 0;
        }
        return word.len == 1 && number->len == 0 ? 0 : prerelease_words[i].rank;
    }
    return 0;
}

/*
 * The numbers at the beginning, "8u402" being two; what is between them is part of the flavour.
 * Letters that make a pre-release, as in "3.12.0b3", end them. Returns what follows; NULL when
 * there are too many.
 */
static const char *take_numbers(const char *text, struct tag *tag)
{
    for (;;) {
        struct span joint, ignored;

        if (tag->count == VERSION_NUMBERS_MAX)
            return NULL;
        tag->numbers[tag->count] = span_digits(text);
        text += tag->numbers[tag->count++].len;
        joint = *text == '.' ? (struct span){text, 1} : span_letters(text);
        if (joint.len == 0 || !isdigit((unsigned char)text[joint.len]))
            return text;
        if (*text != '.') {
            struct span token = {text, strcspn(text, "-_")};

            if (prerelease_rank(token, &ignored))
                return text;
        }
        if (tag->count < VERSION_NUMBERS_MAX)
            tag->joints[tag->count] = joint;
        text += joint.len;
    }
}

static bool is_number(struct span token)
{
    return token.len > 0 && span_digits(token.at).len >= token.len;
}

/* Tokens between '-' and '_': a pre-release, a revision at the end, and the variant. */
static void take_suffix(const char *text, bool revisions, struct tag *tag)
{
    size_t used = 0;
    bool number_may_follow = false;

    while (*text) {
        size_t gap = strchr("-_.", *text) ? 1 : 0;
        struct span token = {text + gap, strcspn(text + gap, "-_")};
        bool last = token.at[token.len] == '\0';
        int rank = tag->rank == RANK_RELEASE ? prerelease_rank(token, &tag->pre_number) : 0;

        if (rank) {
            tag->rank = rank;
            number_may_follow = tag->pre_number.len == 0;
        } else if (number_may_follow && is_number(token)) {
            tag->pre_number = token;
            number_may_follow = false;
        } else if (revisions && last && is_number(token)) {
            tag->revision = token;
        } else {
            number_may_follow = false;
            memcpy(tag->variant + used, text, gap + token.len);
            used += gap + token.len;
        }
        text = token.at + token.len;
    }
    tag->variant[used] = '\0';
}

/* Whether the letters right in front of the first number say whose version it is. */
static bool is_platform(struct span prefix)
{
    const char *end = prefix.at + prefix.len, *start;

    if (end > prefix.at && end[-1] == '.')
        end--;
    for (start = end; start > prefix.at && isalpha((unsigned char)start[-1]);)
        start--;
    return is_one_of((struct span){start, (size_t)(end - start)}, platforms, ARRAY_SIZE(platforms));
}

static bool parse_tag(const char *text, bool revisions, struct tag *tag)
{
    const char *rest = text + strcspn(text, "0123456789");

    *tag = (struct tag){.rank = RANK_RELEASE, .pre_number = {"", 0}, .revision = {"", 0}};
    tag->prefix = (struct span){text, (size_t)(rest - text)};
    if (strlen(text) > VERSION_MAX || !*rest || is_commit(text) || names_channel(text) ||
        is_platform(tag->prefix))
        return false;
    rest = take_numbers(rest, tag);
    if (!rest)
        return false;
    take_suffix(rest, revisions, tag);
    return true;
}

static bool docker_is_valid(const struct version_rules *rules, const char *text)
{
    struct tag tag;

    return parse_tag(text, rules->revisions, &tag);
}

static int compare_numbers(const struct tag *a, const struct tag *b)
{
    static const struct span none = {"", 0};

    for (size_t i = 0; i < a->count || i < b->count; i++) {
        int order = version_compare_digits(i < a->count ? a->numbers[i] : none,
                                           i < b->count ? b->numbers[i] : none);
        if (order)
            return order;
    }
    return 0;
}

/* "1.2" and "1.10" behind a word. */
static int compare_dotted(struct span a, struct span b)
{
    while (a.len > 0 || b.len > 0) {
        struct span left = {a.at, 0}, right = {b.at, 0};
        int order;

        while (left.len < a.len && left.at[left.len] != '.')
            left.len++;
        while (right.len < b.len && right.at[right.len] != '.')
            right.len++;
        order = version_compare_digits(left, right);
        if (order)
            return order;
        left.len += left.len < a.len;
        right.len += right.len < b.len;
        a = (struct span){a.at + left.len, a.len - left.len};
        b = (struct span){b.at + right.len, b.len - right.len};
    }
    return 0;
}

static int docker_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct tag a, b;
    int order;

    parse_tag(left, rules->revisions, &a);
    parse_tag(right, rules->revisions, &b);
    order = compare_numbers(&a, &b);
    if (order == 0)
        order = a.rank - b.rank;
    if (order == 0)
        order = compare_dotted(a.pre_number, b.pre_number);
    return order ? order : version_compare_digits(a.revision, b.revision);
}

static bool docker_is_prerelease(const struct version_rules *rules, const char *text)
{
    struct tag tag;

    return parse_tag(text, rules->revisions, &tag) && tag.rank != RANK_RELEASE;
}

/* 20240101 and 2024.1 are, 7 and 7.7 are not. */
static bool is_year(struct span number)
{
    bool long_enough = number.len == 4 || number.len >= 8;

    return long_enough && (memcmp(number.at, "19", 2) == 0 || memcmp(number.at, "20", 2) == 0);
}

bool version_same_calendar(struct span a, struct span b)
{
    return is_year(a) == is_year(b);
}

static bool docker_same_flavour(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct tag a, b;
    size_t count;

    if (!parse_tag(left, rules->revisions, &a) || !parse_tag(right, rules->revisions, &b))
        return false;
    if (!span_equal(a.prefix, b.prefix) || strcmp(a.variant, b.variant) != 0 ||
        !version_same_calendar(a.numbers[0], b.numbers[0]))
        return false;
    if (a.count != b.count && !rules->any_precision)
        return false;
    count = a.count < b.count ? a.count : b.count;
    for (size_t i = 1; i < count; i++) {
        if (!span_equal(a.joints[i], b.joints[i]))
            return false;
    }
    return true;
}

static bool docker_same_release(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct tag a, b;

    return parse_tag(left, rules->revisions, &a) && parse_tag(right, rules->revisions, &b) &&
           compare_numbers(&a, &b) == 0;
}

static bool docker_is_plain(const struct version_rules *rules, const char *text)
{
    struct tag tag;

    return parse_tag(text, rules->revisions, &tag) && tag.prefix.len == 0 && !*tag.variant;
}

const struct version_ops version_docker = {
    .name = "docker",
    .is_valid = docker_is_valid,
    .compare = docker_compare,
    .is_prerelease = docker_is_prerelease,
    .is_plain = docker_is_plain,
    .same_flavour = docker_same_flavour,
    .same_release = docker_same_release,
};

size_t version_docker_numbers(const char *text, struct span numbers[VERSION_NUMBERS_MAX])
{
    struct tag tag;

    if (!parse_tag(text, false, &tag))
        return 0;
    memcpy(numbers, tag.numbers, tag.count * sizeof(*numbers));
    return tag.count;
}

/* Digits of one name are those of the next version. */
static bool same_but_for_digits(const char *a, const char *b)
{
    for (;;) {
        a += span_digits(a).len;
        b += span_digits(b).len;
        if (*a != *b || !*a)
            return *a == *b;
        a++;
        b++;
    }
}

bool version_same_variant(const char *left, const char *right)
{
    struct tag a, b;

    return parse_tag(left, false, &a) && parse_tag(right, false, &b) &&
           span_equal(a.prefix, b.prefix) && same_but_for_digits(a.variant, b.variant);
}

/* ---- semver ---- */

struct semver {
    struct span numbers[3];
    struct span prerelease; /* identifiers, or nothing */
};

/* A number without a leading zero. */
static bool is_strict(struct span digits)
{
    return digits.len == 1 || (digits.len > 1 && *digits.at != '0');
}

static size_t identifier_length(struct span text)
{
    size_t len = 0;

    while (len < text.len && text.at[len] != '.')
        len++;
    return len;
}

/* Identifiers with '.' between; those that are numbers without leading zeros, if they count. */
static bool are_identifiers(struct span text, bool numbers_count)
{
    for (;;) {
        struct span one = {text.at, identifier_length(text)};
        size_t digits = 0;

        for (size_t i = 0; i < one.len; i++) {
            if (!isalnum((unsigned char)one.at[i]) && one.at[i] != '-')
                return false;
            digits += isdigit((unsigned char)one.at[i]) ? 1 : 0;
        }
        if (one.len == 0 || (numbers_count && digits == one.len && !is_strict(one)))
            return false;
        if (one.len == text.len)
            return true;
        text = (struct span){text.at + one.len + 1, text.len - one.len - 1};
    }
}

static bool parse_semver(const char *text, struct semver *version)
{
    const char *build;

    *version = (struct semver){.prerelease = {"", 0}};
    for (size_t i = 0; i < 3; i++) {
        version->numbers[i] = span_digits(text);
        if (!is_strict(version->numbers[i]))
            return false;
        text += version->numbers[i].len;
        if (i < 2 && *text++ != '.')
            return false;
    }
    build = strchrnul(text, '+');
    if (*build && !are_identifiers((struct span){build + 1, strlen(build + 1)}, false))
        return false;
    if (text == build)
        return true;
    version->prerelease = (struct span){text + 1, (size_t)(build - text - 1)};
    return *text == '-' && are_identifiers(version->prerelease, true);
}

static bool semver_is_valid(const struct version_rules *rules, const char *text)
{
    struct semver version;

    (void)rules;
    return parse_semver(text, &version);
}

static int compare_identifiers(struct span a, struct span b)
{
    while (a.len > 0 && b.len > 0) {
        struct span left = {a.at, identifier_length(a)}, right = {b.at, identifier_length(b)};
        bool number = is_number(left), other = is_number(right);
        int order = number != other ? other - number
                    : number        ? version_compare_digits(left, right)
                                    : version_compare_bytes(left, right);

        if (order)
            return order;
        left.len += left.len < a.len;
        right.len += right.len < b.len;
        a = (struct span){a.at + left.len, a.len - left.len};
        b = (struct span){b.at + right.len, b.len - right.len};
    }
    return (a.len > 0) - (b.len > 0);
}

static int compare_cores(const struct semver *a, const struct semver *b)
{
    int order = 0;

    for (size_t i = 0; i < 3 && order == 0; i++)
        order = version_compare_digits(a->numbers[i], b->numbers[i]);
    return order;
}

static int semver_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct semver a, b;
    int order;

    (void)rules;
    parse_semver(left, &a);
    parse_semver(right, &b);
    order = compare_cores(&a, &b);
    if (order == 0 && (a.prerelease.len == 0 || b.prerelease.len == 0))
        return (a.prerelease.len == 0) - (b.prerelease.len == 0);
    return order ? order : compare_identifiers(a.prerelease, b.prerelease);
}

static bool semver_is_prerelease(const struct version_rules *rules, const char *text)
{
    struct semver version;

    (void)rules;
    return parse_semver(text, &version) && version.prerelease.len > 0;
}

static bool semver_same_flavour(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct semver a, b;

    (void)rules;
    return parse_semver(left, &a) && parse_semver(right, &b) &&
           version_same_calendar(a.numbers[0], b.numbers[0]);
}

static bool semver_same_release(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct semver a, b;

    (void)rules;
    return parse_semver(left, &a) && parse_semver(right, &b) && compare_cores(&a, &b) == 0;
}

const struct version_ops version_semver = {
    .name = "semver",
    .is_valid = semver_is_valid,
    .compare = semver_compare,
    .is_prerelease = semver_is_prerelease,
    .same_flavour = semver_same_flavour,
    .same_release = semver_same_release,
};
