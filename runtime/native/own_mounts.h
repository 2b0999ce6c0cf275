/*
 * What the engine makes and mounts for one cell alone (MOUNT_OWN): the secrets and the file of
 * $STEPCELL_OUTPUT. Both lie in memory, in file systems that nothing outside the cell can see.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_OWN_MOUNTS_H
#define STEPCELL_RUNTIME_NATIVE_OWN_MOUNTS_H

#include "base/err.h"
#include "runtime/run_spec.h"

/* The index in the plan of the engine's own mount of this role, or -1. */
int own_mounts_find(const struct mount_plan *plan, enum mount_role role);

/*
 * A detached, read-only tmpfs with the secrets of the spec, as files of mode 0400 in a directory of
 * mode 0700, all owned by uid:gid, which are ids as the calling process sees them. It is never
 * swapped out where the kernel allows it: from Linux 6.4 on, and to host root alone. The bytes in
 * the memory of the cell's first process, a copy of stepcell's, are gone when it executes
 * stepcell-init. -1 with err.
 */
int own_mounts_secrets(const struct run_spec *spec, uid_t uid, gid_t gid, struct err *err);

/*
 * The detached mount of an empty file, mode 0600, owned by the step's user, and in *reader a
 * descriptor that can only read it, also when the mount is gone. The file system of the file is
 * attached on `place`, an O_PATH directory of the old root, and goes away with that. Runs in the
 * cell's first process. -1 with err.
 */
int own_mounts_output(const struct run_spec *spec, int place, int *reader, struct err *err);

#endif
