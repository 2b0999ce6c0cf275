/* Batches (pure): which whole lines of a log are sent together, and what their last one says. */
#ifndef STEPCELL_SHIM_EVENTS_BATCH_H
#define STEPCELL_SHIM_EVENTS_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_MAX (1 << 20)  /* bytes, unless a single event is longer */
#define EVENT_MAX (64 << 20) /* bytes of an event; a log with a longer one cannot be delivered */

/* Bytes of the whole lines at the front of `bytes`. */
size_t batch_whole(const char *bytes, size_t len);

/*
 * Bytes of the next batch: as many whole lines as fit into `limit`, at least one; 0 when there is
 * no whole line yet.
 */
size_t batch_cut(const char *bytes, size_t len, size_t limit);

/* Whether a batch holds one event: then it cannot be made smaller. */
bool batch_is_single(const char *bytes, size_t len);

/* The last line of whole lines, with its line end; *len in: all bytes, out: those of the line. */
const char *batch_last_line(const char *bytes, size_t *len);

struct event {
    int64_t seq;
    bool last; /* it is step.finished */
};

/* Reads one line; false when it is no event, and *event is unchanged. */
bool event_read(const char *line, size_t len, struct event *event);

#endif
