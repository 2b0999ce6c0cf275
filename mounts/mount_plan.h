/*
 * The mount plan: the ordered list of everything mounted into a cell.
 *
 * mount_source_find looks at the host; mount_plan_make is pure. Calling sequence: find the source
 * of every spec, make the plan, hand it to the engine. The plan decides everything; who applies it
 * decides nothing.
 *
 * A source without a target appears at its resolved path. When the path as given is another one (it
 * went through symbolic links), an *alias* makes that name lead to the same place, with everything
 * that is mounted below it. Order in the plan: parents before children, aliases after what they
 * repeat.
 */
#ifndef STEPCELL_MOUNTS_MOUNT_PLAN_H
#define STEPCELL_MOUNTS_MOUNT_PLAN_H

#include <sys/stat.h>

#include "base/errs.h"
#include <time.h>

#include "mounts/mount_spec.h"

/* A source as it was found on the host. */
struct mount_source {
    char *given;    /* clean absolute path as given; NULL when it holds ".." */
    char *resolved; /* without symbolic links */
    dev_t dev;
    ino_t ino;
    struct timespec birth; /* file_birth */
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* One mount of the plan; the strings belong to the plan. */
struct mount {
    enum mount_kind kind;
    enum mount_role role;
    char *target;               /* clean absolute path in the cell */
    char *alias_of;             /* the target that this name repeats, or NULL */
    struct mount_source source; /* unset for tmpfs, but for what is covered: dev, ino; of aliases
                                   and MOUNT_OWN the mode is set */
    bool readonly;
    bool in_bind; /* the target lies in a mounted host directory, so it must exist there */
    uint64_t tmpfs_size;
    mode_t tmpfs_mode;
    bool tmpfs_noexec;
};

struct mount_plan {
    struct mount *mounts;
    size_t count;
};

#define MOUNT_PLAN_MAX 512 /* mounts of one cell */

/* Whether it is mounted on a directory, and not on a file. */
static inline bool mount_is_dir(const struct mount *mount)
{
    return mount->kind == MOUNT_COW || mount->kind == MOUNT_TMPFS || S_ISDIR(mount->source.mode);
}

/* Whether it is a piece of the host's tree that is cloned for it. */
static inline bool mount_is_cloned(const struct mount *mount)
{
    return mount->source.resolved && mount->kind != MOUNT_PIN;
}

/*
 * Finds the source of a bind or copy-on-write spec on the host. Relative paths start at `cwd`, an
 * absolute path that may go through symbolic links. Fails with mount.source-missing (for the
 * working directory: workdir.missing). Creates nothing.
 */
bool mount_source_find(const struct mount_spec *spec, const char *cwd, struct mount_source *source,
                       struct err *err);

/* Who its owner is by now, when it is still there. */
void mount_source_look_again(struct mount_source *source);
void mount_source_release(struct mount_source *source);

/*
 * Orders `count` specs with their sources into a plan; takes the sources over in any case. Pure.
 * Fails with mount.conflict or mount.denied; `refused` gets all that is refused, and err the first
 * of it, or refused is NULL. A spec whose source was not found is passed over: it was complained
 * of.
 */
bool mount_plan_make(const struct mount_spec *specs, struct mount_source *sources, size_t count,
                     struct mount_plan *plan, struct errs *refused, struct err *err);
void mount_plan_release(struct mount_plan *plan);

#define autoplan CLEANUP(mount_plan_release) struct mount_plan

#endif
