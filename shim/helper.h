/* Starting the programs under libexec. */
#ifndef STEPCELL_SHIM_HELPER_H
#define STEPCELL_SHIM_HELPER_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Starts a helper with these words behind its name, as descriptor 3 the writing end of a pipe, and
 * as descriptor 4 `shared`, unless that is -1. *report is the reading end, *pid the process, both
 * the caller's.
 */
bool helper_start(const char *name, char *const *words, int shared, pid_t *pid, int *report,
                  struct err *err);

#define HELPER_REPORT_FD 3
#define HELPER_SHARED_FD 4

#endif
