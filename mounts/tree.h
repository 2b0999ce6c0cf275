/*
 * Detached mounts: pieces of the host's tree, cloned, restricted and only then attached, all by
 * descriptor, so that no path is looked up twice (CVE-2021-30465, CVE-2024-42472).
 */
#ifndef STEPCELL_MOUNTS_TREE_H
#define STEPCELL_MOUNTS_TREE_H

#include <stdint.h>

#include "base/err.h"
#include "mounts/mount_plan.h"

/*
 * A detached clone of the tree at `path` (symbolic links are followed) with everything mounted
 * below it, private, with the MOUNT_ATTR_* of `attributes` set everywhere in it, and idmapped by
 * the user namespace `userns` unless that is -1. The calling process needs CAP_SYS_ADMIN in its
 * mount namespace. -1 with errno set.
 */
int tree_clone(const char *path, uint64_t attributes, int userns);

/*
 * tree_clone of the source of a mount: nosuid, nodev, and read-only where the plan says so (a
 * copy-on-write source always). Refuses a source that is no longer the one that was found
 * (mount.source-missing). One that cannot be idmapped, or has such a mount below it, is cloned
 * without an id map where that breaks no promise (unmapped.h), and refused otherwise
 * (mount.denied).
 */
int tree_clone_source(const struct mount *mount, int userns, struct err *err);

/* Attaches the detached mount `tree` on what the descriptor `target` stands for. errno on failure.
 */
bool tree_attach(int tree, int target);

/* A detached new mount of a file system; options are "key=value" or "key", NULL-ended. errno. */
int tree_make(const char *type, const char *const *options, uint64_t attributes);

/*
 * Whether both lie on the same mount. Devices do not tell: overlayfs gives files other ones than
 * directories.
 */
bool tree_is_of_mount(int root, int fd);

#endif
