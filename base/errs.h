/*
 * A list of errors: what several checks found that do not depend on each other.
 */
#ifndef STEPCELL_BASE_ERRS_H
#define STEPCELL_BASE_ERRS_H

#include "base/cleanup.h"
#include "base/err.h"

#define ERRS_MAX 100 /* nobody reads more */

struct errs {
    struct err *items;
    size_t count;
};

/* Adds a copy; false without memory. What is beyond ERRS_MAX, or there already, is left out. */
bool errs_add(struct errs *errs, const struct err *err);

/*
 * What a check found: true when it passed (`ok`), or when err does not keep other checks from
 * looking, and is now in the list. An engine that fails, for want of memory say, does.
 */
bool errs_pass(struct errs *errs, bool ok, const struct err *err);
void errs_release(struct errs *errs);

#define autoerrs CLEANUP(errs_release) struct errs

#endif
