/*
 * The frames of a WebSocket (RFC 6455, section 5), as a client writes and reads them (pure).
 *
 * A message may be of any length, and in any number of frames: its reader gets it in pieces as they
 * come, and keeps none of them. What a server must not send ends the reading.
 */
#ifndef STEPCELL_RUNTIME_NET_WS_FRAMES_H
#define STEPCELL_RUNTIME_NET_WS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WS_HEAD_MAX    14  /* bytes in front of those of a frame */
#define WS_CONTROL_MAX 125 /* bytes of a frame that is no part of a message */
#define WS_MASK_SIZE   4

enum ws_kind {
    WS_CONTINUED = 0, /* in frames alone */
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* ---- writing ---- */

/*
 * Puts a frame, which is a whole message or none, into `frame`, which has room for WS_HEAD_MAX and
 * `len` bytes; gives its length. `mask` has to be new and random each time.
 */
size_t ws_write(enum ws_kind kind, const void *bytes, size_t len, const uint8_t mask[WS_MASK_SIZE],
                uint8_t *frame);

/* ---- reading ---- */

/* Of a message; a WS_CLOSE, WS_PING or WS_PONG is always whole. */
struct ws_piece {
    enum ws_kind kind; /* never WS_CONTINUED */
    const uint8_t *bytes;
    size_t len;
    bool first, last;
};

/* {0} but for `take` and `data`. */
struct ws_reader {
    /* False, with an error, ends the reading. After a WS_CLOSE nothing else comes. */
    bool (*take)(void *data, const struct ws_piece *piece, struct err *err);
    void *data;
    /* Its own. */
    uint8_t head[WS_HEAD_MAX];
    uint8_t control[WS_CONTROL_MAX];
    size_t head_len, control_len;
    uint64_t left;        /* bytes of the frame that have not come */
    enum ws_kind message; /* whose frames come; WS_CONTINUED between two */
    bool in_frame, begun, closed;
};

/* More bytes of the connection; false with engine.failed, or what `take` says. */
bool ws_reader_feed(struct ws_reader *reader, const void *bytes, size_t len, struct err *err);

#endif
