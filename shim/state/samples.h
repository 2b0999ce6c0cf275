/*
 * What a durable step's cell used, at times: STEP_SAMPLES in the directory of the step
 * (docs/design/report.md).
 *
 * NDJSON. The first line says when the clock began and where the numbers come from; each further
 * one is a sample, with null for what was not known:
 *
 *     {"schema": "stepcell.samples/1", "start": RFC 3339, "cpu": "cgroup", "memory": …, "pids": …}
 *     [milliseconds, processor time in µs, bytes, tasks]
 *
 * The last may be the most memory that was ever in use, as the kernel has counted it:
 *
 *     {"memory_peak": bytes}
 *
 * There are never more than SAMPLES_MAX: when they are full, every second one goes, and from then
 * on half as many come. Nothing is flushed: samples are no promise.
 */
#ifndef STEPCELL_SHIM_STATE_SAMPLES_H
#define STEPCELL_SHIM_STATE_SAMPLES_H

#include "base/clock.h"
#include "base/err.h"
#include "runtime/native/usage.h"

#define SAMPLES_MAX      512
#define SAMPLES_EVERY_MS 100       /* at first */
#define SAMPLES_FILE_MAX (1 << 16) /* bytes */

struct sample {
    uint64_t ms; /* since the start */
    uint64_t values[USAGE_KINDS];
};

struct samples {
    struct timespec start; /* CLOCK_REALTIME */
    enum usage_source sources[USAGE_KINDS];
    struct sample items[SAMPLES_MAX];
    size_t count;
    uint64_t every_ms;
    uint64_t memory_peak; /* of a file that was read; USAGE_UNKNOWN: nobody has counted it */
    int dir;              /* of the step, where they are written; borrowed */
    int file;             /* opened for appending, or -1 */
};

/* Begins the file; sources and start are set. False with errno: nothing can be kept. */
bool samples_begin(struct samples *samples, int stepfd);
void samples_end(struct samples *samples);

/* Keeps one that is later than the one before; false with errno: there will be no more. */
bool samples_add(struct samples *samples, const struct sample *sample);

/* Keeps what was the most memory; after the last sample. */
bool samples_add_peak(struct samples *samples, uint64_t memory_peak);

/*
 * Reads such a file, of which a crash may have cut the end, or anything have changed anything.
 * Samples count up to the first line that is none. False when not even the first line is one. Pure.
 */
bool samples_parse(const char *text, size_t len, struct samples *samples);

#endif
