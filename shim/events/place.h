/*
 * The directory of a step, as its deliverer sees it: the lock that makes it the only one, and the
 * end of the directory when nobody needs it any more.
 */
#ifndef STEPCELL_SHIM_EVENTS_PLACE_H
#define STEPCELL_SHIM_EVENTS_PLACE_H

#include <stdbool.h>

#include "base/err.h"

enum place_lock { PLACE_LOCKED, PLACE_BUSY, PLACE_FAILED };

/* Becomes the one deliverer for as long as *lock is open; busy when there is one already. */
enum place_lock place_lock(int dir, int *lock, struct err *err);

/* Removes what writers of small files that were killed have left. */
void place_tidy(int dir);

/* Whether the directory belongs to a durable step, which keeps it. */
bool place_is_kept(int dir);

/*
 * Removes the directory, which is open as `dir` and lies at `path`, with the files that are known
 * to be in it. With any other in it nothing is removed, and that is an error. It can be killed at
 * any moment: place_is_half_removed tells the next one.
 */
bool place_remove(int dir, const char *path, struct err *err);

/* Whether the log is missing because place_remove has removed it. */
bool place_is_half_removed(int dir);

#endif
