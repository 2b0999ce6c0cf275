/* Where the mounts of a plan lie in each other, for engines that make mount points themselves. */
#ifndef STEPCELL_RUNTIME_MOUNT_POINTS_H
#define STEPCELL_RUNTIME_MOUNT_POINTS_H

#include "mounts/mount_plan.h"

/* Whether the target of `mount` has more bytes than that of `than`, which may be NULL. */
bool mount_is_deeper(const struct mount *than, const struct mount *mount);

/*
 * Refuses targets in mounted directories of the host that are not there: such an engine makes what
 * is missing, and be it on the host. mount.conflict.
 */
bool mount_points_check(const struct mount_plan *plan, struct err *err);

#endif
