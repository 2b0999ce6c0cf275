/*
 * A pump moves bytes from one descriptor to another inside the event loop: byte for byte, as they
 * come, without a limit on lines and without more memory than one buffer. When the sink is full it
 * waits, so the command waits too. When the sink is gone, what comes is read, dropped and counted
 * as lost: a deployment is not stopped half-way because nobody listens; unless the pump is to end
 * with its sink.
 *
 * Of a stream that is busy splice(2) moves the bytes between pipes and files without a copy through
 * this process, and its pipes become larger. Before, they are read and written: a few bytes reach
 * their reader sooner so. A filter has to see them. One that judges gets what was read, and what it
 * gives is written: nobody else has hold of those bytes. One that only looks for something gets a
 * copy, and what is delivered between the pipes of a busy stream is spliced all the same.
 */
#ifndef STEPCELL_SHIM_RELAY_PUMP_H
#define STEPCELL_SHIM_RELAY_PUMP_H

#include <stdint.h>

#include "base/loop.h"
#include "base/stream.h"

#define PUMP_CHUNK     262144    /* bytes of a read, and at most this much is held */
#define PUMP_BUSY      (1 << 20) /* bytes after which a stream is busy */
#define PUMP_BUSY_PIPE (1 << 20) /* bytes of its pipes */

/*
 * What stands between source and sink. `pass` gets what was read and gives what is to be delivered,
 * valid until the next call; `end` gives the rest, once. When one fails, nothing of what it got is
 * delivered. It `judges` when what is delivered has to be what it saw, byte for byte, and may begin
 * to at any time. While it is `full` nothing is read; pump_resume goes on.
 */
struct pump_filter {
    bool (*pass)(void *data, const char *bytes, size_t len, const char **out, size_t *out_len,
                 struct err *err);
    bool (*end)(void *data, const char **out, size_t *out_len, struct err *err);
    bool (*judges)(const void *data);
    bool (*full)(const void *data);
    void *data;
};

struct pump_ends {
    int from;         /* not owned */
    int to;           /* not owned; -1: the filter is all that wants the bytes */
    bool to_is_input; /* the sink is a command's stdin: when it is gone there is nobody to read for
                       */
    bool ends_with_sink;              /* an output that nobody reads is not read either */
    const struct pump_filter *filter; /* borrowed, or NULL */
    void (*done)(void *data);
    void *data;
};

struct pump {
    struct loop *loop;
    struct pump_ends ends;
    int own_sink; /* a non-blocking description of `to`, where one can be had */

    uint64_t bytes; /* delivered to the sink */
    uint64_t lost;  /* read but not deliverable */
    bool ended;     /* the source is at its end and the buffer is empty */
    int sink_errno; /* why the sink is gone, or 0 */

    bool finishing; /* what is `left` in the source is all that is to be moved */
    size_t left;
    bool filter_ended;
    bool busy;
    int copies[2];  /* a pipe for what a filter sees that does not judge, or -1 */
    bool in_source; /* what is held is still in the source as well */
    bool copying, can_splice, sink_gone, source_unpollable, sink_unpollable;
    struct stream_way sink_way;
    char *buffer;    /* PUMP_CHUNK bytes, only while copying */
    const char *out; /* what is to be delivered: the buffer, or what the filter gave */
    size_t held, sent;
    struct loop_io source_io, sink_io;
    bool source_watched, sink_watched;
};

/*
 * Starts moving bytes. `done` is called once, when the source is at its end and everything is
 * delivered or lost; the pump must live until then or until pump_close.
 */
bool pump_start(struct pump *pump, struct loop *loop, const struct pump_ends *ends,
                struct err *err);

/* What was read and not delivered by now is lost. */
void pump_close(struct pump *pump);

/*
 * What is in the source now is all, even if somebody holds it open and goes on writing: a step can
 * hand its stdout to another process.
 */
bool pump_finish(struct pump *pump, struct err *err);

/* Waits for the sink no longer: what is still to come is lost. */
bool pump_abandon(struct pump *pump, struct err *err);

/* Whether the sink took no more although nobody had gone: a disk was full, say. */
bool pump_was_cut(const struct pump *pump);

/* The filter is not full any more. */
bool pump_resume(struct pump *pump, struct err *err);

#endif
