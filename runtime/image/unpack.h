/*
 * Unpacks one layer: decompresses, computes the diff id, reads the tar and writes the tree, in one
 * pass. The caller keeps the tree apart until this has returned true: only then is it what the diff
 * id names. Meant for a child in a user namespace, since the bytes are anybody's.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_UNPACK_H
#define STEPCELL_RUNTIME_IMAGE_UNPACK_H

#include <stdint.h>

#include "base/err.h"
#include "runtime/image/manifest.h"

/* Where decompression bombs end. Generous: real layers stay far below. */
struct unpack_limits {
    uint64_t entries; /* and as many directories that entries imply */
    uint64_t depth;   /* directories of a path */
    uint64_t path;    /* bytes of a path */
    uint64_t file;    /* bytes of one file */
    uint64_t total;   /* bytes of the uncompressed layer */
    uint64_t ratio;   /* bytes out of one compressed byte, on the average ... */
    uint64_t grace;   /* ... once there are so many */
};

#define UNPACK_LIMITS                                                                              \
    ((struct unpack_limits){.entries = 2000000,                                                    \
                            .depth = 256,                                                          \
                            .path = 4095,                                                          \
                            .file = UINT64_C(256) << 30,                                           \
                            .total = UINT64_C(256) << 30,                                          \
                            .ratio = 256,                                                          \
                            .grace = UINT64_C(4) << 30})

/*
 * `blob`, a file or a pipe, is read to its end. With `may_chown` files get the owners of the
 * archive. A content that is not what `diff_id` names is image.corrupt.
 */
bool unpack_layer(int blob, enum compression compression, const char *diff_id, int target,
                  const struct unpack_limits *limits, bool may_chown, struct err *err);

/* Reads it so too, for the comparison with `diff_id` alone. */
bool check_layer(int blob, enum compression compression, const char *diff_id,
                 const struct unpack_limits *limits, struct err *err);

#endif
