/* Lines and digest of what a stream gave: while it is relayed, or when its log is read again. */
#ifndef STEPCELL_SHIM_RELAY_COUNTER_H
#define STEPCELL_SHIM_RELAY_COUNTER_H

#include <stdint.h>

#include "base/digest.h"

struct counts {
    uint64_t lines; /* line ends, and one more for a line without */
    char sha256[DIGEST_TEXT_MAX];
};

struct counter {
    struct digest *digest; /* NULL: nothing is counted */
    uint64_t lines;
    bool in_line;
};

/* False only without memory. */
bool counter_open(struct counter *counter);
void counter_add(struct counter *counter, const char *bytes, size_t len);

/* Whether it counts; if so, *counts is of all that came. Once: it does not count any more. */
bool counter_finish(struct counter *counter, struct counts *counts);
void counter_release(struct counter *counter);

#endif
