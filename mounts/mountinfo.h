/* /proc/PID/mountinfo (proc(5)), read to look whether something is left (pure). */
#ifndef STEPCELL_MOUNTS_MOUNTINFO_H
#define STEPCELL_MOUNTS_MOUNTINFO_H

#include <stdbool.h>

/*
 * Whether a mount point in the text of a mountinfo file is the clean path or below it. The kernel
 * writes blanks, tabs, newlines and backslashes of a path as \OOO. A line that cannot be read
 * counts as one below: what is not understood is not verified.
 */
bool mountinfo_has_below(const char *text, const char *path);

#endif
