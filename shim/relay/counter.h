/*
 * Lines and digest of what a stream gave: while it is relayed, or when its log is read again.
 *
 *     counter_open(&counter)
 *     counter_add(&counter, bytes, len)
 *     counter_finish(&counter, &counts)
 *
 * A digest takes as long as all the rest that is done with the bytes. So where many come at once a
 * thread makes it of a copy while the caller goes on to the next, from the first time on until the
 * end; few are counted at once.
 */
#ifndef STEPCELL_SHIM_RELAY_COUNTER_H
#define STEPCELL_SHIM_RELAY_COUNTER_H

#include <stdint.h>

#include "base/digest.h"

struct counts {
    uint64_t lines; /* line ends, and one more for a line without */
    char sha256[DIGEST_TEXT_MAX];
};

struct counter_thread;

struct counter {
    struct digest *digest; /* NULL: nothing is counted */
    uint64_t lines;
    bool in_line;
    struct counter_thread *thread; /* NULL: none yet */
};

/* False only without memory. */
bool counter_open(struct counter *counter);
void counter_add(struct counter *counter, const char *bytes, size_t len);

/* Whether it counts; if so, *counts is of all that came. Once: it does not count any more. */
bool counter_finish(struct counter *counter, struct counts *counts);
void counter_release(struct counter *counter);

#endif
