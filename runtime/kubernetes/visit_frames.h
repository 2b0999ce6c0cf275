/*
 * What goes over the API's exec between stepcell-kubernetes and `stepcell-pod visit` (pure): the
 * bytes of a command's streams with their ends, which the API does not carry, and what else there
 * is to say. A frame is its kind, the length of what follows in three bytes, and that.
 *
 *   to the Pod     REQUEST   a piece of an enter_request (runtime/native/handshake.h)
 *                  ENTER     the request is complete: run it
 *                  ATTACH    instead: what follows is for the step's own command
 *                  IN        for stdin; no more than VISIT_WINDOW bytes that are not TAKEN yet
 *                  IN_END    there is no more
 *                  CLOSE     nobody reads its stdout (1) or stderr (2) any more
 *                  SIGNAL    for the command's process group
 *                  SIZE      of its terminal: rows << 16 | columns
 *                  STILL     nothing: somebody is there. What is idle for long is cut on the way
 *   from the Pod   BEGUN     the command is there, and so are its streams
 *                  OUT, ERR  what it writes; of a terminal OUT alone
 *                  TAKEN     so many bytes of IN were given to it
 *                  ENDED     the last: HOW (enum message_kind: EXITED, or why there is no command)
 *                            and its value, as in an ENTER
 *
 * What ends without ENDED is broken. CLOSE, SIGNAL, SIZE and TAKEN are one number, ENDED is two.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_VISIT_FRAMES_H
#define STEPCELL_RUNTIME_KUBERNETES_VISIT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VISIT_BYTES_MAX 16384 /* of one frame, behind its head */
#define VISIT_HEAD_SIZE 4
#define VISIT_FRAME_MAX (VISIT_HEAD_SIZE + VISIT_BYTES_MAX)
#define VISIT_WINDOW    (256 << 10)

enum visit_kind {
    VISIT_REQUEST = 1,
    VISIT_ENTER,
    VISIT_ATTACH,
    VISIT_IN,
    VISIT_IN_END,
    VISIT_CLOSE,
    VISIT_SIGNAL,
    VISIT_SIZE,
    VISIT_STILL,
    VISIT_BEGUN,
    VISIT_OUT,
    VISIT_ERR,
    VISIT_TAKEN,
    VISIT_ENDED,
    VISIT_KINDS
};

/* Each puts a frame into `frame`, and gives its length. */
size_t visit_write(enum visit_kind kind, const void *bytes, size_t len,
                   uint8_t frame[VISIT_FRAME_MAX]);
size_t visit_write_number(enum visit_kind kind, uint32_t number, uint8_t frame[VISIT_FRAME_MAX]);
size_t visit_write_end(uint32_t how, uint32_t value, uint8_t frame[VISIT_FRAME_MAX]);

struct visit_frame {
    enum visit_kind kind;
    const uint8_t *bytes; /* of REQUEST, IN, OUT and ERR: at least one */
    size_t len;
    uint32_t number, value; /* of the others, as far as they have them */
};

/* {0} but for `take` and `data`. */
struct visit_reader {
    bool (*take)(void *data, const struct visit_frame *frame); /* false ends the reading */
    void *data;
    /* Its own. */
    uint8_t frame[VISIT_FRAME_MAX];
    size_t used;
};

/* More bytes; false when they are none of this protocol, or as `take` says. */
bool visit_reader_feed(struct visit_reader *reader, const void *bytes, size_t len);

#endif
