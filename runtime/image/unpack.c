#include "runtime/image/unpack.h"

#include "runtime/image/layer_stream.h"
#include "runtime/image/layer_writer.h"

static bool write_entries(struct layer_stream *stream, struct layer_writer *writer, struct err *err)
{
    struct archive_entry *entry;

    while (layer_stream_next(stream, &entry, err)) {
        if (!entry)
            return layer_writer_finish(writer, err);
        if (!layer_writer_add(writer, layer_stream_archive(stream), entry, err))
            return false;
    }
    return false;
}

bool unpack_layer(int blob, enum compression compression, const char *diff_id, int target,
                  const struct unpack_limits *limits, bool may_chown, struct err *err)
{
    autolayerwriter writer = LAYER_WRITER_INIT;
    autolayerstream *stream = layer_stream_open(blob, compression, limits, err);

    writer.root = target;
    writer.may_chown = may_chown;
    writer.path_max = limits->path;
    writer.depth_max = limits->depth;
    writer.file_max = limits->file;
    writer.implied_max = limits->entries;
    return stream && write_entries(stream, &writer, err) &&
           layer_stream_finish(stream, diff_id, err);
}

bool check_layer(int blob, enum compression compression, const char *diff_id,
                 const struct unpack_limits *limits, struct err *err)
{
    autolayerstream *stream = layer_stream_open(blob, compression, limits, err);

    return stream && layer_stream_finish(stream, diff_id, err);
}
