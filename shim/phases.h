/* Where the time of a step went: the named phases of the result, one after another. */
#ifndef STEPCELL_SHIM_PHASES_H
#define STEPCELL_SHIM_PHASES_H

#include <stdint.h>
#include <time.h>

#include "base/json.h"

#define PHASES_MAX     16
#define PHASE_NAME_MAX 16

struct phase {
    char name[PHASE_NAME_MAX];
    struct timespec start; /* CLOCK_REALTIME */
    double ms;
};

struct phases {
    struct phase items[PHASES_MAX];
    size_t count;
    int64_t since; /* clock_now() of the phase that runs, 0 when none does */
};

/* Ends the phase that runs, if any, and begins the next. */
void phases_enter(struct phases *phases, const char *name);
void phases_leave(struct phases *phases);

/* A JSON array of {"name", "start", "ms"}, owned by the caller. */
json_t *phases_json(const struct phases *phases, const json_t *from_helper);

#endif
