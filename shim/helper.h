/*
 * The programs under libexec: ../libexec/stepcell from the directory of the program that runs, in the
 * build tree as in an installation.
 */
#ifndef STEPCELL_SHIM_HELPER_H
#define STEPCELL_SHIM_HELPER_H

#include <sys/types.h>

#include "base/err.h"

/* The path of a helper program, owned by the caller. */
char *helper_path(const char *name, struct err *err);

/*
 * Starts a helper with these words behind its name and, as descriptor 3, the writing end of a pipe.
 * *report is the reading end, *pid the process, both the caller's.
 */
bool helper_start(const char *name, char *const *words, pid_t *pid, int *report, struct err *err);

#define HELPER_REPORT_FD 3

#endif
