/* Child processes of this program's own. */
#ifndef STEPCELL_BASE_CHILD_H
#define STEPCELL_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Waits for a child and reaps it. Its exit status, 128 and the signal for one that was killed, -1
 * for a pid that is no child's (that of a fork that failed, say).
 */
int child_wait(pid_t child);

/*
 * Kills every child and waits for it, until there is none: of a subreaper also what they leave.
 */
void child_end_all(void);

/*
 * In a child: closes all descriptors but these, and makes 0, 1 and 2 /dev/null unless they are
 * among them. Who waits for the end of a stream of the caller's must not wait for this process.
 * Negative numbers in `keep` stand for none. False with errno.
 */
bool child_keep_only(const int *keep, size_t count);

#endif
