/*
 * Looks at times at what the cell of a durable step uses, and keeps it (shim/state/samples.h).
 *
 * Sequence: sampler_start when the command runs; the event loop does the rest; sampler_stop when
 * the cell has ended and before it is cleaned up; sampler_stop again does nothing. Nothing that
 * fails here is a failure of the step.
 */
#ifndef STEPCELL_SHIM_SAMPLER_H
#define STEPCELL_SHIM_SAMPLER_H

#include "base/loop.h"
#include "runtime/engine.h"
#include "shim/state/samples.h"

struct sampler {
    struct loop *loop; /* NULL while nothing runs */
    struct loop_timer timer;
    const struct engine *engine;
    struct cell *cell;
    int stepfd;
    int64_t began; /* clock_now() */
    struct timespec start;
    struct usage_meter meter;
    struct samples *samples; /* NULL before the first look */
};

/* Everything is borrowed until sampler_stop. */
void sampler_start(struct sampler *sampler, struct loop *loop, const struct engine *engine,
                   struct cell *cell, int stepfd);
void sampler_stop(struct sampler *sampler);

#endif
