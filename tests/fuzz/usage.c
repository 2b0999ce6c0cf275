/* What the kernel says of a cell: files of a cgroup, a process with a name of its own choice, and
 * the path of a cgroup. */
#include "tests/fuzz/fuzz.h"

#include "runtime/native/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size);
    struct usage_process process;
    uint64_t value;

    for (int kind = 0; kind < USAGE_KINDS; kind++) {
        if (usage_parse(text, (enum usage_kind)kind, &value))
            FUZZ_CHECK(value <= INT64_MAX);
    }
    if (usage_parse_process(text, &process))
        FUZZ_CHECK(strchr(text, ')') && process.pages <= INT64_MAX);
    if (usage_is_own_path(text))
        FUZZ_CHECK(strlen(text) >= 16);
    return 0;
}
