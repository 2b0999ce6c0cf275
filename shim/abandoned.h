/* What a step that was killed has left in an engine that is a daemon. */
#ifndef STEPCELL_SHIM_ABANDONED_H
#define STEPCELL_SHIM_ABANDONED_H

#include <stdbool.h>

/*
 * Removes the step's containers, if their process is gone; `host` may be NULL. True when the daemon
 * has none of them any more.
 */
bool abandoned_remove(const char *engine, const char *host, const char *step);

#endif
