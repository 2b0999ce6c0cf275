/*
 * Reading back what events.c writes: lines of output, which are nearly all of a log. A parser of
 * JSON takes them too, at a hundredth of the speed; what is not exactly as events.c writes it is
 * left to that.
 */
#ifndef STEPCELL_SHIM_RELAY_EVENT_LINE_H
#define STEPCELL_SHIM_RELAY_EVENT_LINE_H

#include <stdint.h>

#include "base/buf.h"
#include "shim/relay/events.h"

/*
 * Whether the line, without its line end, is an event of output: then its number, its stream,
 * and in place of what `text` holds the bytes. Also false when these do not fit.
 */
bool event_line_read(const char *line, size_t len, uint64_t *seq, enum event_stream *stream,
                     struct buf *text);

/* Where the text of the time of an event stands in its line, up to the next quote; NULL when the
 * line does not begin as events.c begins one. */
const char *event_line_time(const char *line, size_t len);

#endif
