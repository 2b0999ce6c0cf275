/* A place for one layer of a fuzz target, with a canary beside it. */
#ifndef STEPCELL_TESTS_FUZZ_LAYER_H
#define STEPCELL_TESTS_FUZZ_LAYER_H

#include "runtime/image/unpack.h"

/*
 * Unpacks the bytes with small limits below a scratch directory (in $TMPDIR, else /dev/shm) that is
 * empty before and afterwards, and checks that nothing but that directory was touched.
 */
void fuzz_layer(const void *bytes, size_t len, enum compression compression);

/* Of the headers of a tar archive: a search would hardly find one. */
void fuzz_put_checksums_right(uint8_t *tar, size_t len);

/* What the first byte of an input chooses. */
static inline enum compression fuzz_layer_compression(uint8_t choice)
{
    return choice & 1 ? COMPRESSION_ZSTD : COMPRESSION_GZIP;
}

#endif
