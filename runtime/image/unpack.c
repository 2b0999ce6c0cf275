#include "runtime/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/digest.h"
#include "runtime/image/ahead.h"
#include "runtime/image/inflate.h"
#include "runtime/image/layer_writer.h"

#define TAR_BLOCK 512

/* The stream of plain bytes, in the thread that makes them. */
struct stream {
    struct inflater *inflater;
    struct digest *digest;
    const struct unpack_limits *limits;
    uint64_t total;
};

/* And on its way into libarchive. */
struct reader {
    struct ahead *ahead;
    const struct unpack_limits *limits;
    uint64_t total;
    bool padded;
    bool failed; /* with *err set */
    struct err *err;
};

static void cleanup_archive(struct archive **archive)
{
    archive_read_free(*archive);
}

static bool check_total(const struct stream *stream, struct err *err)
{
    const struct unpack_limits *limits = stream->limits;
    uint64_t consumed = inflater_consumed(stream->inflater);

    if (stream->total > limits->total)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is larger than the limit of %llu bytes",
                       (unsigned long long)limits->total);
    if (stream->total > limits->grace && stream->total / limits->ratio > consumed)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "a layer of %llu bytes grows beyond the limit of %llu times its size",
                       (unsigned long long)consumed, (unsigned long long)limits->ratio);
    return true;
}

static bool produce(void *data, void *out, size_t size, size_t *len, struct err *err)
{
    struct stream *stream = data;

    if (!inflater_read(stream->inflater, out, size, len, err))
        return false;
    digest_update(stream->digest, out, *len);
    stream->total += *len;
    return check_total(stream, err);
}

static bool next_block(struct reader *reader, const void **bytes, size_t *len)
{
    reader->failed = !ahead_next(reader->ahead, bytes, len, reader->err);
    if (reader->failed)
        return false;
    reader->total += *len;
    return true;
}

/*
 * Some builders (umoci insert is one) end their archives with the last byte of the last file, and
 * every engine takes them. The block is filled up for libarchive; the diff id is of the bytes that
 * are there.
 */
static size_t pad(struct reader *reader, const void **bytes)
{
    static const char zeros[TAR_BLOCK];
    size_t used = reader->padded ? 0 : (size_t)(reader->total % TAR_BLOCK);

    reader->padded = true;
    *bytes = zeros;
    return used ? TAR_BLOCK - used : 0;
}

static la_ssize_t on_read(struct archive *archive, void *data, const void **bytes)
{
    size_t len;

    if (next_block(data, bytes, &len))
        return (la_ssize_t)(len ? len : pad(data, bytes));
    archive_set_error(archive, EIO, "%s", ((struct reader *)data)->err->message);
    return ARCHIVE_FATAL;
}

static bool damaged(const struct reader *reader, struct archive *archive)
{
    const char *why = archive_error_string(archive);

    if (reader->failed)
        return false;
    return err_set(reader->err, ERR_IMAGE_CORRUPT, "a layer is not a valid tar archive: %s",
                   why ? why : "unknown format");
}

/*
 * Nothing but tar, and no filter. The locale stays "C": in any other one libarchive would rewrite
 * names to a normal form of Unicode. What it warns of then is that it did not.
 */
static struct archive *open_archive(struct reader *reader)
{
    CLEANUP(cleanup_archive) struct archive *archive = archive_read_new();

    if (!archive || archive_read_support_format_tar(archive) != ARCHIVE_OK) {
        err_errno(reader->err, ERR_ENGINE_FAILED, "cannot start to unpack a layer");
        return NULL;
    }
    if (archive_read_open(archive, reader, NULL, on_read, NULL) < ARCHIVE_WARN) {
        damaged(reader, archive);
        return NULL;
    }
    return TAKE_PTR(archive);
}

static bool write_entries(struct reader *reader, struct archive *archive,
                          struct layer_writer *writer)
{
    struct archive_entry *entry;
    uint64_t count = 0;
    int result;

    while ((result = archive_read_next_header(archive, &entry)) >= ARCHIVE_WARN) {
        if (result == ARCHIVE_EOF)
            return layer_writer_finish(writer, reader->err);
        if (++count > reader->limits->entries)
            return err_set(reader->err, ERR_IMAGE_CORRUPT,
                           "a layer has more than the limit of %llu entries",
                           (unsigned long long)reader->limits->entries);
        if (!layer_writer_add(writer, archive, entry, reader->err))
            return false;
    }
    return damaged(reader, archive);
}

/* The diff id covers what follows the end of the archive too: padding, of any length. */
static bool check_diff_id(struct reader *reader, struct digest *digest, const char *diff_id)
{
    char found[DIGEST_TEXT_MAX];
    const void *bytes;
    size_t len;

    do {
        if (!next_block(reader, &bytes, &len))
            return false;
    } while (len);
    digest_finish(digest, found);
    if (strcmp(found, diff_id) != 0)
        return err_set(reader->err, ERR_IMAGE_CORRUPT,
                       "a layer is not what the image names: its content is %s, not %s", found,
                       diff_id);
    return true;
}

bool unpack_layer(int blob, enum compression compression, const char *diff_id, int target,
                  const struct unpack_limits *limits, bool may_chown, struct err *err)
{
    autolayerwriter writer = LAYER_WRITER_INIT;
    autofd stop = eventfd(0, EFD_CLOEXEC);
    autoinflater *inflater = inflater_new(blob, stop, compression, err);
    autodigest *digest = digest_new();
    struct stream stream = {.inflater = inflater, .digest = digest, .limits = limits};
    autoahead *ahead = NULL;
    CLEANUP(cleanup_archive) struct archive *archive = NULL;
    struct reader reader = {.limits = limits, .err = err};

    if (!inflater)
        return false;
    if (!digest || stop < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read a layer");
    writer.root = target;
    writer.may_chown = may_chown;
    writer.path_max = limits->path;
    writer.depth_max = limits->depth;
    writer.file_max = limits->file;
    writer.implied_max = limits->entries;
    reader.ahead = ahead = ahead_new(produce, &stream, stop, err);
    if (!ahead)
        return false;
    archive = open_archive(&reader);
    return archive && write_entries(&reader, archive, &writer) &&
           check_diff_id(&reader, digest, diff_id);
}
