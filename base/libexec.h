/*
 * Where stepcell's own programs lie: ../libexec/stepcell from the directory of the program that
 * runs, in the build tree as in an installation.
 */
#ifndef STEPCELL_BASE_LIBEXEC_H
#define STEPCELL_BASE_LIBEXEC_H

#include "base/err.h"

/* The path of a program under libexec, owned by the caller; NULL with err. */
char *libexec_path(const char *name, struct err *err);

#endif
