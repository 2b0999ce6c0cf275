/* Plain bytes out of a compressed file: gzip (of any number of members), zstd, or as it is. */
#ifndef STEPCELL_RUNTIME_IMAGE_INFLATE_H
#define STEPCELL_RUNTIME_IMAGE_INFLATE_H

#include <stddef.h>

#include "base/err.h"
#include "runtime/image/manifest.h"

#define INFLATE_BLOCK      (256 << 10) /* bytes that are read and handed out at once */
#define INFLATE_WINDOW_LOG 27          /* zstd windows of more than 128 MiB are refused */

struct inflater;

/* Reads `fd` from where it is; it stays the caller's. NULL without memory, with err. */
struct inflater *inflater_new(int fd, enum compression compression, struct err *err);
void inflater_free(struct inflater *inflater);

/*
 * The next bytes, borrowed until the next call; *len is 0 at the end. A stream that is cut off, or
 * followed by something else, is image.corrupt.
 */
bool inflater_next(struct inflater *inflater, const void **bytes, size_t *len, struct err *err);

static inline void cleanup_inflater(struct inflater **inflater)
{
    inflater_free(*inflater);
}
#define autoinflater CLEANUP(cleanup_inflater) struct inflater

#endif
