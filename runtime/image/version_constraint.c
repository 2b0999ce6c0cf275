#include "runtime/image/version_schemes.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

#define BOUNDS_MAX 16

enum comparison { AT_LEAST, AT_MOST, NOT_EQUAL, ABOVE, BELOW, EQUAL, CARET, TILDE, WITHIN };

static const struct {
    const char *sign;
    enum comparison comparison;
} signs[] = {{">=", AT_LEAST}, {"<=", AT_MOST}, {"!=", NOT_EQUAL}, {">", ABOVE},
             {"<", BELOW},     {"=", EQUAL},    {"^", CARET},      {"~", TILDE}};

struct bound {
    enum comparison comparison;
    char version[VERSION_MAX + 1];
    struct span numbers[VERSION_NUMBERS_MAX]; /* docker and semver */
    size_t count;
};

struct constraint {
    struct bound bounds[BOUNDS_MAX];
    size_t count;
};

/* Where versions are numbers with dots, parts of one can stand for it. */
static bool has_numbers(const struct version_rules *rules)
{
    return rules->scheme == VERSION_DOCKER || rules->scheme == VERSION_SEMVER;
}

/* "1.2.x" is all that begins with 1.2. */
static void cut_wildcard(struct bound *bound)
{
    size_t len = strlen(bound->version);

    while (len > 2 && strchr("xX*", bound->version[len - 1]) && bound->version[len - 2] == '.') {
        len -= 2;
        bound->version[len] = '\0';
        bound->comparison = WITHIN;
    }
}

static bool parse_bound(const struct version_rules *rules, struct span word, struct bound *bound)
{
    *bound = (struct bound){.comparison = EQUAL};
    for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
        size_t len = strlen(signs[i].sign);

        if (word.len <= len || memcmp(word.at, signs[i].sign, len) != 0)
            continue;
        bound->comparison = signs[i].comparison;
        word = (struct span){word.at + len, word.len - len};
        break;
    }
    if (word.len == 0 || word.len > VERSION_MAX)
        return false;
    memcpy(bound->version, word.at, word.len);
    if (!has_numbers(rules))
        return bound->comparison < CARET && version_is_valid(rules, bound->version);
    if (bound->comparison == EQUAL)
        cut_wildcard(bound);
    bound->count = version_docker_numbers(bound->version, bound->numbers);
    return bound->count > 0;
}

/* The end of a range: "1.4" and "1.4.x" are the same there. */
static bool can_end_range(const struct bound *bound)
{
    return bound->comparison == EQUAL || bound->comparison == WITHIN;
}

/* "1.2 - 1.4" is both, and what begins with 1.4 as well. */
static bool parse_constraint(const struct version_rules *rules, struct constraint *constraint)
{
    const char *text = rules->constraint;
    bool to = false;

    constraint->count = 0;
    for (;;) {
        struct span word;
        struct bound *bound;

        text += strspn(text, " ");
        if (!*text)
            return constraint->count > 0 && !to;
        word = (struct span){text, strcspn(text, " ")};
        text += word.len;
        if (span_is(word, "-")) {
            if (to || constraint->count == 0 ||
                constraint->bounds[constraint->count - 1].comparison != EQUAL)
                return false;
            constraint->bounds[constraint->count - 1].comparison = AT_LEAST;
            to = true;
            continue;
        }
        if (constraint->count == BOUNDS_MAX)
            return false;
        bound = &constraint->bounds[constraint->count++];
        if (!parse_bound(rules, word, bound) || (to && !can_end_range(bound)))
            return false;
        if (to)
            bound->comparison = AT_MOST;
        to = false;
    }
}

static int compare_numbers(const struct span *a, size_t a_count, const struct span *b,
                           size_t b_count, size_t upto)
{
    static const struct span none = {"", 0};

    for (size_t i = 0; i < upto && (i < a_count || i < b_count); i++) {
        int order = version_compare_digits(i < a_count ? a[i] : none, i < b_count ? b[i] : none);
        if (order)
            return order;
    }
    return 0;
}

/* How many numbers ^ and ~ hold fast. */
static size_t held(const struct bound *bound)
{
    static const struct span none = {"", 0};
    size_t first = 0;

    if (bound->comparison == WITHIN)
        return bound->count;
    if (bound->comparison == TILDE)
        return bound->count < 2 ? bound->count : 2;
    while (first + 1 < bound->count && version_compare_digits(bound->numbers[first], none) == 0)
        first++;
    return first + 1;
}

/* "<=1.4" takes all that begins with 1.4 along, and ">1.4" and "!=1.4" leave it out. */
static size_t compared(const struct bound *bound)
{
    bool is_line = bound->comparison == AT_MOST || bound->comparison == ABOVE ||
                   bound->comparison == NOT_EQUAL;

    return is_line ? bound->count : VERSION_NUMBERS_MAX;
}

static bool holds(const struct version_rules *rules, const struct bound *bound, const char *text)
{
    struct span numbers[VERSION_NUMBERS_MAX];
    size_t count = 0;
    int order;

    if (has_numbers(rules)) {
        count = version_docker_numbers(text, numbers);
        if (count == 0)
            return false;
        order = compare_numbers(numbers, count, bound->numbers, bound->count, compared(bound));
        if (order == 0 && version_is_valid(rules, bound->version) &&
            version_is_prerelease(rules, bound->version))
            order = version_compare(rules, text, bound->version);
    } else {
        order = version_compare(rules, text, bound->version);
    }
    switch (bound->comparison) {
    case AT_LEAST:
        return order >= 0;
    case AT_MOST:
        return order <= 0;
    case NOT_EQUAL:
        return order != 0;
    case ABOVE:
        return order > 0;
    case BELOW:
        return order < 0;
    case EQUAL:
        return order == 0;
    case CARET:
    case TILDE:
    case WITHIN:
        break;
    }
    return order >= 0 &&
           compare_numbers(numbers, count, bound->numbers, bound->count, held(bound)) == 0;
}

bool version_constraint_is_valid(const struct version_rules *rules)
{
    struct constraint constraint;

    return parse_constraint(rules, &constraint);
}

bool version_constraint_holds(const struct version_rules *rules, const char *text)
{
    struct constraint constraint;

    if (!version_is_valid(rules, text) || !parse_constraint(rules, &constraint))
        return false;
    for (size_t i = 0; i < constraint.count; i++) {
        if (!holds(rules, &constraint.bounds[i], text))
            return false;
    }
    return true;
}
