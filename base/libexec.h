/*
 * Where stepcell's own programs lie: ../libexec/stepcell from the directory of the program that
 * runs, unless it is one of them, in the build tree as in an installation.
 */
#ifndef STEPCELL_BASE_LIBEXEC_H
#define STEPCELL_BASE_LIBEXEC_H

#include "base/err.h"

/* The path of a program under libexec, owned by the caller; NULL with err. */
char *libexec_path(const char *name, struct err *err);

/* The same of one that can be executed. */
char *libexec_program(const char *name, struct err *err);

/*
 * The environment for them: the caller's, without what would load other code into them or change
 * what their libraries do. Pointers into `environ`; the list alone is the caller's. NULL without
 * memory.
 */
char **libexec_environment(void);

#endif
