/* The samples of a step, as a crash or anything else has left them. */
#include "tests/fuzz/fuzz.h"

#include "shim/state/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct samples samples, again;
    const char *text = (const char *)data;

    if (!samples_parse(text, size, &samples))
        return 0;
    FUZZ_CHECK(samples.count <= SAMPLES_MAX && samples.file == -1);
    for (size_t i = 0; i < samples.count; i++)
        FUZZ_CHECK(i == 0 || samples.items[i].ms > samples.items[i - 1].ms);
    /* Whatever is cut off at the end, what stands before it is the same. */
    if (samples_parse(text, size - 1, &again)) {
        FUZZ_CHECK(again.count + 1 >= samples.count && again.count <= samples.count);
        FUZZ_CHECK(memcmp(again.items, samples.items, again.count * sizeof(again.items[0])) == 0);
    }
    return 0;
}
