/*
 * Versions by an expression: POSIX's extended ones, with \d for a digit and named groups
 * (?<NAME>…). It has to match the whole text. The names: major, minor, patch, build and revision
 * are numbers, compared in this order; prerelease is what it says; compatibility has to be the
 * same.
 */
#include "runtime/image/version_schemes.h"

#include <regex.h>
#include <string.h>

#include "base/buf.h"
#include "runtime/image/expression.h"

enum group { MAJOR, MINOR, PATCH, BUILD, REVISION, PRERELEASE, COMPATIBILITY, GROUPS };

#define NUMBERS     (REVISION + 1)
#define MATCHES_MAX 32
#define PLAIN_MAX   (8 * VERSION_RULE_MAX)

struct expression {
    regex_t compiled;
    size_t places[GROUPS]; /* 0: not there */
};

struct groups {
    struct span spans[GROUPS];
};

/* The group of a name; moves *text behind "NAME>". */
static enum group take_name(const char **text)
{
    static const char *const names[GROUPS] = {"major",    "minor",      "patch",        "build",
                                              "revision", "prerelease", "compatibility"};

    for (int i = 0; i < GROUPS; i++) {
        size_t len = strlen(names[i]);

        if (strncmp(*text, names[i], len) == 0 && (*text)[len] == '>') {
            *text += len + 1;
            return (enum group)i;
        }
    }
    return GROUPS;
}

/* Copies "[…]" as it is; of one without an end, all there is, which is refused for it. */
static bool copy_bracket(const char **text, struct buf *plain)
{
    const char *begin = *text, *end = expression_bracket_end(begin);

    *text = end ? end : begin + strlen(begin);
    return buf_append(plain, begin, (size_t)(*text - begin));
}

/* "(" or "(?<NAME>", the group of number `count`. Why it cannot be one, or NULL. */
static const char *open_group(const char **text, size_t count, struct expression *expression)
{
    enum group group;

    ++*text;
    if (count >= MATCHES_MAX)
        return "an expression has too many groups";
    if (strncmp(*text, "?<", 2) != 0)
        return NULL;
    *text += 2;
    group = take_name(text);
    if (group == GROUPS)
        return "a group of the expression has a name that means nothing";
    if (expression->places[group])
        return "two groups of the expression have one name";
    expression->places[group] = count;
    return NULL;
}

/* Writes what regcomp understands, and notes the place of each named group. */
static const char *translate(const char *text, struct buf *plain, struct expression *expression)
{
    const char *why = NULL;
    size_t count = 0;
    bool ok = true;

    while (!why && ok && *text) {
        if (strncmp(text, "\\d", 2) == 0) {
            ok = buf_append_text(plain, "[0-9]");
            text += 2;
        } else if (text[0] == '\\') {
            size_t len = text[1] ? 2 : 1;

            ok = buf_append(plain, text, len);
            text += len;
        } else if (text[0] == '[') {
            ok = copy_bracket(&text, plain);
        } else if (text[0] == '(') {
            why = open_group(&text, ++count, expression);
            ok = buf_append_text(plain, "(");
        } else {
            ok = buf_append(plain, text++, 1);
        }
    }
    return ok ? why : "there is not enough memory for the expression";
}

static bool has_number(const struct expression *expression)
{
    for (int i = 0; i < NUMBERS; i++) {
        if (expression->places[i])
            return true;
    }
    return false;
}

/* Why it cannot be used, or NULL. */
static const char *compile(const char *text, struct expression *expression)
{
    autobuf plain = BUF_INIT(PLAIN_MAX), whole = BUF_INIT(PLAIN_MAX);
    const char *why;

    *expression = (struct expression){.places = {0}};
    why = translate(text, &plain, expression);
    if (!why && !has_number(expression))
        why = "no group of the expression is a number";
    if (!why)
        why = expression_refusal(plain.data);
    if (!why && (!buf_printf(&whole, "^(%s)$", plain.data) ||
                 regcomp(&expression->compiled, whole.data, REG_EXTENDED) != 0))
        why = "the expression is no POSIX extended one";
    return why;
}

const char *version_expression_refusal(const char *text)
{
    struct expression expression;
    const char *why = compile(text, &expression);

    if (!why)
        regfree(&expression.compiled);
    return why;
}

static bool match(const struct version_rules *rules, const char *text, struct groups *groups)
{
    struct expression expression;
    regmatch_t matches[MATCHES_MAX + 1];
    bool ok;

    if (!rules->expression || compile(rules->expression, &expression))
        return false;
    ok = regexec(&expression.compiled, text, MATCHES_MAX + 1, matches, 0) == 0;
    regfree(&expression.compiled);
    for (int i = 0; ok && i < GROUPS; i++) {
        /* The whole is in a group of its own. */
        const regmatch_t *found = &matches[expression.places[i] + 1];
        bool there = expression.places[i] && found->rm_so >= 0;

        groups->spans[i] =
            there ? (struct span){text + found->rm_so, (size_t)(found->rm_eo - found->rm_so)}
                  : (struct span){"", 0};
        if (i < NUMBERS && span_digits(groups->spans[i].at).len < groups->spans[i].len)
            return false;
    }
    return ok;
}

static bool regex_is_valid(const struct version_rules *rules, const char *text)
{
    struct groups groups;

    return match(rules, text, &groups);
}

static int compare_numbers(const struct groups *a, const struct groups *b)
{
    int order = 0;

    for (int i = 0; order == 0 && i < NUMBERS; i++)
        order = version_compare_digits(a->spans[i], b->spans[i]);
    return order;
}

static int regex_compare(const struct version_rules *rules, const char *left, const char *right)
{
    struct groups a, b;
    const struct span *first = &a.spans[PRERELEASE], *second = &b.spans[PRERELEASE];
    char texts[2][VERSION_MAX + 1] = {{0}};
    int order;

    if (!match(rules, left, &a) || !match(rules, right, &b))
        return 0;
    order = compare_numbers(&a, &b);
    if (order)
        return order;
    if (first->len == 0 || second->len == 0)
        return (first->len == 0) - (second->len == 0);
    memcpy(texts[0], first->at, first->len);
    memcpy(texts[1], second->at, second->len);
    return version_loose.compare(rules, texts[0], texts[1]);
}

static bool regex_is_prerelease(const struct version_rules *rules, const char *text)
{
    struct groups groups;

    return match(rules, text, &groups) && groups.spans[PRERELEASE].len > 0;
}

static bool regex_same_flavour(const struct version_rules *rules, const char *left,
                               const char *right)
{
    struct groups a, b;

    return match(rules, left, &a) && match(rules, right, &b) &&
           span_equal(a.spans[COMPATIBILITY], b.spans[COMPATIBILITY]);
}

static bool regex_same_release(const struct version_rules *rules, const char *left,
                               const char *right)
{
    struct groups a, b;

    return match(rules, left, &a) && match(rules, right, &b) && compare_numbers(&a, &b) == 0;
}

const struct version_ops version_regex = {
    .name = "regex",
    .is_valid = regex_is_valid,
    .compare = regex_compare,
    .is_prerelease = regex_is_prerelease,
    .same_flavour = regex_same_flavour,
    .same_release = regex_same_release,
};
