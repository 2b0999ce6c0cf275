#include "shim/sampler.h"

#include <stdlib.h>

#include "base/clock.h"

#define COST_SHARE 50 /* a look may take one part of so many of the time */

/* Only now, since most steps end before: those cost nothing. */
static bool begin(struct sampler *sampler)
{
    struct samples *samples = calloc(1, sizeof(*samples));

    if (!samples)
        return false;
    sampler->samples = samples;
    usage_open(sampler->engine->ends(sampler->cell).leader, &sampler->meter);
    samples->start = sampler->start;
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        samples->sources[kind] = usage_source(&sampler->meter, (enum usage_kind)kind);
    return samples_begin(samples, sampler->stepfd);
}

/* What says nothing is not kept: the container of a daemon may be gone already. */
static bool look(struct sampler *sampler)
{
    struct sample sample = {.ms = (uint64_t)((clock_now() - sampler->began) / NS_PER_MS)};
    bool seen = false;

    usage_read(&sampler->meter, sample.values);
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        seen = seen || sample.values[kind] != USAGE_UNKNOWN;
    return !seen || samples_add(sampler->samples, &sample);
}

static void let_go(struct sampler *sampler)
{
    if (sampler->samples)
        samples_end(sampler->samples);
    free(sampler->samples);
    sampler->samples = NULL;
    usage_close(&sampler->meter);
    sampler->loop = NULL;
}

static bool time_to_look(void *data, struct err *err)
{
    struct sampler *sampler = data;
    int64_t before = clock_now();
    uint64_t pause, every;

    (void)err;
    /* A disk that is full takes no samples, but the step goes on. */
    if ((!sampler->samples && !begin(sampler)) || !look(sampler)) {
        let_go(sampler);
        return true;
    }
    every = sampler->samples->every_ms;
    pause = (uint64_t)((clock_now() - before) / NS_PER_MS) * COST_SHARE;
    loop_set_timer(sampler->loop, &sampler->timer, pause > every ? pause : every);
    return true;
}

void sampler_start(struct sampler *sampler, struct loop *loop, const struct engine *engine,
                   struct cell *cell, int stepfd)
{
    *sampler = (struct sampler){.loop = loop,
                                .timer = {.fire = time_to_look, .data = sampler},
                                .engine = engine,
                                .cell = cell,
                                .stepfd = stepfd,
                                .began = clock_now(),
                                .meter = USAGE_METER_INIT};
    clock_gettime(CLOCK_REALTIME, &sampler->start);
    loop_set_timer(loop, &sampler->timer, SAMPLES_EVERY_MS);
}

void sampler_stop(struct sampler *sampler)
{
    bool counted = false;
    uint64_t peak;

    if (!sampler->loop)
        return;
    loop_clear_timer(sampler->loop, &sampler->timer);
    /* Its processes are gone, but a cgroup still knows what they used. */
    for (int kind = 0; sampler->samples && kind < USAGE_KINDS; kind++)
        counted = counted || usage_source(&sampler->meter, (enum usage_kind)kind) == USAGE_CGROUP;
    peak = counted && look(sampler) ? usage_memory_peak(&sampler->meter) : USAGE_UNKNOWN;
    if (peak != USAGE_UNKNOWN)
        (void)samples_add_peak(sampler->samples, peak);
    let_go(sampler);
}
