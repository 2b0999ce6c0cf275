/*
 * Runs a producer of bytes in a thread of its own, a few blocks ahead of whoever takes them: while
 * one block is written to the disk, the next is inflated and hashed. Where no thread can be had,
 * blocks are produced when they are asked for.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_AHEAD_H
#define STEPCELL_RUNTIME_IMAGE_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define AHEAD_BLOCKS 6           /* that are held at most */
#define AHEAD_BLOCK  (256 << 10) /* bytes of one */

struct ahead;

/*
 * Fills `out` with at most `size` bytes; *len is 0 at the end, after which it is not called again.
 * Where it waits, it waits for `stop` too, and fails then.
 */
typedef bool ahead_produce(void *data, void *out, size_t size, size_t *len, struct err *err);

/*
 * Begins at once; `data` is the producer's alone until ahead_free, which writes to the eventfd
 * `stop`: a thread cannot be cancelled where the C library has to load a module for it. NULL
 * without memory, with err.
 */
struct ahead *ahead_new(ahead_produce *produce, void *data, int stop, struct err *err);
void ahead_free(struct ahead *ahead);

/* The next block, borrowed until the next call; *len is 0 at the end. */
bool ahead_next(struct ahead *ahead, const void **bytes, size_t *len, struct err *err);

static inline void cleanup_ahead(struct ahead **ahead)
{
    ahead_free(*ahead);
}
#define autoahead __attribute__((cleanup(cleanup_ahead))) struct ahead

#endif
