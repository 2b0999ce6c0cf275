#include "runtime/image/layer_stream.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/digest.h"
#include "runtime/image/ahead.h"
#include "runtime/image/inflate.h"

#define TAR_BLOCK 512
/* Bytes of the headers of one entry, in whole blocks. libarchive makes lists of them that take
 * twelve times as much. */
#define HEADER_MAX (512 << 10)

struct layer_stream {
    const struct unpack_limits *limits;
    int stop;
    /* In the thread that makes plain bytes. */
    struct inflater *inflater;
    struct digest *digest;
    uint64_t produced;
    /* And on their way into libarchive. */
    struct ahead *ahead;
    struct archive *archive;
    uint64_t total, entries, header; /* `header`: where those of the entry begin */
    bool in_header;
    bool padded;
    bool failed; /* with *err set */
    struct err *err;
};

void layer_stream_free(struct layer_stream *stream)
{
    if (!stream)
        return;
    archive_read_free(stream->archive);
    cleanup_ahead(&stream->ahead);
    digest_free(stream->digest);
    inflater_free(stream->inflater);
    close_fd(stream->stop);
    free(stream);
}

static bool check_total(const struct layer_stream *stream, struct err *err)
{
    const struct unpack_limits *limits = stream->limits;
    uint64_t consumed = inflater_consumed(stream->inflater);

    if (stream->produced > limits->total)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is larger than the limit of %llu bytes",
                       (unsigned long long)limits->total);
    if (stream->produced > limits->grace && stream->produced / limits->ratio > consumed)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "a layer of %llu bytes grows beyond the limit of %llu times its size",
                       (unsigned long long)consumed, (unsigned long long)limits->ratio);
    return true;
}

static bool produce(void *data, void *out, size_t size, size_t *len, struct err *err)
{
    struct layer_stream *stream = data;

    if (!inflater_read(stream->inflater, out, size, len, err))
        return false;
    digest_update(stream->digest, out, *len);
    stream->produced += *len;
    return check_total(stream, err);
}

static bool next_block(struct layer_stream *stream, const void **bytes, size_t *len)
{
    stream->failed = !ahead_next(stream->ahead, bytes, len, stream->err);
    if (stream->failed)
        return false;
    stream->total += *len;
    if (!stream->in_header || stream->total - stream->header <= HEADER_MAX)
        return true;
    stream->failed = true;
    return err_set(stream->err, ERR_IMAGE_CORRUPT,
                   "a layer has an entry whose headers are larger than the limit of %d bytes",
                   HEADER_MAX);
}

/*
 * Some builders (umoci insert is one) end their archives with the last byte of the last file, and
 * every engine takes them. The block is filled up for libarchive; the diff id is of the bytes that
 * are there.
 */
static size_t pad(struct layer_stream *stream, const void **bytes)
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
    archive_set_error(archive, EIO, "%s", ((struct layer_stream *)data)->err->message);
    return ARCHIVE_FATAL;
}

static bool damaged(const struct layer_stream *stream)
{
    const char *why = archive_error_string(stream->archive);

    if (stream->failed)
        return false;
    return err_set(stream->err, ERR_IMAGE_CORRUPT, "a layer is not a valid tar archive: %s",
                   why ? why : "unknown format");
}

/*
 * Nothing but tar, which may be empty, and no filter. The locale stays "C": in any other one
 * libarchive would rewrite names to a normal form of Unicode. What it warns of then is that it did
 * not.
 */
static bool open_archive(struct layer_stream *stream)
{
    stream->archive = archive_read_new();
    if (!stream->archive || archive_read_support_format_tar(stream->archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(stream->archive) != ARCHIVE_OK)
        return err_errno(stream->err, ERR_ENGINE_FAILED, "cannot start to read a layer");
    return archive_read_open(stream->archive, stream, NULL, on_read, NULL) >= ARCHIVE_WARN ||
           damaged(stream);
}

static bool start(struct layer_stream *stream, int blob, enum compression compression,
                  struct err *err)
{
    stream->err = err;
    stream->inflater = inflater_new(blob, stream->stop, compression, err);
    if (!stream->inflater)
        return false;
    stream->digest = digest_new();
    if (!stream->digest || stream->stop < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read a layer");
    stream->ahead = ahead_new(produce, stream, stream->stop, err);
    return stream->ahead && open_archive(stream);
}

struct layer_stream *layer_stream_open(int blob, enum compression compression,
                                       const struct unpack_limits *limits, struct err *err)
{
    autolayerstream *stream = calloc(1, sizeof(*stream));

    if (!stream) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot read a layer");
        return NULL;
    }
    stream->limits = limits;
    stream->stop = eventfd(0, EFD_CLOEXEC);
    return start(stream, blob, compression, err) ? TAKE_PTR(stream) : NULL;
}

bool layer_stream_next(struct layer_stream *stream, struct archive_entry **entry, struct err *err)
{
    int result;

    stream->err = err;
    if (stream->entries && archive_read_data_skip(stream->archive) < ARCHIVE_WARN)
        return damaged(stream);
    stream->header = stream->total;
    stream->in_header = true;
    result = archive_read_next_header(stream->archive, entry);
    stream->in_header = false;
    if (result == ARCHIVE_EOF) {
        *entry = NULL;
        return true;
    }
    /* ARCHIVE_RETRY, too: of a header whose sum is wrong. */
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
        return damaged(stream);
    if (++stream->entries > stream->limits->entries)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer has more than the limit of %llu entries",
                       (unsigned long long)stream->limits->entries);
    return true;
}

struct archive *layer_stream_archive(const struct layer_stream *stream)
{
    return stream->archive;
}

/* The diff id covers what follows the end of the archive too: padding, of any length. */
bool layer_stream_finish(struct layer_stream *stream, const char *diff_id, struct err *err)
{
    char found[DIGEST_TEXT_MAX];
    const void *bytes;
    size_t len;

    stream->err = err;
    do {
        if (!next_block(stream, &bytes, &len))
            return false;
    } while (len);
    digest_finish(stream->digest, found);
    if (strcmp(found, diff_id) != 0)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "a layer is not what the image names: its content is %s, not %s", found,
                       diff_id);
    return true;
}
