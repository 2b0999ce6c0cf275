/*
 * A pump moves bytes from one descriptor to another inside the event loop: byte for byte, as they
 * come, without a limit on lines and without more memory than one buffer. When the sink is full it
 * waits, so the command waits too. When the sink is gone, what comes is read, dropped and counted
 * as lost: a deployment is not stopped half-way because nobody listens.
 *
 * Between pipes and files splice(2) moves the bytes without a copy through this process.
 */
#ifndef STEPCELL_SHIM_RELAY_PUMP_H
#define STEPCELL_SHIM_RELAY_PUMP_H

#include <stdint.h>

#include "base/loop.h"

#define PUMP_CHUNK 65536 /* bytes of a read, and at most this much is held */

struct pump {
    struct loop *loop;
    int from;         /* not owned */
    int to;           /* not owned */
    int own_sink;     /* a non-blocking description of `to`, where one can be had */
    bool to_is_input; /* the sink is a command's stdin: when it is gone there is nobody to read for
                       */
    void (*done)(void *data);
    void *data;

    uint64_t bytes; /* delivered to the sink */
    uint64_t lost;  /* read but not deliverable */
    bool ended;     /* the source is at its end and the buffer is empty */

    bool finishing; /* what is `left` in the source is all that is to be moved */
    size_t left;
    bool copying, sink_gone, sink_may_block, source_unpollable, sink_unpollable, sink_is_socket;
    char *buffer; /* PUMP_CHUNK bytes, only while copying */
    size_t held, sent;
    struct loop_io source_io, sink_io;
    bool source_watched, sink_watched;
};

/*
 * Starts moving bytes. `done` is called once, when the source is at its end and everything is
 * delivered or lost; the pump must live until then or until pump_close.
 */
bool pump_start(struct pump *pump, struct loop *loop, int from, int to, bool to_is_input,
                void (*done)(void *data), void *data, struct err *err);
void pump_close(struct pump *pump);

/*
 * What is in the source now is all, even if somebody holds it open and goes on writing: a step can
 * hand its stdout to another process.
 */
bool pump_finish(struct pump *pump, struct err *err);

/* Waits for the sink no longer: what is still to come is lost. */
bool pump_abandon(struct pump *pump, struct err *err);

#endif
