/*
 * When to try again (pure): 0.1 s after the first failure, doubling to 30 s, with jitter, so that
 * many deliverers do not come back together; later when the receiver asks for it; and never again
 * after a day of failures.
 */
#ifndef STEPCELL_SHIM_EVENTS_BACKOFF_H
#define STEPCELL_SHIM_EVENTS_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_MS   100
#define BACKOFF_MAX_MS     30000
#define BACKOFF_ASKED_MAX  (5 * 60 * 1000)       /* ms; of a Retry-After, a longer one counts so */
#define BACKOFF_GIVE_UP_MS (24 * 60 * 60 * 1000) /* of failures in a row */

struct backoff {
    uint32_t delay_ms; /* the last one without jitter; 0 after a success */
    int64_t since;     /* clock_now() of the first failure in a row */
};

/* Nothing has failed, or what failed has worked. */
#define BACKOFF_NONE ((struct backoff){0})

/*
 * Notes a failure at `now` (clock_now()). False when it is time to give up; else *wait_ms says how
 * long to wait: half of the delay and a part of the other half that `random` chooses, or
 * `asked_ms`, what the receiver asked for (0: nothing), and that part, whichever is longer.
 */
bool backoff_next(struct backoff *backoff, int64_t now, uint64_t asked_ms, uint32_t random,
                  uint64_t *wait_ms);

#endif
