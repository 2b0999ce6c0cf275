/* Resource limits of the command that are above the caller's own. */
#ifndef STEPCELL_RUNTIME_NATIVE_ULIMIT_H
#define STEPCELL_RUNTIME_NATIVE_ULIMIT_H

#include <sys/types.h>

#include "base/err.h"
#include "runtime/run_spec.h"

/*
 * Raises the hard limits of a process that still has the caller's ids to what is asked for;
 * stepcell-init sets them exactly. option.invalid where the caller may not.
 */
bool ulimit_raise(pid_t pid, const struct limits *limits, struct err *err);

#endif
