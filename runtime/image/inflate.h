/*
 * Plain bytes out of a compressed file or pipe: gzip (of any number of members), zstd, or as it is.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_INFLATE_H
#define STEPCELL_RUNTIME_IMAGE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/image/manifest.h"

#define INFLATE_BLOCK      (256 << 10) /* bytes that are read at once */
#define INFLATE_WINDOW_LOG 25          /* of zstd, 32 MiB: a larger one is kept in memory whole */

struct inflater;

/*
 * Reads `fd` from where it is. `stop` (or -1) is an event that ends all waiting for more, with an
 * error, once it is readable. Both stay the caller's. NULL without memory, with err.
 */
struct inflater *inflater_new(int fd, int stop, enum compression compression, struct err *err);
void inflater_free(struct inflater *inflater);

/*
 * Fills `out` with the next bytes; *len is less than `size` at the end only. A stream that is cut
 * off, or followed by something else, is image.corrupt.
 */
bool inflater_read(struct inflater *inflater, void *out, size_t size, size_t *len, struct err *err);

/* Bytes that were read so far. */
uint64_t inflater_consumed(const struct inflater *inflater);

static inline void cleanup_inflater(struct inflater **inflater)
{
    inflater_free(*inflater);
}
#define autoinflater CLEANUP(cleanup_inflater) struct inflater

#endif
