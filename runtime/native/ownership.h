/*
 * Whose files are whose (docs/design/ownership.md).
 *
 * When root calls, every source is mounted idmapped: its owner on the disk is the step's user in
 * the cell, and the other ids of the cell are, on the disk too, ids of the range that only cells
 * use. What a step that could change ids (root in the cell) left to those ids in a writable source
 * is given to the owner of that source when the cell has ended. A user with subordinate ids needs
 * no idmapped mount, since the step's user is the caller already; what is left to subordinate ids
 * is given to the caller.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_OWNERSHIP_H
#define STEPCELL_RUNTIME_NATIVE_OWNERSHIP_H

#include <time.h>

#include "mounts/idmap.h"
#include "mounts/mount_plan.h"

/*
 * Makes detached clones of the plan's sources, idmapped, for a step that runs as uid:gid inside a
 * cell with this map, and hands each with the index of its mount to `take`, which does not keep the
 * descriptor. For root only.
 */
bool ownership_clone_trees(const struct mount_plan *plan, const struct idmap *map, uid_t uid,
                           gid_t gid,
                           bool (*take)(void *data, size_t index, int tree, struct err *err),
                           void *data, struct err *err);

/*
 * Gives back what the step left to other ids in the writable sources of the plan. Runs after every
 * process of the cell has ended. `userns` is the user namespace of the cell; only what changed
 * since `start` is looked at when the ids could be somebody else's (subordinate ids). `uid` is the
 * step's user in the cell: unless it was root there, it had no other ids to leave anything to.
 */
bool ownership_give_back(const struct mount_plan *plan, const struct idmap *map, uid_t uid,
                         int userns, const struct timespec *start, struct err *err);

#endif
