/*
 * The events of a step, as docs/events.md describes them: one JSON object on each line, numbered
 * without gaps from 0, to the event log (a file) and to a target, where there are such.
 *
 * Nothing here looks for secrets: every text comes masked.
 *
 * An event whose line cannot be written to the log is an error, and not in it.
 */
#ifndef STEPCELL_SHIM_RELAY_EVENTS_H
#define STEPCELL_SHIM_RELAY_EVENTS_H

#include <stdint.h>

#include "base/json.h"
#include "shim/relay/sink.h"

#define EVENT_TEXT_MAX 65536 /* bytes of output in one event */

enum event_stream { EVENT_STDOUT, EVENT_STDERR };

struct events {
    const char *step;    /* borrowed */
    uint64_t next;       /* the number of the next event */
    int log;             /* opened for appending, or -1; borrowed */
    struct sink *target; /* borrowed; NULL: none */
    struct buf lines;    /* to be written: `whole` bytes of them, and the one that is being made */
    size_t whole;
    /* The beginning of a character whose end is still to come, of each stream. */
    struct {
        char bytes[4];
        size_t len;
    } cut[2];
};

#define EVENTS_INIT ((struct events){.log = -1})

/* Whether anybody gets them; without, the functions below do nothing. */
bool events_are_wanted(const struct events *events);
void events_release(struct events *events);

/* One event of `type` with the members of `members`, an object that it takes over. */
bool events_emit(struct events *events, const char *type, json_t *members, struct err *err);

/*
 * Output of the step: as text where it is UTF-8 without a NUL, else as base64, EVENT_TEXT_MAX bytes
 * in an event at the most. A character that is cut off at the end waits for its rest.
 */
bool events_output(struct events *events, enum event_stream stream, const char *bytes, size_t len,
                   struct err *err);

/* The stream is at its end: no rest comes. */
bool events_output_end(struct events *events, enum event_stream stream, struct err *err);

/* What an `output` event holds; `bytes` lives as long as the event and this. */
struct event_output {
    enum event_stream stream;
    const char *bytes;
    size_t len;
    char *decoded;
};

/* Reads one again; fails when it is none. */
bool event_read_output(const json_t *event, struct event_output *output, struct err *err);
void event_output_release(struct event_output *output);
#define autooutput CLEANUP(event_output_release) struct event_output

/* Whether the target has enough to do: whoever relays waits for its `drained`. */
bool events_are_full(const struct events *events);

#endif
