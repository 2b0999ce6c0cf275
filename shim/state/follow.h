/*
 * Following a step by its directory: its output from the event log to stdout and stderr, as it was
 * relayed, until the last event. `run --id`, `logs` and `wait` are made of it.
 *
 * A signal never ends a follower by itself: it is for the step, or for the command that follows.
 * Once the step has ended, INT and TERM mean that nobody waits for a reader of its output any
 * longer.
 */
#ifndef STEPCELL_SHIM_STATE_FOLLOW_H
#define STEPCELL_SHIM_STATE_FOLLOW_H

#include <stdint.h>

#include "base/loop.h"
#include "shim/print.h"
#include "shim/relay/sink.h"
#include "shim/state/step_dir.h"

struct follow_request {
    uint64_t since;           /* the first event that is of interest */
    bool output;              /* output to stdout and stderr */
    bool lines;               /* instead of it: the events themselves, to stdout */
    bool to_the_end;          /* wait for what is still to come, not just for what is there */
    uint64_t timeout_ms;      /* 0: none */
    struct sink *target;      /* gets the events as well; NULL: none */
    enum verbosity verbosity; /* of what the step's stepcell had to say */
    /* Called now and then until the step has ended (*finished); false with err ends following. */
    bool (*look_after)(void *data, bool *finished, struct err *err);
    /* A signal came (base/signals.h). */
    bool (*on_signal)(void *data, int signal, struct err *err);
    void *data;
};

struct follow_lost {
    uint64_t bytes;
    bool unread; /* only because a reader went away */
};

/*
 * Follows. *result is the result of the step, owned by the caller; NULL when the log goes on
 * (without to_the_end, or with the timeout over). A log that cannot be understood, or that lacks
 * its end, is an error for who wants something out of it; the result is known all the same. *lost
 * is what stdout and stderr did not take.
 */
bool follow(const struct step_dir *step, const struct follow_request *request, json_t **result,
            struct follow_lost *lost, struct err *err);

#endif
