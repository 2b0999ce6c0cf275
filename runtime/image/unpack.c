#include "runtime/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "runtime/image/inflate.h"
#include "runtime/image/layer_writer.h"

#define TAR_BLOCK 512

/* The stream of plain bytes on its way into libarchive. */
struct stream {
    struct inflater *inflater;
    struct digest *digest;
    const struct unpack_limits *limits;
    uint64_t compressed, total;
    bool padded;
    bool failed; /* with *err set */
    struct err *err;
};

static void cleanup_archive(struct archive **archive)
{
    archive_read_free(*archive);
}

static bool check_total(const struct stream *stream)
{
    const struct unpack_limits *limits = stream->limits;

    if (stream->total > limits->total)
        return err_set(stream->err, ERR_IMAGE_CORRUPT,
                       "a layer is larger than the limit of %llu bytes",
                       (unsigned long long)limits->total);
    if (stream->total > limits->grace && stream->total / limits->ratio > stream->compressed)
        return err_set(stream->err, ERR_IMAGE_CORRUPT,
                       "a layer of %llu bytes grows beyond the limit of %llu times its size",
                       (unsigned long long)stream->compressed, (unsigned long long)limits->ratio);
    return true;
}

static bool next_block(struct stream *stream, const void **bytes, size_t *len)
{
    stream->failed = !inflater_next(stream->inflater, bytes, len, stream->err);
    if (stream->failed)
        return false;
    digest_update(stream->digest, *bytes, *len);
    stream->total += *len;
    stream->failed = !check_total(stream);
    return !stream->failed;
}

/*
 * Some builders (umoci insert is one) end their archives with the last byte of the last file, and
 * every engine takes them. The block is filled up for libarchive; the diff id is of the bytes that
 * are there.
 */
static size_t pad(struct stream *stream, const void **bytes)
{
    static const char zeros[TAR_BLOCK];
    size_t used = stream->padded ? 0 : (size_t)(stream->total % TAR_BLOCK);

    stream->padded = true;
    *bytes = zeros;
    return used ? TAR_BLOCK - used : 0;
}

static la_ssize_t on_read(struct archive *archive, void *data, const void **bytes)
{
    size_t len;

    if (next_block(data, bytes, &len))
        return (la_ssize_t)(len ? len : pad(data, bytes));
    archive_set_error(archive, EIO, "%s", ((struct stream *)data)->err->message);
    return ARCHIVE_FATAL;
}

static bool damaged(const struct stream *stream, struct archive *archive)
{
    const char *why = archive_error_string(archive);

    if (stream->failed)
        return false;
    return err_set(stream->err, ERR_IMAGE_CORRUPT, "a layer is not a valid tar archive: %s",
                   why ? why : "unknown format");
}

/*
 * Nothing but tar, and no filter. The locale stays "C": in any other one libarchive would rewrite
 * names to a normal form of Unicode. What it warns of then is that it did not.
 */
static struct archive *open_archive(struct stream *stream)
{
    CLEANUP(cleanup_archive) struct archive *archive = archive_read_new();

    if (!archive || archive_read_support_format_tar(archive) != ARCHIVE_OK) {
        err_errno(stream->err, ERR_ENGINE_FAILED, "cannot start to unpack a layer");
        return NULL;
    }
    if (archive_read_open(archive, stream, NULL, on_read, NULL) < ARCHIVE_WARN) {
        damaged(stream, archive);
        return NULL;
    }
    return TAKE_PTR(archive);
}

static bool write_entries(struct stream *stream, struct archive *archive,
                          struct layer_writer *writer)
{
    struct archive_entry *entry;
    uint64_t count = 0;
    int result;

    while ((result = archive_read_next_header(archive, &entry)) >= ARCHIVE_WARN) {
        if (result == ARCHIVE_EOF)
            return layer_writer_finish(writer, stream->err);
        if (++count > stream->limits->entries)
            return err_set(stream->err, ERR_IMAGE_CORRUPT,
                           "a layer has more than the limit of %llu entries",
                           (unsigned long long)stream->limits->entries);
        if (!layer_writer_add(writer, archive, entry, stream->err))
            return false;
    }
    return damaged(stream, archive);
}

/* The diff id covers what follows the end of the archive too: padding, of any length. */
static bool check_diff_id(struct stream *stream, const char *diff_id)
{
    char found[DIGEST_TEXT_MAX];
    const void *bytes;
    size_t len;

    do {
        if (!next_block(stream, &bytes, &len))
            return false;
    } while (len);
    digest_finish(stream->digest, found);
    if (strcmp(found, diff_id) != 0)
        return err_set(stream->err, ERR_IMAGE_CORRUPT,
                       "a layer is not what the image names: its content is %s, not %s", found,
                       diff_id);
    return true;
}

bool unpack_layer(int blob, enum compression compression, const char *diff_id, int target,
                  const struct unpack_limits *limits, bool may_chown, struct err *err)
{
    autolayerwriter writer = LAYER_WRITER_INIT;
    autoinflater *inflater = inflater_new(blob, compression, err);
    autodigest *digest = digest_new();
    CLEANUP(cleanup_archive) struct archive *archive = NULL;
    struct stream stream = {.inflater = inflater, .digest = digest, .limits = limits, .err = err};
    struct stat st;

    if (!inflater)
        return false;
    if (!digest || fstat(blob, &st) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read a layer");
    stream.compressed = (uint64_t)st.st_size;
    writer.root = target;
    writer.may_chown = may_chown;
    writer.path_max = limits->path;
    writer.depth_max = limits->depth;
    writer.file_max = limits->file;
    writer.implied_max = limits->entries;
    archive = open_archive(&stream);
    return archive && write_entries(&stream, archive, &writer) && check_diff_id(&stream, diff_id);
}
