/*
 * Sources that cannot be idmapped: on FUSE, NFS, overlayfs and others the kernel cannot show files
 * with other ids than they have.
 */
#ifndef STEPCELL_MOUNTS_UNMAPPED_H
#define STEPCELL_MOUNTS_UNMAPPED_H

#include "base/err.h"
#include "mounts/mount_plan.h"

/*
 * Called when the source of `mount`, with what is mounted below it, could not be idmapped by
 * `userns`: whether it may be mounted as it is. A step that may write to it (copy-on-write too,
 * which would keep the owners) may not, since what it creates could be given to nobody. One that
 * only reads may, when everybody on the host may read the source: to the step all of it is
 * nobody's. False with mount.denied, which names the mount, at or below the source, that cannot be
 * idmapped, and its file system.
 */
bool unmapped_is_allowed(const struct mount *mount, int userns, struct err *err);

#endif
