/*
 * Opening the files that stepcell writes for its caller, --result and --events: their paths are
 * words of the step's, and may lead to where other steps write, or to what decides about steps.
 */
#ifndef STEPCELL_SHIM_OUTLET_H
#define STEPCELL_SHIM_OUTLET_H

#include "base/buf.h"

struct outlets {
    struct strv shared;  /* directories of steps: no link is followed there */
    struct strv guarded; /* as policy_guarded_places has them: nothing is written there */
};

/*
 * Opens the directory of the file, O_PATH; *name (owned by the caller) is the file in it. -1 with
 * errno set, EPERM for a file that is guarded.
 */
int outlet_open_parent(const struct outlets *outlets, const char *path, char **name);

void outlets_release(struct outlets *outlets);

#define autooutlets CLEANUP(outlets_release) struct outlets

#endif
