/*
 * A sink takes bytes for somebody who may be slow, or go away: a receiver of events (`fd:N`,
 * `file:PATH`, `unix:PATH`), or the reader of stdout.
 *
 * A file takes them at once. For a pipe, terminal or socket that is full they wait in a queue; who
 * writes asks sink_is_full first and waits until `drained` is called, so that whoever produces the
 * bytes waits too. For a receiver that is gone they are counted as lost, and for a file that takes
 * no more: nothing of a step depends on who listens.
 */
#ifndef STEPCELL_SHIM_RELAY_SINK_H
#define STEPCELL_SHIM_RELAY_SINK_H

#include <stdint.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/stream.h"
#include "shim/outlet.h"

#define SINK_QUEUE_MAX  (64 << 20) /* bytes: more than any event has */
#define SINK_QUEUE_FULL (1 << 20)  /* from here on the sink is called full */

struct sink {
    int fd; /* -1: none; what is written to it vanishes */
    struct stream_way way;
    bool gone;
    int error;     /* why: EPIPE or another; 0 when it was abandoned */
    uint64_t lost; /* bytes that a receiver that is gone did not get */
    struct buf queue;
    size_t sent; /* bytes of the queue that are written */
    struct loop *loop;
    struct loop_io io;
    bool watched;
    bool (*drained)(void *data, struct err *err);
    void *data;
};

#define SINK_INIT ((struct sink){.fd = -1})

/* Whether `target` is a receiver by HTTP, which is no sink: a program of its own sends there. */
bool sink_is_http(const char *target);

/*
 * Opens what `target` names. A file is made or emptied; a link is refused, and what `outlets`
 * refuse. The descriptor of `fd:N` must be the caller's, and open for writing; something must
 * listen at the socket. Fails with option.invalid.
 */
bool sink_open(const char *target, const struct outlets *outlets, struct sink *sink,
               struct err *err);

/* Whether that would do, as far as can be told so: nothing is made, emptied or connected to. */
bool sink_try(const char *target, const struct outlets *outlets, struct err *err);

/* A sink for a descriptor of the caller's, which stays open. */
bool sink_open_fd(int fd, struct sink *sink, struct err *err);

void sink_close(struct sink *sink);

/* From now on the queue empties by the loop; `drained` is called when it is not full any more, and
 * when it is empty. */
bool sink_attach(struct sink *sink, struct loop *loop, bool (*drained)(void *data, struct err *err),
                 void *data, struct err *err);

/* Takes all of `len` bytes. Fails only when they do not fit into the queue. */
bool sink_write(struct sink *sink, const char *bytes, size_t len, struct err *err);
bool sink_is_full(const struct sink *sink);
bool sink_is_empty(const struct sink *sink);

/*
 * Nobody waits for the receiver any longer: what is in the queue, and whatever comes, is lost. A
 * file takes what comes all the same.
 */
void sink_abandon(struct sink *sink);

/* Waits until everything is written; a receiver that takes nothing for `ms` is abandoned. */
void sink_flush(struct sink *sink, int ms);

#endif
