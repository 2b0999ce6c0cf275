/* Who calls: stepcell acts with the rights of its caller and no others. */
#ifndef STEPCELL_BASE_CALLER_H
#define STEPCELL_BASE_CALLER_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Refuses a program that was made set-user-ID or set-group-ID: the caller's options, environment
 * and files would be used with the rights of another. engine.unavailable.
 */
bool caller_check(struct err *err);

/*
 * The caller's home by the host's /etc/passwd, whatever $HOME says: absolute, links resolved, owned
 * by the caller of this. NULL when none is known, or not there.
 */
char *caller_home(void);

#endif
