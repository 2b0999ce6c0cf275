/*
 * How much came when, in a bounded number of bins of one width (pure): when they do not reach far
 * enough, each two become one.
 */
#ifndef STEPCELL_SHIM_REPORT_RATE_H
#define STEPCELL_SHIM_REPORT_RATE_H

#include <stddef.h>
#include <stdint.h>

#define RATE_BINS     256
#define RATE_FIRST_NS INT64_C(50000000) /* the width at first */

struct rate {
    int64_t width; /* 0: RATE_FIRST_NS */
    uint64_t bins[RATE_BINS];
    size_t count; /* up to the last one in which something came */
};

/* `amount` came at `at`, in ns; what came before 0 came at 0. */
void rate_add(struct rate *rate, int64_t at, uint64_t amount);

/* Widens the bins to those of the other, if that has wider ones. */
void rate_align(struct rate *rate, const struct rate *other);

#endif
