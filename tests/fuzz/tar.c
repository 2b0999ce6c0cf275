/*
 * Entries of a tar archive, not compressed: names, types, links, attributes, sizes. Checksums of headers are
 * put right first: a search would hardly find one.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layer.h"

#define BLOCK        512
#define MAGIC_AT     257
#define CHECKSUM_AT  148
#define CHECKSUM_LEN 8

static void put_right(uint8_t *header)
{
    char text[CHECKSUM_LEN];
    unsigned int sum = 0;

    memset(header + CHECKSUM_AT, ' ', CHECKSUM_LEN);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header + CHECKSUM_AT, text, sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    FUZZ_CHECK(bytes);
    memcpy(bytes, data, size);
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        if (memcmp(bytes + at + MAGIC_AT, "ustar", 5) == 0)
            put_right(bytes + at);
    }
    fuzz_layer(bytes, size, COMPRESSION_NONE);
    free(bytes);
    return 0;
}
