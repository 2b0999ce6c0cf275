/*
 * Growing byte buffers and string lists, both with a limit that the owner names.
 *
 * A `struct buf` holds `len` bytes and always a NUL behind them, so that `data` is a C string when
 * no byte in it is NUL. Appending past `max` fails and changes nothing. A `struct strv` is a
 * NULL-ended vector of owned strings, ready for execve. A zeroed structure with `max` set is an
 * empty one.
 */
#ifndef STEPCELL_BASE_BUF_H
#define STEPCELL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct buf {
    char *data;
    size_t len;
    size_t capacity;
    size_t max; /* bytes, without the final NUL */
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

bool buf_append(struct buf *buf, const void *bytes, size_t len);
bool buf_append_text(struct buf *buf, const char *text);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for `len` bytes behind what is there, or NULL; buf_added says how many of them were used. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_added(struct buf *buf, size_t len);

void buf_release(struct buf *buf);

/* The string, owned by the caller; the buffer is empty afterwards. NULL without memory. */
char *buf_take(struct buf *buf);

struct strv {
    char **items; /* NULL-ended once it holds one; NULL while empty */
    size_t count;
    size_t max; /* items; 0 stands for STRV_MAX */
};

#define STRV_MAX 65536

/* Both fail only when the limit or the memory is at its end. strv_take owns `item` in any case. */
bool strv_add(struct strv *strv, const char *item);
bool strv_take(struct strv *strv, char *item);
void strv_release(struct strv *strv);
bool strv_contains(const struct strv *strv, const char *item);

/* asprintf that returns the string, or NULL without memory. */
char *text_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define autobuf  CLEANUP(buf_release) struct buf
#define autostrv CLEANUP(strv_release) struct strv

#endif
