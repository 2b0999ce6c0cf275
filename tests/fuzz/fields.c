/* Header fields of answers: the first byte chooses which. */
#include "tests/fuzz/fuzz.h"

#include "runtime/net/fields.h"

#define NOW 1000000000

static void try_retry_after(const char *value)
{
    uint64_t ms = 0;

    if (retry_after_parse(value, NOW, &ms))
        FUZZ_CHECK(ms % 1000 == 0);
}

static void try_content_range(const char *value)
{
    struct content_range range = {0};

    if (!content_range_parse(value, &range))
        return;
    FUZZ_CHECK(range.first <= range.last);
    FUZZ_CHECK(!range.has_size || range.last < range.size);
}

static void try_link(const char *value)
{
    autofree char *target = link_next(value);

    FUZZ_CHECK(!target || (strstr(value, target) && !strchr(target, '>')));
}

static void try_warning(const char *value)
{
    autofree char *text = warning_text(value);

    FUZZ_CHECK(!text || (*text && strlen(text) <= WARNING_MAX && strstr(value, "299")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ways[])(const char *value) = {try_retry_after, try_content_range, try_link,
                                                      try_warning};
    uint8_t choice = fuzz_choice(&data, &size);
    autofree char *value = fuzz_text(&data, &size);

    ways[choice % ARRAY_SIZE(ways)](value);
    return 0;
}
