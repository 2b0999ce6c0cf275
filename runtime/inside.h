/*
 * What only the inside of a container can prepare for the command: its interpreters, secrets, home
 * and working directory. For the first programs of engines that do not set a cell up themselves,
 * which are static: nothing but libc is used.
 */
#ifndef STEPCELL_RUNTIME_INSIDE_H
#define STEPCELL_RUNTIME_INSIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* An interpreter that has to be on the PATH of `environment`, or at its path; image.shell-missing.
 */
bool inside_check_interpreter(char *const *environment, const char *name, struct err *err);

/* A file of mode 0400 in the directory `dir`; engine.failed. */
bool inside_make_secret(int dir, const char *name, const void *bytes, size_t len, struct err *err);

/* `home`, made where it is missing, or `spare` when the user cannot write to it. */
const char *inside_choose_home(const char *home, const char *spare);

/* Into the working directory; workdir.missing. */
bool inside_enter(const char *workdir, struct err *err);

#endif
