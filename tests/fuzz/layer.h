/* A place for one layer of a fuzz target, with a canary beside it. */
#ifndef STEPCELL_TESTS_FUZZ_LAYER_H
#define STEPCELL_TESTS_FUZZ_LAYER_H

#include "runtime/image/unpack.h"

/*
 * Unpacks the bytes with small limits below a scratch directory (in $TMPDIR, else /dev/shm) that is
 * empty before and afterwards, and checks that nothing but that directory was touched.
 */
void fuzz_layer(const void *bytes, size_t len, enum compression compression);

#endif
