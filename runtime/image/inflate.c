#include "runtime/image/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

struct inflater {
    int fd, stop;
    enum compression compression;
    bool at_end;  /* of the file */
    bool between; /* members or frames: the file may end here */
    uint64_t consumed;
    size_t in_len, in_pos;
    ZSTD_DCtx *zstd;
    struct inflate_state gzip;
    unsigned char in[INFLATE_BLOCK];
};

/* Where the next bytes go. */
struct target {
    unsigned char *bytes;
    size_t size, len;
};

static bool start(struct inflater *inflater)
{
    switch (inflater->compression) {
    case COMPRESSION_GZIP:
        isal_inflate_init(&inflater->gzip);
        inflater->gzip.crc_flag = ISAL_GZIP;
        break;
    case COMPRESSION_ZSTD:
        inflater->zstd = ZSTD_createDCtx();
        return inflater->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                     inflater->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG));
    case COMPRESSION_NONE:
        break;
    }
    return true;
}

struct inflater *inflater_new(int fd, int stop, enum compression compression, struct err *err)
{
    autoinflater *inflater = calloc(1, sizeof(*inflater));

    if (inflater) {
        inflater->fd = fd;
        inflater->stop = stop;
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
    ZSTD_freeDCtx(inflater->zstd);
    free(inflater);
}

uint64_t inflater_consumed(const struct inflater *inflater)
{
    return inflater->consumed;
}

/* Waits until there is something to read; false when nobody needs it any more. */
static bool wait_readable(const struct inflater *inflater)
{
    struct pollfd fds[] = {{.fd = inflater->fd, .events = POLLIN},
                           {.fd = inflater->stop, .events = POLLIN}};

    if (inflater->stop < 0)
        return true;
    while (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
        if (errno != EINTR)
            return false;
    }
    errno = ECANCELED;
    return !fds[1].revents;
}

/* Reads at most `size` bytes; none at the end of the file. */
static bool read_some(struct inflater *inflater, void *bytes, size_t size, size_t *len,
                      struct err *err)
{
    ssize_t n;

    do {
        n = wait_readable(inflater) ? read(inflater->fd, bytes, size) : -1;
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read a layer");
    inflater->at_end = n == 0;
    inflater->consumed += (uint64_t)n;
    *len = (size_t)n;
    return true;
}

/* Makes sure that there is input, unless the file is at its end. */
static bool fill(struct inflater *inflater, struct err *err)
{
    if (inflater->in_pos < inflater->in_len || inflater->at_end)
        return true;
    inflater->in_pos = 0;
    return read_some(inflater, inflater->in, sizeof(inflater->in), &inflater->in_len, err);
}

static const char *gzip_error(int result)
{
    switch (result) {
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
        return "a header is wrong";
    case ISAL_INCORRECT_CHECKSUM:
        return "a checksum is wrong";
    default:
        return "bad data";
    }
}

static bool step_gzip(struct inflater *inflater, struct target *target, struct err *err)
{
    struct inflate_state *gzip = &inflater->gzip;
    int result;

    if (inflater->between)
        isal_inflate_reset(gzip);
    gzip->next_in = inflater->in + inflater->in_pos;
    gzip->avail_in = (uint32_t)(inflater->in_len - inflater->in_pos);
    gzip->next_out = target->bytes + target->len;
    gzip->avail_out = (uint32_t)(target->size - target->len);
    result = isal_inflate(gzip);
    if (result < 0 || result > ISAL_OUT_OVERFLOW)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is not valid gzip: %s", gzip_error(result));
    inflater->in_pos = inflater->in_len - gzip->avail_in;
    inflater->between = gzip->block_state == ISAL_BLOCK_FINISH;
    target->len = target->size - gzip->avail_out;
    return true;
}

static bool step_zstd(struct inflater *inflater, struct target *target, struct err *err)
{
    ZSTD_inBuffer in = {inflater->in, inflater->in_len, inflater->in_pos};
    ZSTD_outBuffer out = {target->bytes, target->size, target->len};
    size_t result = ZSTD_decompressStream(inflater->zstd, &out, &in);

    if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge) {
        err_set(err, ERR_IMAGE_CORRUPT, "a layer has a zstd window beyond the limit of %d MiB",
                1 << (INFLATE_WINDOW_LOG - 20));
        return err_hint(err, "compress the layer without --ultra and --long");
    }
    if (ZSTD_isError(result))
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is not valid zstd: %s",
                       ZSTD_getErrorName(result));
    inflater->in_pos = in.pos;
    inflater->between = result == 0;
    target->len = out.pos;
    return true;
}

static bool read_plain(struct inflater *inflater, struct target *target, struct err *err)
{
    size_t n = 0;

    do {
        if (!read_some(inflater, target->bytes + target->len, target->size - target->len, &n, err))
            return false;
        target->len += n;
    } while (n && target->len < target->size);
    return true;
}

static bool read_compressed(struct inflater *inflater, struct target *target, struct err *err)
{
    bool zstd = inflater->compression == COMPRESSION_ZSTD;

    while (target->len < target->size) {
        size_t before = target->len, pos;

        if (!fill(inflater, err))
            return false;
        if (inflater->at_end && inflater->between)
            break;
        pos = inflater->in_pos;
        if (!(zstd ? step_zstd : step_gzip)(inflater, target, err))
            return false;
        /* At the end of the file a decoder may still hold output, but never wait for input. */
        if (target->len == before && inflater->in_pos == pos && !inflater->between)
            return err_set(err, ERR_IMAGE_CORRUPT, "a layer is cut off");
    }
    return true;
}

bool inflater_read(struct inflater *inflater, void *out, size_t size, size_t *len, struct err *err)
{
    struct target target = {.bytes = out, .size = size};

    if (!(inflater->compression == COMPRESSION_NONE ? read_plain : read_compressed)(inflater,
                                                                                    &target, err))
        return false;
    *len = target.len;
    return true;
}
