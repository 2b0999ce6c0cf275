/*
 * Applying a mount plan inside a cell: the plan's trees are attached below the new root, by
 * descriptor, and then proven to be what they are outside.
 */
#ifndef STEPCELL_MOUNTS_APPLY_H
#define STEPCELL_MOUNTS_APPLY_H

#include "mounts/mount_plan.h"

/* What a copy-on-write mount writes to: a directory per mount is made in it. */
struct apply_scratch {
    int dir;          /* O_PATH, on a file system that overlayfs can write to */
    const char *path; /* the same directory by name in the calling mount namespace */
};

/*
 * Attaches every mount of the plan below `root` (O_PATH, attached). `trees` holds a detached clone
 * for each mount with a source, and what the engine has made for each MOUNT_OWN, at the same index;
 * the descriptors stay the caller's. Directories
 * are created where a target is missing, but only in what belongs to the cell: on the host a
 * missing target is mount.conflict.
 */
bool apply_plan(const struct mount_plan *plan, const int *trees, int root,
                const struct apply_scratch *scratch, struct err *err);

/*
 * Proves that every bind mount of the plan, seen from the new root, is the directory or file that
 * was found on the host, by device and inode, and every MOUNT_OWN the one in `trees`.
 */
bool apply_prove(const struct mount_plan *plan, const int *trees, int root, struct err *err);

#endif
