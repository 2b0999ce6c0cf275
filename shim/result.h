/* The result: the record of how a step ended (docs/result.md), and the exit status that goes with
 * it. */
#ifndef STEPCELL_SHIM_RESULT_H
#define STEPCELL_SHIM_RESULT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/errs.h"
#include "shim/outlet.h"
#include "shim/phases.h"
#include "shim/policy.h"
#include "shim/relay/counter.h"

enum outcome {
    OUTCOME_EXITED,
    OUTCOME_SIGNALED,
    OUTCOME_TIMED_OUT,
    OUTCOME_CANCELED,
    OUTCOME_REFUSED,
    OUTCOME_FAILED,
    OUTCOME_UNKNOWN,
};

struct stream_count {
    uint64_t bytes; /* delivered */
    uint64_t lost;
    bool counted; /* lines and sha256, of all that was there to be delivered */
    struct counts counts;
};

struct result {
    const char *id;
    enum outcome outcome;
    int exit_code; /* what stepcell exits with */
    int signal;    /* that killed the command, or 0 */
    const char *engine;
    const char *reference; /* of the image; NULL while it is not known */
    const char *digest;
    const char *manifest_digest;
    const char *platform;
    const char *lock;                     /* the entry of the lock file, or NULL */
    const struct policy_verdict *verdict; /* borrowed, may be NULL */
    const json_t *signatures;             /* borrowed; NULL: none were asked for */
    struct stream_count out, err;
    struct phases phases;
    json_t *helper_phases; /* borrowed, may be NULL */
    const json_t *labels;  /* borrowed: an array of "KEY=VALUE"; NULL: none */
    const json_t *outputs; /* borrowed: an object of names and values; NULL: none */
    bool cleanup_verified;
    bool oom_killed;
    struct strv left;
    char kept_until[CLOCK_TEXT_MAX]; /* of a cell that is kept; "" otherwise */
    struct err error;                /* ERR_NONE when there was none */
    struct errs violations;          /* all that was wrong with the step before its start */
};

/* Refused when the caller or an administrator can change it, failed when stepcell or an engine did.
 */
enum outcome result_outcome_of(enum err_code code);

const char *result_outcome_text(enum outcome outcome);

json_t *result_violations_json(const struct errs *violations);

/* The result as a JSON object, owned by the caller. */
json_t *result_json(const struct result *result);

/*
 * Where the result goes, settled before the step: afterwards its path may lead to wherever the step
 * wants. What is no regular file (a pipe, a terminal) is opened at once and written to as it is; a
 * FIFO needs its reader only then; a link to one, or to nothing, is replaced, as an older result
 * is. Where it may not lie, `outlets` say.
 */
struct result_place {
    int dir;    /* the directory, or -1 */
    char *name; /* in it */
    char *path; /* as it was given, for messages */
    int fd;     /* what is no regular file, or -1 */
};

#define RESULT_PLACE_INIT ((struct result_place){.dir = -1, .fd = -1})

bool result_open(const char *path, const struct outlets *outlets, struct result_place *place,
                 struct err *err);
void result_close(struct result_place *place);

/*
 * Writes the result, whole or not at all. False, too, when its path does not lead to what was
 * written.
 */
bool result_write(const struct result *result, const struct result_place *place, struct err *err);

/* The same for a result that is known as JSON, and for the page of a report. */
bool result_write_json(const json_t *json, const struct result_place *place, struct err *err);
bool result_write_bytes(const void *bytes, size_t len, const struct result_place *place,
                        struct err *err);

/* The exit status in a result that was read: that of a failure when there is none in it. */
int result_status(const json_t *result);

#endif
