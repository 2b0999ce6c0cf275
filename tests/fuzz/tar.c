/*
 * Entries of a tar archive, not compressed: names, types, links, attributes, sizes. Checksums of headers are
 * put right first: a search would hardly find one.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    FUZZ_CHECK(bytes);
    memcpy(bytes, data, size);
    fuzz_put_checksums_right(bytes, size);
    fuzz_layer(bytes, size, COMPRESSION_NONE);
    free(bytes);
    return 0;
}
