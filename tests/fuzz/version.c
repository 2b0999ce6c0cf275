/* Versions of every scheme: an order that does not contradict itself, and rules that hold. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/version.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static const char *if_any(const char *text)
{
    return *text ? text : NULL;
}

static void check_order(const struct version_rules *rules, const char *const texts[3])
{
    int first = version_compare(rules, texts[0], texts[1]);
    int second = version_compare(rules, texts[1], texts[2]);

    FUZZ_CHECK(version_compare(rules, texts[0], texts[0]) == 0);
    FUZZ_CHECK(sign(first) == -sign(version_compare(rules, texts[1], texts[0])));
    if (first <= 0 && second <= 0)
        FUZZ_CHECK(version_compare(rules, texts[0], texts[2]) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size), more = fuzz_choice(&data, &size);
    autofree char *first = fuzz_text(&data, &size), *second = fuzz_text(&data, &size);
    autofree char *third = fuzz_text(&data, &size), *rule = fuzz_text(&data, &size);
    const char *const texts[] = {first, second, third};
    struct version_rules rules = {
        .scheme = (enum version_scheme)(choice % VERSION_SCHEMES),
        .prereleases = (enum version_prereleases)(more % 3),
        .any_precision = more & 4,
        .revisions = more & 8,
        .include = more & 16 ? "*1*" : NULL,
    };

    if (rules.scheme == VERSION_REGEX)
        rules.expression = if_any(rule);
    else
        rules.constraint = if_any(rule);
    if (version_rules_check(&rules))
        return 0;
    if (version_is_valid(&rules, first) && version_is_valid(&rules, second) &&
        version_is_valid(&rules, third))
        check_order(&rules, texts);
    if (!version_follows(&rules, first, second))
        return 0;
    FUZZ_CHECK(version_compare(&rules, second, first) > 0);
    FUZZ_CHECK(!version_follows(&rules, second, first));
    FUZZ_CHECK(!rules.constraint || version_constraint_holds(&rules, second));
    return 0;
}
