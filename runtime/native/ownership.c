#include "runtime/native/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/mountinfo.h"
#include "mounts/tree.h"

/* One owner on the disk and the namespace that maps it. */
struct owner {
    uid_t uid;
    gid_t gid;
    int userns;
};

/* The ids that root's cells have on the disk, besides the owner's. */
static const struct idmap_side left = {
    {{0, IDMAP_LEFT_START, IDMAP_IDS}, {0, IDMAP_HIGH_START + IDMAP_LEFT_DISTANCE, IDMAP_IDS}}, 2};

static bool is_among(const struct idmap_side *side, uint32_t id)
{
    for (size_t i = 0; i < side->count; i++) {
        if (id >= side->extents[i].outside &&
            id - side->extents[i].outside < side->extents[i].count)
            return true;
    }
    return false;
}

static void add_left(struct idmap_side *side, uint32_t outside, uint32_t count)
{
    if (count)
        side->extents[side->count++] =
            (struct idmap_extent){outside + IDMAP_LEFT_DISTANCE, outside, count};
}

/*
 * On the disk `owner` is what `own` is in the cell; every other id of the cell is one of the ranges
 * for what is left. An owner out of those (left by a cell that was killed with stepcell) is mapped
 * alone, since the extents of a map may not overlap.
 */
static struct idmap_side disk_side(const struct idmap_side *cell, uint32_t own, uint32_t owner)
{
    struct idmap_side side = {.count = 0};
    uint32_t self = 0;

    idmap_outside(cell, own, &self);
    side.extents[side.count++] = (struct idmap_extent){owner, self, 1};
    for (size_t i = 0; i < cell->count && !is_among(&left, owner); i++) {
        const struct idmap_extent *extent = &cell->extents[i];
        uint32_t below = self - extent->outside;

        if (below >= extent->count) {
            add_left(&side, extent->outside, extent->count);
        } else {
            add_left(&side, extent->outside, below);
            add_left(&side, self + 1, extent->count - below - 1);
        }
    }
    return side;
}

static int userns_for(struct owner *owners, size_t *count, const struct idmap *map, uid_t uid,
                      gid_t gid, const struct mount_source *source, struct err *err)
{
    struct idmap disk = {.kind = IDMAP_ROOT};
    int userns;

    for (size_t i = 0; i < *count; i++) {
        if (owners[i].uid == source->uid && owners[i].gid == source->gid)
            return owners[i].userns;
    }
    disk.uids = disk_side(&map->uids, uid, source->uid);
    disk.gids = disk_side(&map->gids, gid, source->gid);
    userns = idmap_open_userns(&disk, err);
    if (userns >= 0)
        owners[(*count)++] = (struct owner){source->uid, source->gid, userns};
    return userns;
}

bool ownership_clone_trees(const struct mount_plan *plan, const struct idmap *map, uid_t uid,
                           gid_t gid,
                           bool (*take)(void *data, size_t index, int tree, struct err *err),
                           void *data, struct err *err)
{
    autofree struct owner *owners = calloc(plan->count + 1, sizeof(*owners));
    size_t count = 0;
    bool ok = owners || err_set(err, ERR_ENGINE_FAILED, "not enough memory for the mounts");

    for (size_t i = 0; ok && i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];
        autofd tree = -1;
        int userns;

        if (!mount_is_cloned(mount))
            continue;
        userns = userns_for(owners, &count, map, uid, gid, &mount->source, err);
        if (userns >= 0)
            tree = tree_clone_source(mount, userns, err);
        ok = tree >= 0 && take(data, i, tree, err);
    }
    for (size_t i = 0; i < count; i++)
        close_fd(owners[i].userns);
    return ok;
}

/* A directory on the way down, and those of its directories that are still to be seen to. */
struct level {
    dev_t dev;
    ino_t ino;
    struct strv subdirs;
    size_t next;
};

/* What to look for, in ids as the sweeping process sees them. */
struct sweep {
    struct idmap_side uids; /* `outside` are the ids on the disk that are to be given back */
    struct idmap_side gids;
    uid_t uid; /* the owner to give to */
    gid_t gid;
    bool to_owner;                /* who is that of the source */
    const struct timespec *since; /* NULL: whatever the time */
    dev_t skip_dev;               /* the store */
    ino_t skip_ino;
    struct file_budget *budget;
    struct level *levels;
    size_t depth;
    bool ok;
};

#define OVERFLOW_ID 65534 /* what an id without a place in the namespace looks like */

static bool is_foreign(const struct idmap_side *side, uint32_t id, uint32_t own)
{
    return id != own && is_among(side, id);
}

/* Looks at and changes one and the same file: `fd` is O_PATH. */
static bool give_back_one(const struct sweep *sweep, int fd, const struct stat *st)
{
    bool uid = is_foreign(&sweep->uids, st->st_uid, sweep->uid);
    bool gid = is_foreign(&sweep->gids, st->st_gid, sweep->gid);

    if (!uid && !gid)
        return true;
    if (sweep->since && (st->st_ctim.tv_sec < sweep->since->tv_sec ||
                         (st->st_ctim.tv_sec == sweep->since->tv_sec &&
                          st->st_ctim.tv_nsec < sweep->since->tv_nsec)))
        return true;
    if (fchownat(fd, "", uid ? sweep->uid : (uid_t)-1, gid ? sweep->gid : (gid_t)-1,
                 AT_EMPTY_PATH) == 0)
        return true;
    /* Not the cell's nobody but somebody else's file. */
    return errno == EPERM && (st->st_uid == OVERFLOW_ID || st->st_gid == OVERFLOW_ID);
}

/*
 * Whether nobody but its owner can have written to the mount that `fd` lies on: to FUSE without
 * allow_other the other ids of a cell had no access, and an automount has no files before it is
 * gone to. There is nothing to give back, and asking may take for ever: the server may be far away,
 * or hang.
 */
static bool is_untouched(int fd)
{
    autobuf text = BUF_INIT(MOUNTINFO_MAX);
    struct mountinfo_entry mount;
    struct statx where;
    struct err ignored;
    const char *rest;

    /* Nothing is asked for but what the kernel knows. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &where) < 0 ||
        !(where.stx_mask & STATX_MNT_ID) ||
        !file_read(AT_FDCWD, "/proc/self/mountinfo", &text, ERR_ENGINE_FAILED, &ignored))
        return false;
    rest = text.data;
    while (*rest) {
        if (mountinfo_read(&rest, &mount) && mount.id == where.stx_mnt_id)
            return mountinfo_is_private(&mount) || strcmp(mount.type, "autofs") == 0;
    }
    return false;
}

/* An entry of a directory, O_PATH; *untouched when it is such a mount. */
static int open_entry(const struct sweep *sweep, int dirfd, const char *name, bool *untouched)
{
    int fd = path_open_unmounted(dirfd, name);

    if (fd < 0 && errno == EXDEV) {
        file_budget_drop(sweep->budget);
        if (file_budget_is_spent(sweep->budget))
            return -1;
        fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        *untouched = fd >= 0 && is_untouched(fd);
    }
    return fd;
}

/*
 * Whether an entry of a directory is no mount and belongs to nobody of the cell's, which is what
 * nearly all of them are; *is_dir tells whether it is a directory to go into.
 */
static bool needs_nothing(const struct sweep *sweep, int dirfd, const char *name, bool *is_dir)
{
    const unsigned int mask = STATX_TYPE | STATX_UID | STATX_GID | STATX_INO;
    struct statx st;

    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, mask, &st) <
            0 ||
        (st.stx_mask & mask) != mask || !(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) ||
        (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
        is_foreign(&sweep->uids, st.stx_uid, sweep->uid) ||
        is_foreign(&sweep->gids, st.stx_gid, sweep->gid))
        return false;
    *is_dir =
        S_ISDIR(st.stx_mode) && !(makedev(st.stx_dev_major, st.stx_dev_minor) == sweep->skip_dev &&
                                  st.stx_ino == sweep->skip_ino);
    return true;
}

/* Goes on after a failure: as much as possible is given back. */
static bool sweep_entry(void *data, int dirfd, const char *name)
{
    struct sweep *sweep = data;
    struct level *level = &sweep->levels[sweep->depth - 1];
    bool ok, untouched = false, is_dir;
    autofd fd = -1;
    struct stat st;

    if (!file_budget_take(sweep->budget))
        return false;
    if (needs_nothing(sweep, dirfd, name, &is_dir)) {
        if (is_dir && !strv_add(&level->subdirs, name))
            sweep->ok = false;
        return true;
    }
    fd = open_entry(sweep, dirfd, name, &untouched);
    if (untouched)
        ok = true;
    else if (fd < 0 || fstat(fd, &st) < 0)
        ok = errno == ENOENT;
    else if (st.st_dev == sweep->skip_dev && st.st_ino == sweep->skip_ino)
        ok = true;
    else
        ok = give_back_one(sweep, fd, &st) &&
             (!S_ISDIR(st.st_mode) || strv_add(&level->subdirs, name));
    if (!ok)
        sweep->ok = false;
    return true;
}

/* Goes into a directory: its entries are seen to, and the names of its directories kept. */
static bool enter(struct sweep *sweep, int dir)
{
    struct level *levels = realloc(sweep->levels, (sweep->depth + 1) * sizeof(*levels));
    struct stat st;

    if (!levels || fstat(dir, &st) < 0) {
        sweep->levels = levels ? levels : sweep->levels;
        return false;
    }
    sweep->levels = levels;
    levels[sweep->depth++] =
        (struct level){.dev = st.st_dev, .ino = st.st_ino, .subdirs = {.max = SIZE_MAX}};
    return file_each_entry(dir, ".", sweep_entry, sweep);
}

/* The parent of `dir`, if it is still the directory that it was entered from. */
static int leave(struct sweep *sweep, int dir)
{
    const struct level *above;
    struct stat st;
    autofd parent = -1;

    strv_release(&sweep->levels[--sweep->depth].subdirs);
    if (sweep->depth == 0)
        return -1;
    above = &sweep->levels[sweep->depth - 1];
    parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fstat(parent, &st) < 0 || st.st_dev != above->dev || st.st_ino != above->ino)
        return -1;
    return TAKE_FD(parent);
}

/* Walks a tree of any depth with one descriptor. */
static bool sweep_tree(struct sweep *sweep, int top)
{
    autofd dir = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* What the caller cannot read, the step could not write to. */
    if (dir < 0)
        return errno == EACCES;
    sweep->ok = enter(sweep, dir);
    while (sweep->depth > 0 && !file_budget_is_spent(sweep->budget)) {
        struct level *level = &sweep->levels[sweep->depth - 1];
        int next;

        if (level->next < level->subdirs.count) {
            next = openat(dir, level->subdirs.items[level->next++],
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (next < 0)
                continue; /* unreadable, or gone meanwhile */
            if (!enter(sweep, next))
                sweep->ok = false;
        } else {
            next = leave(sweep, dir);
            if (next < 0)
                break;
        }
        close_fd(dir);
        dir = next;
    }
    /* Left over when a directory was moved away under the walk, or the budget is spent. */
    if (sweep->depth > 0)
        sweep->ok = false;
    while (sweep->depth > 0)
        strv_release(&sweep->levels[--sweep->depth].subdirs);
    free(sweep->levels);
    sweep->levels = NULL;
    return sweep->ok;
}

static bool is_source(const struct mount_source *source, int fd, const struct stat *st)
{
    struct timespec birth = file_birth(fd);

    return st->st_dev == source->dev && st->st_ino == source->ino &&
           birth.tv_sec == source->birth.tv_sec && birth.tv_nsec == source->birth.tv_nsec;
}

/*
 * The step may have moved the source and put something else in its place, and others may have done
 * so since: only the source is swept, where it was, and what is in it is its owner's of today.
 */
static bool sweep_source(struct sweep *sweep, const struct mount_source *source)
{
    autofd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd fd = path_open_in_nofollow(root, source->resolved, O_PATH | O_NOFOLLOW, 0);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR || errno == ELOOP;
    if (sweep->budget->max == UINT64_MAX && is_untouched(fd))
        return true;
    if (fstat(fd, &st) < 0 || !is_source(source, fd, &st))
        return true;
    if (sweep->to_owner) {
        sweep->uid = is_among(&sweep->uids, st.st_uid) ? source->uid : st.st_uid;
        sweep->gid = is_among(&sweep->gids, st.st_gid) ? source->gid : st.st_gid;
    }
    /* The source itself, too: it would decide whose everything in it is from now on. */
    if (!give_back_one(sweep, fd, &st))
        return false;
    return !S_ISDIR(st.st_mode) || sweep_tree(sweep, fd);
}

bool ownership_has_other_ids(const struct run_spec *spec)
{
    return spec->uid == 0 || spec->group_count > 0;
}

bool ownership_is_writable(const struct mount *mount)
{
    return mount->kind == MOUNT_BIND && !mount->readonly && !mount->alias_of;
}

static bool sweep_plan(const struct mount_plan *plan, struct sweep *sweep)
{
    bool ok = true;

    /* What lies in another source has an owner of its own: it comes first. */
    for (size_t i = plan->count; i-- > 0;) {
        const struct mount *mount = &plan->mounts[i];

        if (ownership_is_writable(mount) && !sweep_source(sweep, &mount->source))
            ok = false;
    }
    return ok;
}

/* In the cell's user namespace its ids are what they are inside, the caller is the step's user. */
static void see_from_inside(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->uids.count; i++)
        sweep->uids.extents[i].outside = sweep->uids.extents[i].inside;
    for (size_t i = 0; i < sweep->gids.count; i++)
        sweep->gids.extents[i].outside = sweep->gids.extents[i].inside;
    sweep->uid = geteuid();
    sweep->gid = getegid();
}

bool ownership_give_back(const struct ownership_cell *cell, struct file_budget *budget)
{
    struct sweep sweep = {.uids = left, .gids = left, .budget = budget};
    struct stat st;

    if (!cell->had_other_ids || cell->map->kind == IDMAP_SINGLE)
        return true;
    if (fstat(cell->store, &st) < 0)
        return false;
    sweep.skip_dev = st.st_dev;
    sweep.skip_ino = st.st_ino;
    sweep.to_owner = cell->map->kind == IDMAP_ROOT;
    if (sweep.to_owner)
        return sweep_plan(cell->plan, &sweep);
    sweep.uids = cell->map->uids;
    sweep.gids = cell->map->gids;
    sweep.since = &cell->start;
    see_from_inside(&sweep);
    return sweep_plan(cell->plan, &sweep);
}
