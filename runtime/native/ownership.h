/*
 * Whose files are whose (docs/design/ownership.md).
 *
 * When root calls, every source is mounted idmapped: its owner on the disk is the step's user in
 * the cell, and each other id of the cell is, on the disk, one of a range that is used for nothing
 * else (IDMAP_LEFT_START). What a step that could change ids (root in the cell) left to those in a
 * writable source is given to the owner of that source when the cell has ended. A user with
 * subordinate ids needs no idmapped mount, since the step's user is the caller already; what is
 * left to subordinate ids is given to the caller.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_OWNERSHIP_H
#define STEPCELL_RUNTIME_NATIVE_OWNERSHIP_H

#include <time.h>

#include "base/file.h"
#include "mounts/idmap.h"
#include "mounts/mount_plan.h"
#include "runtime/run_spec.h"

/*
 * Makes detached clones of the plan's sources, idmapped, for a step that runs as uid:gid inside a
 * cell with this map, and hands each with the index of its mount to `take`, which does not keep the
 * descriptor. For root only.
 */
bool ownership_clone_trees(const struct mount_plan *plan, const struct idmap *map, uid_t uid,
                           gid_t gid,
                           bool (*take)(void *data, size_t index, int tree, struct err *err),
                           void *data, struct err *err);

/* Whether a step may leave files to others than its user: it is root, or has further groups. */
bool ownership_has_other_ids(const struct run_spec *spec);

/* Whether a step may leave files there. */
bool ownership_is_writable(const struct mount *mount);

/* A cell that has ended, for ownership_give_back. */
struct ownership_cell {
    const struct mount_plan *plan;
    const struct idmap *map;
    bool had_other_ids;
    struct timespec
        start; /* subordinate ids may be somebody's: only what changed since is looked at */
    int store; /* a directory that is passed over: its files have the ids that they need */
};

/*
 * Gives back what the step left to other ids in the writable sources of its plan, within the
 * budget; with one that has an end it crosses no mount, whose server may not answer, but drops the
 * budget. False when something is left.
 *
 * For a user with subordinate ids the calling process is in the user namespace of the cell, in
 * which the caller may change them.
 */
bool ownership_give_back(const struct ownership_cell *cell, struct file_budget *budget);

#endif
