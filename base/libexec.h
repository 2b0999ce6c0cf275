/*
 * Where stepcell's own programs lie: ../libexec/stepcell from the directory of the program that
 * runs, unless it is one of them, in the build tree as in an installation.
 */
#ifndef STEPCELL_BASE_LIBEXEC_H
#define STEPCELL_BASE_LIBEXEC_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define LIBEXEC_CONTROL_FD 3

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

/*
 * Starts one of them beside this process, which it may outlive: in a session of its own, so that a
 * terminal's signals are for this process alone. Its descriptors are a socket as
 * LIBEXEC_CONTROL_FD, of which *control is the other end, those of `fds` behind that, and /dev/null
 * as 0 to 2. Its pid, or 0 with err.
 */
pid_t libexec_start_beside(char *const words[], const int *fds, size_t count, int *control,
                           struct err *err);

#endif
