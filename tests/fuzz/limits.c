/* --memory, --cpus, --pids-limit, --ulimit and durations, one after the other. */
#include "tests/fuzz/fuzz.h"

#include "base/num.h"
#include "shim/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *(*const values[])(const char *, struct limits *) = {
        limits_parse_memory, limits_parse_cpus, limits_parse_pids, limits_parse_ulimit};
    struct limits limits = {0};

    while (size) {
        uint8_t choice = fuzz_choice(&data, &size) % (ARRAY_SIZE(values) + 1);
        autofree char *text = fuzz_text(&data, &size);
        const char *hint;
        uint64_t ms;

        if (choice == ARRAY_SIZE(values)) {
            FUZZ_CHECK(!num_parse_duration(text, &ms) || ms <= DURATION_MAX_MS);
            continue;
        }
        hint = values[choice](text, &limits);
        FUZZ_CHECK(!hint || *hint);
    }
    return 0;
}
