/*
 * Where a caller's cgroups are: which controller is on which version, and the directories in which
 * new ones can be made (docs/design/limits.md).
 *
 * Version 1 has a hierarchy for each controller or for several together, version 2 one for all. A
 * host may have both; what decides is /proc/self/cgroup and /proc/self/mountinfo (cgroups(7)), not
 * what is mounted at /sys/fs/cgroup.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_CGROUP_FIND_H
#define STEPCELL_RUNTIME_NATIVE_CGROUP_FIND_H

#include <sys/types.h>

#include "base/err.h"
#include "mounts/mount_spec.h"

enum cgroup_controller {
    CGROUP_MEMORY,
    CGROUP_CPU,
    CGROUP_PIDS,
    CGROUP_FREEZER, /* version 1 only: on version 2 each cgroup can be frozen */
    CGROUP_CONTROLLERS,
};

/* The kernel's name. */
const char *cgroup_controller_name(enum cgroup_controller controller);

/* The caller's own cgroup in the hierarchy of a controller. */
struct cgroup_own {
    bool unified;                /* version 2 */
    dev_t dev;                   /* of the file system */
    char mount[MOUNT_PATH_MAX];  /* where it is mounted */
    char parent[MOUNT_PATH_MAX]; /* the directory of the own cgroup, at or below `mount` */
};

/*
 * Finds it in the texts of /proc/self/cgroup and /proc/self/mountinfo. Pure. engine.unavailable
 * when the kernel has no such controller or no mount shows the caller's cgroup.
 */
bool cgroup_find(const char *cgroups, const char *mountinfo, enum cgroup_controller controller,
                 struct cgroup_own *own, struct err *err);

/*
 * Version 2: changes own->parent to the directory in which a cgroup has all controllers of the set
 * (bits 1 << CGROUP_*), be it the own cgroup or the one above. engine.unavailable when there is
 * none.
 */
bool cgroup_find_parent(struct cgroup_own *own, unsigned int controllers, struct err *err);

#endif
