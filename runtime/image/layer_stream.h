/*
 * Reads one layer: decompresses, computes the diff id and hands out the entries of the tar, in one
 * pass and within limits. Meant for a child behind walls, since the bytes are anybody's.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_LAYER_STREAM_H
#define STEPCELL_RUNTIME_IMAGE_LAYER_STREAM_H

#include <archive.h>
#include <archive_entry.h>

#include "runtime/image/unpack.h"

struct layer_stream;

/*
 * Opens `blob`, a file or a pipe, which stays the caller's, as `limits` do. NULL on error:
 * image.corrupt for what is no tar or not compressed so.
 */
struct layer_stream *layer_stream_open(int blob, enum compression compression,
                                       const struct unpack_limits *limits, struct err *err);
void layer_stream_free(struct layer_stream *stream);

/* The next entry, borrowed until the next call; NULL at the end of the archive. */
bool layer_stream_next(struct layer_stream *stream, struct archive_entry **entry, struct err *err);

/* What the content of the entry that was handed out last is read from. */
struct archive *layer_stream_archive(const struct layer_stream *stream);

/* Reads on to the end: a content that is not what `diff_id` names is image.corrupt. */
bool layer_stream_finish(struct layer_stream *stream, const char *diff_id, struct err *err);

static inline void cleanup_layer_stream(struct layer_stream **stream)
{
    layer_stream_free(*stream);
}
#define autolayerstream CLEANUP(cleanup_layer_stream) struct layer_stream

#endif
