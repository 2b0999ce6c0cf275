/*
 * Opening the files that stepcell writes for its caller, --result and --events: their paths are
 * words of the step's, and may lead to where other steps write, or to what decides about steps.
 */
#ifndef STEPCELL_SHIM_OUTLET_H
#define STEPCELL_SHIM_OUTLET_H

#include <errno.h>

#include "base/buf.h"
#include "base/err.h"

struct outlets {
    struct strv shared;  /* directories of steps: no link is followed there */
    struct strv guarded; /* as policy_guarded_places has them: nothing is written there */
    const char *policy;  /* the file that guards them */
};

#define OUTLET_GUARDED (-1) /* no errno: opening a file never gives it */

/*
 * Opens the directory of the file, O_PATH; *name (owned by the caller) is the file in it. -1 with
 * errno set, OUTLET_GUARDED for a file that is guarded.
 */
int outlet_open_parent(const struct outlets *outlets, const char *path, char **name);

/* Sets err to "`what` 'SUBJECT': " and errno in words, or the rule that guards it; false. */
bool outlet_failed(const struct outlets *outlets, const char *what, const char *subject,
                   struct err *err);

void outlets_release(struct outlets *outlets);

#define autooutlets CLEANUP(outlets_release) struct outlets

#endif
