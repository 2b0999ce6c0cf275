/*
 * Masking of secrets in what a step prints, across the borders of chunks and lines. Pure: bytes go
 * in, bytes come out, nothing is read, written or logged.
 *
 * A `struct mask` holds the secrets of a step and is shared by its streams; each stream has a
 * `struct mask_stream` of its own:
 *
 *     struct mask *mask = mask_new();
 *     mask_add(mask, "hunter2!", 8, &ignored, &err)
 *     struct mask_stream stream = {.mask = mask};
 *     mask_feed(&stream, bytes, len, &out, &out_len, &err)    again and again
 *     mask_end(&stream, &out, &out_len, &err)
 *     mask_stream_release(&stream);
 *     mask_free(mask);                                        after its streams
 *
 * What is masked of a value is listed in mask_forms.h. Matches that share a byte are one region,
 * and each region becomes one MASK_TEXT; regions that only touch become one each. A stream holds
 * back the bytes at its end that may be the beginning of a form, and nothing else: less than the
 * longest form. Time is linear in the bytes, whatever they are; memory is some 30 bytes for each
 * state of the automaton, and there is at most one state for each byte of a form.
 *
 * Everything fails closed. When mask_add fails, no stream of this mask gives anything more,
 * and each says why; when a stream fails, it does not. The caller ends the step.
 */
#ifndef STEPCELL_SHIM_RELAY_MASK_H
#define STEPCELL_SHIM_RELAY_MASK_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define MASK_TEXT "********"

#define MASK_VALUE_MAX  65536     /* bytes of a value, with the line ends at its end */
#define MASK_VALUES_MAX 4096      /* values that differ */
#define MASK_STATES_MAX (1 << 22) /* of the automaton, for all forms of all values */

struct mask;

/* NULL without memory. */
struct mask *mask_new(void);
void mask_free(struct mask *mask);

/*
 * Adds a value and its forms; `value` is copied. It may come while streams hold bytes: at their
 * next call they look at these again. What they have given out stays out.
 *
 * False only with `err` set: memory, or a limit. *ignored tells that the value has three characters
 * or less (of UTF-8, without line ends at its end) and is never masked, which the caller says in a
 * warning. Adding is cheap: the automaton is made when it is needed next.
 */
bool mask_add(struct mask *mask, const char *value, size_t len, bool *ignored, struct err *err);

/* Whether all that was to be added is masked; if not, err says why. */
bool mask_check(const struct mask *mask, struct err *err);

/* Whether nothing is masked, so that nobody needs to look at the bytes. */
bool mask_is_empty(const struct mask *mask);

/* A match, or several that overlap: positions in the stream, the end exclusive. */
struct mask_region {
    uint64_t start, end;
};

/* In the order of the stream, and apart from each other: `count` of them from `first` on. */
struct mask_regions {
    struct mask_region *items;
    size_t first, count, capacity;
};

/* Zero-initialised with `mask` set; the rest belongs to mask.c. */
struct mask_stream {
    const struct mask *mask; /* not owned */

    uint64_t generation; /* of the automaton that `state` belongs to */
    uint32_t state;
    uint64_t given;   /* bytes that were given out, masked or not: the position of what is held */
    struct buf held;  /* from `held_from` on */
    size_t held_from; /* moved instead of the bytes, so that single bytes cost no more than many */
    struct buf out;   /* what the last call gave, when it is not the caller's own bytes */
    bool failed;
    struct mask_regions regions; /* one that starts before `given` has its MASK_TEXT already */
};

/*
 * Takes the next bytes and gives what is certain. *out is valid until the next call on the stream;
 * it points into `bytes` when nothing had to change.
 */
bool mask_feed(struct mask_stream *stream, const char *bytes, size_t len, const char **out,
               size_t *out_len, struct err *err);

/* The end of the stream: gives what is held back. Afterwards the stream may begin anew. */
bool mask_end(struct mask_stream *stream, const char **out, size_t *out_len, struct err *err);
void mask_stream_release(struct mask_stream *stream);

/*
 * A text that is whole, such as a value of an event: its masked copy is appended to `out`, whose
 * limit is the caller's. On failure `out` is as it was.
 */
bool mask_text(const struct mask *mask, const char *bytes, size_t len, struct buf *out,
               struct err *err);

#endif
