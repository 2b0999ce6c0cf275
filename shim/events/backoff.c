#include "shim/events/backoff.h"

#include "base/clock.h"

bool backoff_next(struct backoff *backoff, int64_t now, uint64_t asked_ms, uint32_t random,
                  uint64_t *wait_ms)
{
    uint64_t half, least;

    if (backoff->delay_ms == 0) {
        backoff->delay_ms = BACKOFF_FIRST_MS;
        backoff->since = now;
    } else {
        backoff->delay_ms *= 2;
        if (backoff->delay_ms > BACKOFF_MAX_MS)
            backoff->delay_ms = BACKOFF_MAX_MS;
    }
    if (now - backoff->since >= BACKOFF_GIVE_UP_MS * NS_PER_MS)
        return false;
    if (asked_ms > BACKOFF_ASKED_MAX)
        asked_ms = BACKOFF_ASKED_MAX;
    half = backoff->delay_ms / 2;
    least = asked_ms > half ? asked_ms : half;
    *wait_ms = least + random % (half + 1);
    return true;
}
