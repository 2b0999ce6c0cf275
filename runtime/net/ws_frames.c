#include "runtime/net/ws_frames.h"

#include <string.h>

#define FINAL    0x80 /* of the first byte */
#define RESERVED 0x70
#define KIND     0x0f
#define MASKED   0x80 /* of the second */
#define LEN_16   126  /* the length is in the next two bytes, */
#define LEN_64   127  /* or eight */

static size_t write_head(uint8_t *head, enum ws_kind kind, uint64_t len)
{
    size_t bytes = len < LEN_16 ? 0 : len <= UINT16_MAX ? 2 : 8;

    head[0] = FINAL | (uint8_t)kind;
    head[1] = MASKED | (uint8_t)(bytes == 0 ? len : bytes == 2 ? LEN_16 : LEN_64);
    for (size_t i = 0; i < bytes; i++)
        head[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

size_t ws_write(enum ws_kind kind, const void *bytes, size_t len, const uint8_t mask[WS_MASK_SIZE],
                uint8_t *frame)
{
    const uint8_t *from = bytes;
    size_t used = write_head(frame, kind, len);

    memcpy(frame + used, mask, WS_MASK_SIZE);
    used += WS_MASK_SIZE;
    for (size_t i = 0; i < len; i++)
        frame[used + i] = from[i] ^ mask[i % WS_MASK_SIZE];
    return used + len;
}

static bool is_control(enum ws_kind kind)
{
    return kind >= WS_CLOSE;
}

static bool wrong(struct err *err, const char *what)
{
    return err_set(err, ERR_ENGINE_FAILED, "the WebSocket's server breaks the protocol: %s", what);
}

static size_t head_size(const struct ws_reader *reader)
{
    uint8_t len = reader->head_len < 2 ? 0 : reader->head[1] & ~MASKED;

    return len == LEN_64 ? 10 : len == LEN_16 ? 4 : 2;
}

static enum ws_kind kind_of(const struct ws_reader *reader)
{
    return (enum ws_kind)(reader->head[0] & KIND);
}

static bool check_kind(const struct ws_reader *reader, struct err *err)
{
    bool final = reader->head[0] & FINAL;

    if (reader->head[0] & RESERVED)
        return wrong(err, "an extension that nobody has asked for");
    if (reader->head[1] & MASKED)
        return wrong(err, "a frame with a mask");
    switch (kind_of(reader)) {
    case WS_CONTINUED:
        return reader->message != WS_CONTINUED || wrong(err, "the rest of no message");
    case WS_TEXT:
    case WS_BINARY:
        return reader->message == WS_CONTINUED || wrong(err, "a message within another one");
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return (final && (reader->head[1] & ~MASKED) <= WS_CONTROL_MAX) ||
               wrong(err, "a control frame that is not whole");
    }
    return wrong(err, "a frame of an unknown kind");
}

static bool begin_frame(struct ws_reader *reader, struct err *err)
{
    size_t bytes = head_size(reader) - 2;
    uint64_t len = 0;

    if (!check_kind(reader, err))
        return false;
    for (size_t i = 0; i < bytes; i++)
        len = len << 8 | reader->head[2 + i];
    if (len > INT64_MAX || (bytes == 2 && len < LEN_16) || (bytes == 8 && len <= UINT16_MAX))
        return wrong(err, "a length that is none");
    reader->left = bytes ? len : reader->head[1];
    reader->in_frame = true;
    reader->control_len = 0;
    reader->begun = kind_of(reader) == WS_CONTINUED;
    if (!is_control(kind_of(reader)) && !reader->begun)
        reader->message = kind_of(reader);
    return true;
}

/* The frame is over. */
static bool end_frame(struct ws_reader *reader, struct err *err)
{
    const struct ws_piece control = {.kind = kind_of(reader),
                                     .bytes = reader->control,
                                     .len = reader->control_len,
                                     .first = true,
                                     .last = true};

    reader->in_frame = false;
    reader->head_len = 0;
    if (!is_control(control.kind)) {
        if (reader->head[0] & FINAL)
            reader->message = WS_CONTINUED;
        return true;
    }
    if (control.kind == WS_CLOSE && control.len == 1)
        return wrong(err, "half a reason to close");
    reader->closed = control.kind == WS_CLOSE;
    return reader->take(reader->data, &control, err);
}

/* A piece of the frame; one without any bytes is a piece as well. */
static bool take_piece(struct ws_reader *reader, const uint8_t *bytes, size_t len, struct err *err)
{
    struct ws_piece piece = {.kind = reader->message, .bytes = bytes, .len = len};

    reader->left -= len;
    if (is_control(kind_of(reader))) {
        memcpy(reader->control + reader->control_len, bytes, len);
        reader->control_len += len;
        return true;
    }
    piece.first = !reader->begun;
    piece.last = reader->left == 0 && (reader->head[0] & FINAL);
    reader->begun = true;
    return reader->take(reader->data, &piece, err);
}

bool ws_reader_feed(struct ws_reader *reader, const void *bytes, size_t len, struct err *err)
{
    const uint8_t *at = bytes, *end = at + len;

    while (!reader->closed && at < end) {
        if (!reader->in_frame) {
            reader->head[reader->head_len++] = *at++;
            if (reader->head_len < head_size(reader))
                continue;
            if (!begin_frame(reader, err))
                return false;
        }
        if (reader->left == 0 || at < end) {
            size_t piece = reader->left < (uint64_t)(end - at) ? reader->left : (size_t)(end - at);

            if (!take_piece(reader, at, piece, err))
                return false;
            at += piece;
        }
        if (reader->left == 0 && !end_frame(reader, err))
            return false;
    }
    return true;
}
