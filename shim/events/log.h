/*
 * The event log of a step, read while it grows: whole lines from an offset on, in a buffer whose
 * size does not depend on the log's. The unfinished last line is read again each time, since
 * whoever recovers a log may cut it off.
 */
#ifndef STEPCELL_SHIM_EVENTS_LOG_H
#define STEPCELL_SHIM_EVENTS_LOG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "shim/events/batch.h"

struct log {
    int dir, fd;
    int inotify;        /* -1: look from time to time */
    uint64_t offset;    /* of the first byte of `pending` */
    uint64_t seen;      /* the end of the log when it was read last */
    struct buf pending; /* the log from `offset` on; its last line may be unfinished */
};

#define LOG_INIT ((struct log){.dir = -1, .fd = -1, .inotify = -1})

/* Opens the log in `dir`, which is not owned. */
bool log_open(struct log *log, int dir, struct err *err);
void log_close(struct log *log);
#define autolog CLEANUP(log_close) struct log

/*
 * Begins at `offset`, and reads the event in front of it, if any. False when no line begins there:
 * then the log has been read from its beginning.
 */
bool log_seek(struct log *log, uint64_t offset, struct event *before);

/* Reads on, until a batch is full or the log ends. */
bool log_fill(struct log *log, struct err *err);

/* `len` bytes of `pending` are done with. */
void log_drop(struct log *log, size_t len);

/* Waits until the log is longer or shorter than it was seen, `ms` at the most; whether it is. */
bool log_wait(struct log *log, uint64_t ms);

/* Whether somebody has removed it: nobody wants what is left of it any more. */
bool log_is_removed(const struct log *log);

/* Whether a process holds the writer's lock. */
bool log_is_written(const struct log *log);

#endif
