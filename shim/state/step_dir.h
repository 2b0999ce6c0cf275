/*
 * The directory of a step below STORE/steps: what it is called, how it appears whole, and who may
 * write to it (docs/design/durable-steps.md). A step has one when it is durable (it was given an
 * id, and has a ledger) or when its events go to a receiver by HTTP.
 */
#ifndef STEPCELL_SHIM_STATE_STEP_DIR_H
#define STEPCELL_SHIM_STATE_STEP_DIR_H

#include <sys/types.h>

#include "base/json.h"
#include "shim/state/step_files.h"

#define STEP_ID_MAX     128        /* bytes */
#define STEP_RESULT_MAX (64 << 20) /* bytes */

/* Letters, digits and . _ - : @ + =, beginning with a letter or digit: a name in any place. */
bool step_id_is_good(const char *id);

struct step_dir {
    char *path; /* absolute */
    int fd;
    int lock; /* held by this process, or -1 */
};

#define STEP_DIR_INIT ((struct step_dir){.fd = -1, .lock = -1})

/*
 * Opens STORE/steps for reading; -1 with errno, which is ENOENT when no step was there yet. What is
 * written there is believed: both have to be directories of the calling user's own, and this one no
 * link.
 */
int steps_open(const char *store);

/* With which digests in the record of a step are made. */
struct step_key {
    unsigned char bytes[32];
};

bool step_key_make(struct step_key *key, struct err *err);

/* False when the step has none. */
bool step_key_read(const struct step_dir *step, struct step_key *key);

/*
 * Makes the directory of step `id` whole, or finds that it is there already (*exists). `accepted`
 * has the members of its first record; NULL makes no ledger. `key` may be NULL. It is on the disk
 * when this returns.
 */
bool step_dir_make(const char *store, const char *id, const json_t *accepted,
                   const struct step_key *key, struct step_dir *step, bool *exists,
                   struct err *err);

/* Opens what is there; *found says whether it is. */
bool step_dir_open(const char *store, const char *id, struct step_dir *step, bool *found,
                   struct err *err);
void step_dir_close(struct step_dir *step);
#define autostepdir CLEANUP(step_dir_close) struct step_dir

/*
 * Takes the lock that the writer of the step holds for as long as it lives; false with errno:
 * EAGAIN when another process has it, ENOENT when the directory has been removed. It is this
 * process's alone: children do not inherit it.
 */
bool step_dir_lock(struct step_dir *step);
void step_dir_unlock(struct step_dir *step);

/* The process that holds the lock; 0 when none does, -1 for one of another pid namespace. */
pid_t step_dir_holder(const struct step_dir *step);

/* Opens the event log for appending, without the unfinished line that a killed writer left. */
int step_dir_open_log(const struct step_dir *step, struct err *err);

/* Removes the directory and all that is in it. Whoever removes one holds its lock. */
bool step_dir_remove(const char *store, const char *id, const struct step_dir *step,
                     struct err *err);

#endif
