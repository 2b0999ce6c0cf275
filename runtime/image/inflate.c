#include "runtime/image/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_ONLY (15 + 16) /* zlib.h: the largest window, a gzip header expected */

struct inflater {
    int fd;
    enum compression compression;
    bool at_end;  /* of the file */
    bool between; /* members or frames: the file may end here */
    size_t in_len, in_pos;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    unsigned char in[INFLATE_BLOCK];
    unsigned char out[INFLATE_BLOCK];
};

static bool start(struct inflater *inflater)
{
    switch (inflater->compression) {
    case COMPRESSION_GZIP:
        return inflateInit2(&inflater->gzip, GZIP_ONLY) == Z_OK;
    case COMPRESSION_ZSTD:
        inflater->zstd = ZSTD_createDCtx();
        return inflater->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                     inflater->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG));
    case COMPRESSION_NONE:
        break;
    }
    return true;
}

struct inflater *inflater_new(int fd, enum compression compression, struct err *err)
{
    autoinflater *inflater = calloc(1, sizeof(*inflater));

    if (inflater) {
        inflater->fd = fd;
        inflater->compression = compression;
    }
    if (!inflater || !start(inflater)) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot start to decompress a layer");
        return NULL;
    }
    return TAKE_PTR(inflater);
}

void inflater_free(struct inflater *inflater)
{
    if (!inflater)
        return;
    if (inflater->compression == COMPRESSION_GZIP)
        inflateEnd(&inflater->gzip);
    ZSTD_freeDCtx(inflater->zstd);
    free(inflater);
}

/* Makes sure that there is input, unless the file is at its end. */
static bool fill(struct inflater *inflater, struct err *err)
{
    ssize_t n;

    if (inflater->in_pos < inflater->in_len || inflater->at_end)
        return true;
    do {
        n = read(inflater->fd, inflater->in, sizeof(inflater->in));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read a layer");
    inflater->in_pos = 0;
    inflater->in_len = (size_t)n;
    inflater->at_end = n == 0;
    return true;
}

static bool step_gzip(struct inflater *inflater, size_t *produced, struct err *err)
{
    z_stream *gzip = &inflater->gzip;
    int result;

    if (inflater->between && inflateReset(gzip) != Z_OK)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer cannot be decompressed");
    gzip->next_in = inflater->in + inflater->in_pos;
    gzip->avail_in = (unsigned int)(inflater->in_len - inflater->in_pos);
    gzip->next_out = inflater->out;
    gzip->avail_out = sizeof(inflater->out);
    result = inflate(gzip, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is not valid gzip: %s",
                       gzip->msg ? gzip->msg : "bad data");
    inflater->in_pos = inflater->in_len - gzip->avail_in;
    inflater->between = result == Z_STREAM_END;
    *produced = sizeof(inflater->out) - gzip->avail_out;
    return true;
}

static bool step_zstd(struct inflater *inflater, size_t *produced, struct err *err)
{
    ZSTD_inBuffer in = {inflater->in, inflater->in_len, inflater->in_pos};
    ZSTD_outBuffer out = {inflater->out, sizeof(inflater->out), 0};
    size_t result = ZSTD_decompressStream(inflater->zstd, &out, &in);

    if (ZSTD_isError(result))
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is not valid zstd: %s",
                       ZSTD_getErrorName(result));
    inflater->in_pos = in.pos;
    inflater->between = result == 0;
    *produced = out.pos;
    return true;
}

static bool next_plain(struct inflater *inflater, const void **bytes, size_t *len, struct err *err)
{
    if (!fill(inflater, err))
        return false;
    *bytes = inflater->in;
    *len = inflater->in_len;
    inflater->in_pos = inflater->in_len;
    return true;
}

bool inflater_next(struct inflater *inflater, const void **bytes, size_t *len, struct err *err)
{
    bool zstd = inflater->compression == COMPRESSION_ZSTD;
    size_t produced = 0;

    if (inflater->compression == COMPRESSION_NONE)
        return next_plain(inflater, bytes, len, err);
    while (produced == 0) {
        if (!fill(inflater, err))
            return false;
        if (inflater->at_end && inflater->between)
            break;
        if (!(zstd ? step_zstd : step_gzip)(inflater, &produced, err))
            return false;
        /* At the end of the file a decoder may still hold output, but never wait for input. */
        if (inflater->at_end && produced == 0 && !inflater->between)
            return err_set(err, ERR_IMAGE_CORRUPT, "a layer is cut off");
    }
    *bytes = inflater->out;
    *len = produced;
    return true;
}
