/* Entries of a tar archive, not compressed: names, types, links, attributes, sizes. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_layer(data, size, COMPRESSION_NONE);
    return 0;
}
