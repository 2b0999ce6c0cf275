/*
 * What every user finds in a cell, whoever it is: a passwd entry, and a HOME that exists and that
 * it can write to.
 *
 * Calling sequence: home_prepare before the plan is applied, so that nothing of the host's is ever
 * written to; home_choose afterwards, since a mount may lie over what was prepared.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_HOME_H
#define STEPCELL_RUNTIME_NATIVE_HOME_H

#include "base/err.h"
#include "runtime/run_spec.h"

struct home {
    const char *wanted; /* lies in a mount of the plan: taken if the step's user can write there */
    const char *ready;  /* exists and can be written to; NULL when the caller has set HOME */
};

/*
 * Finds or makes a home in the root of a cell, and adds the user to its passwd when the image does
 * not list it. The wanted one comes first, then two that an image hardly has. In a root that
 * becomes read-only (spec->read_only) it stays writable.
 */
bool home_prepare(const struct run_spec *spec, int root, struct home *home, struct err *err);

/* The value of HOME; NULL when the caller has set it. */
const char *home_choose(const struct run_spec *spec, int root, const struct home *home);

#endif
