/* /proc/PID/mountinfo (proc(5)): whether something is left, and what kind of mounts there are (pure). */
#ifndef STEPCELL_MOUNTS_MOUNTINFO_H
#define STEPCELL_MOUNTS_MOUNTINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "mounts/mount_spec.h"

#define MOUNTINFO_TYPE_MAX 64 /* bytes with the NUL */

/* What a line says. */
struct mountinfo_mount {
    uint64_t id; /* statx(2): stx_mnt_id */
    char point[MOUNT_PATH_MAX];
    char type[MOUNTINFO_TYPE_MAX]; /* ext4, fuse.sshfs */
    bool is_private; /* FUSE without allow_other: the kernel lets only who mounted it use it */
};

/* Takes the next line that can be read, and moves *text behind it. False at the end. */
bool mountinfo_next(const char **text, struct mountinfo_mount *mount);

/*
 * Whether a mount point in the text of a mountinfo file is the clean path or below it. The kernel
 * writes blanks, tabs, newlines and backslashes of a path as \OOO. A line that cannot be read
 * counts as one below: what is not understood is not verified.
 */
bool mountinfo_has_below(const char *text, const char *path);

#endif
