/* Versions of Python packages: PEP 440, with the spellings that it normalises. */
#include "runtime/image/version_schemes.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define PRE_NONE 4 /* behind a, b and rc */

struct pep440 {
    struct span epoch;
    struct span release[VERSION_NUMBERS_MAX];
    size_t count;
    int pre; /* 0 where there is nothing but a dev release, 1 a, 2 b, 3 rc, PRE_NONE */
    struct span pre_number;
    bool has_post, has_dev;
    struct span post, dev;
    struct span local;
};

static const struct {
    const char *word;
    int rank;
} pre_words[] = {
    {"alpha", 1}, {"a", 1}, {"beta", 2}, {"b", 2}, {"preview", 3}, {"pre", 3}, {"rc", 3}, {"c", 3},
};

static const char *skip_separator(const char *text)
{
    return *text && strchr("-_.", *text) ? text + 1 : text;
}

/* A word behind an optional separator, with an optional number; moves *text behind them. */
static bool take_word(const char **text, const char *word, struct span *number)
{
    struct span letters = span_letters(skip_separator(*text));

    if (!span_is(letters, word))
        return false;
    *text = letters.at + letters.len;
    *number = span_digits(skip_separator(*text));
    if (number->len)
        *text = number->at + number->len;
    return true;
}

static const char *take_release(const char *text, struct pep440 *version)
{
    struct span digits = span_digits(text);

    if (digits.len && text[digits.len] == '!') {
        version->epoch = digits;
        text += digits.len + 1;
    }
    for (;;) {
        digits = span_digits(text);
        if (digits.len == 0 || version->count == VERSION_NUMBERS_MAX)
            return NULL;
        version->release[version->count++] = digits;
        text += digits.len;
        if (*text != '.' || !isdigit((unsigned char)text[1]))
            return text;
        text++;
    }
}

static const char *take_marks(const char *text, struct pep440 *version)
{
    static const char *const post_words[] = {"post", "rev", "r"};

    for (size_t i = 0; i < ARRAY_SIZE(pre_words) && version->pre == PRE_NONE; i++) {
        if (take_word(&text, pre_words[i].word, &version->pre_number))
            version->pre = pre_words[i].rank;
    }
    for (size_t i = 0; i < ARRAY_SIZE(post_words) && !version->has_post; i++)
        version->has_post = take_word(&text, post_words[i], &version->post);
    if (!version->has_post && *text == '-' && isdigit((unsigned char)text[1])) {
        version->has_post = true;
        version->post = span_digits(text + 1);
        text = version->post.at + version->post.len;
    }
    version->has_dev = take_word(&text, "dev", &version->dev);
    if (version->has_dev && version->pre == PRE_NONE && !version->has_post)
        version->pre = 0;
    return text;
}

/* Letters and digits with separators between. */
static bool is_local(const char *text)
{
    for (;; text++) {
        const char *start = text;

        while (isalnum((unsigned char)*text))
            text++;
        if (text == start)
            return false;
        if (!*text)
            return true;
        if (!strchr("-_.", *text))
            return false;
    }
}

static bool parse_pep440(const char *text, struct pep440 *version)
{
    static const struct span none = {"", 0};

    *version = (struct pep440){.epoch = none,
                               .pre = PRE_NONE,
                               .pre_number = none,
                               .post = none,
                               .dev = none,
                               .local = none};
    text += *text == 'v' || *text == 'V' ? 1 : 0;
    text = take_release(text, version);
    if (!text)
        return false;
    text = take_marks(text, version);
    if (!*text)
        return true;
    version->local = (struct span){text + 1, strlen(text + 1)};
    return *text == '+' && is_local(text + 1);
}

static bool pep440_is_valid(const struct version_rules *rules, const char *text)
{
    struct pep440 version;

    (void)rules;
    return parse_pep440(text, &version);
}

static int compare_releases(const struct pep440 *a, const struct pep440 *b)
{
    static const struct span none = {"", 0};
    int order = version_compare_digits(a->epoch, b->epoch);

    for (size_t i = 0; order == 0 && (i < a->count || i < b->count); i++)
        order = version_compare_digits(i < a->count ? a->release[i] : none,
                                       i < b->count ? b->release[i] : none);
    return order;
}

static struct span local_part(struct span local)
{
    size_t len = 0;

    while (len < local.len && isalnum((unsigned char)local.at[len]))
        len++;
    return (struct span){local.at, len};
}

/* Numbers are above words, more parts above fewer. */
static int compare_locals(struct span a, struct span b)
{
    while (a.len > 0 && b.len > 0) {
        struct span left = local_part(a), right = local_part(b);
        bool number = span_digits(left.at).len >= left.len;
        bool other = span_digits(right.at).len >= right.len;
        int order =
            number != other ? number - other
            : number        ? version_compare_digits(left, right)
                     : strncasecmp(left.at, right.at, left.len > right.len ? left.len : right.len);

        if (order)
            return order;
        left.len += left.len < a.len;
        right.len += right.len < b.len;
        a = (struct span){a.at + left.len, a.len - left.len};
        b = (struct span){b.at + right.len, b.len - right.len};
    }
    return (a.len > 0) - (b.len > 0);
}

static int pep440_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct pep440 a, b;
    int order;

    (void)rules;
    parse_pep440(left, &a);
    parse_pep440(right, &b);
    order = compare_releases(&a, &b);
    if (order == 0)
        order = a.pre - b.pre;
    if (order == 0)
        order = version_compare_digits(a.pre_number, b.pre_number);
    if (order == 0)
        order = a.has_post - b.has_post;
    if (order == 0)
        order = version_compare_digits(a.post, b.post);
    if (order == 0)
        order = b.has_dev - a.has_dev;
    if (order == 0)
        order = version_compare_digits(a.dev, b.dev);
    return order ? order : compare_locals(a.local, b.local);
}

static bool pep440_is_prerelease(const struct version_rules *rules, const char *text)
{
    struct pep440 version;

    (void)rules;
    return parse_pep440(text, &version) && (version.pre != PRE_NONE || version.has_dev);
}

static bool pep440_same_flavour(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct pep440 a, b;

    (void)rules;
    return parse_pep440(left, &a) && parse_pep440(right, &b) &&
           version_same_calendar(a.release[0], b.release[0]);
}

static bool pep440_same_release(const struct version_rules *rules, const char *left,
                                const char *right)
{
    struct pep440 a, b;

    (void)rules;
    return parse_pep440(left, &a) && parse_pep440(right, &b) && compare_releases(&a, &b) == 0;
}

const struct version_ops version_pep440 = {
    .name = "pep440",
    .is_valid = pep440_is_valid,
    .compare = pep440_compare,
    .is_prerelease = pep440_is_prerelease,
    .same_flavour = pep440_same_flavour,
    .same_release = pep440_same_release,
};
