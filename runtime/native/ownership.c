#include "runtime/native/ownership.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mounts/tree.h"

/* One owner on the disk and the namespace that maps it. */
struct owner {
    uid_t uid;
    gid_t gid;
    int userns;
};

/*
 * On the disk `owner` is what `own` is outside; every other id of the range stays itself. An owner
 * out of the range itself (left by a cell that was killed with stepcell) is mapped alone, since the
 * maps of a namespace may not overlap.
 */
static struct idmap_side disk_side(const struct idmap_side *cell, uint32_t own, uint32_t owner)
{
    const struct idmap_extent *range = &cell->extents[0];
    uint32_t outside = range->outside + (own - range->inside);
    struct idmap_side side = {.extents = {{owner, outside, 1}}, .count = 1};

    if (owner >= range->outside && owner - range->outside < range->count)
        return side;
    if (outside > range->outside)
        side.extents[side.count++] =
            (struct idmap_extent){range->outside, range->outside, outside - range->outside};
    if (outside + 1 < range->outside + range->count)
        side.extents[side.count++] = (struct idmap_extent){
            outside + 1, outside + 1, range->outside + range->count - outside - 1};
    return side;
}

static int userns_for(struct owner *owners, size_t *count, const struct idmap *map, uid_t uid,
                      gid_t gid, const struct mount_source *source, struct err *err)
{
    struct idmap_side uids, gids;
    int userns;

    for (size_t i = 0; i < *count; i++) {
        if (owners[i].uid == source->uid && owners[i].gid == source->gid)
            return owners[i].userns;
    }
    uids = disk_side(&map->uids, uid, source->uid);
    gids = disk_side(&map->gids, gid, source->gid);
    userns = idmap_open_userns(&uids, &gids, err);
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

        if (!mount->source.resolved)
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

/* What to look for, in ids as the sweeping process sees them. */
struct sweep {
    struct idmap_side uids; /* `outside` are the ids of the cell on the disk */
    struct idmap_side gids;
    uid_t uid; /* the owner to give to */
    gid_t gid;
    const struct timespec *since; /* NULL: whatever the time */
};

#define OVERFLOW_ID 65534 /* what an id without a place in the namespace looks like */
#define SWEEP_DEPTH 256   /* levels; only a hostile step makes more, and then it is told */

static bool is_foreign(const struct idmap_side *side, uint32_t id, uint32_t own)
{
    if (id == own)
        return false;
    for (size_t i = 0; i < side->count; i++) {
        if (id >= side->extents[i].outside &&
            id - side->extents[i].outside < side->extents[i].count)
            return true;
    }
    return false;
}

static bool give_back_one(const struct sweep *sweep, int dirfd, const char *name,
                          const struct stat *st)
{
    bool uid = is_foreign(&sweep->uids, st->st_uid, sweep->uid);
    bool gid = is_foreign(&sweep->gids, st->st_gid, sweep->gid);

    if (!uid && !gid)
        return true;
    if (sweep->since && (st->st_ctim.tv_sec < sweep->since->tv_sec ||
                         (st->st_ctim.tv_sec == sweep->since->tv_sec &&
                          st->st_ctim.tv_nsec < sweep->since->tv_nsec)))
        return true;
    if (fchownat(dirfd, name, uid ? sweep->uid : (uid_t)-1, gid ? sweep->gid : (gid_t)-1,
                 AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0)
        return true;
    /* Not the cell's nobody but somebody else's file. */
    return errno == EPERM && (st->st_uid == OVERFLOW_ID || st->st_gid == OVERFLOW_ID);
}

static bool sweep_tree(const struct sweep *sweep, int dirfd, const char *name, int depth);

static bool sweep_entries(const struct sweep *sweep, int fd, int depth)
{
    autodir *dir = fdopendir(fd);
    struct dirent *entry;
    bool ok = true;
    struct stat st;

    if (!dir) {
        close_fd(fd);
        return false;
    }
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            ok = ok && errno == ENOENT;
        else if (!give_back_one(sweep, fd, entry->d_name, &st))
            ok = false;
        else if (S_ISDIR(st.st_mode) && !sweep_tree(sweep, fd, entry->d_name, depth + 1))
            ok = false;
    }
    return ok;
}

static bool sweep_tree(const struct sweep *sweep, int dirfd, const char *name, int depth)
{
    int fd;

    if (depth > SWEEP_DEPTH)
        return false;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    /* What the caller cannot read, the step could not write to. */
    if (fd < 0)
        return errno == ENOENT || errno == EACCES;
    return sweep_entries(sweep, fd, depth);
}

/* The step may have moved the source and put something else in its place: only the source is swept.
 */
static bool sweep_source(const struct sweep *sweep, const struct mount_source *source)
{
    int fd = open(source->resolved, (S_ISDIR(source->mode) ? O_RDONLY | O_DIRECTORY : O_PATH) |
                                        O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ELOOP || errno == ENOTDIR;
    if (fstat(fd, &st) < 0 || st.st_dev != source->dev || st.st_ino != source->ino) {
        close_fd(fd);
        return true;
    }
    if (S_ISDIR(st.st_mode))
        return sweep_entries(sweep, fd, 0);
    if (give_back_one(sweep, fd, "", &st)) {
        close_fd(fd);
        return true;
    }
    close_fd(fd);
    return false;
}

static bool is_writable(const struct mount *mount)
{
    return mount->kind == MOUNT_BIND && !mount->readonly && !mount->alias_of;
}

static bool sweep_plan(const struct mount_plan *plan, struct sweep *sweep, bool to_owner)
{
    bool ok = true;

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (to_owner) {
            sweep->uid = mount->source.uid;
            sweep->gid = mount->source.gid;
        }
        if (is_writable(mount) && !sweep_source(sweep, &mount->source))
            ok = false;
    }
    return ok;
}

/*
 * Inside the cell's user namespace the caller may change subordinate ids. There the ids of the cell
 * are what they are inside, and the caller is the step's user.
 */
static int sweep_in_namespace(const struct mount_plan *plan, struct sweep *sweep, int userns)
{
    if (setns(userns, CLONE_NEWUSER) < 0)
        return 1;
    for (size_t i = 0; i < sweep->uids.count; i++)
        sweep->uids.extents[i].outside = sweep->uids.extents[i].inside;
    for (size_t i = 0; i < sweep->gids.count; i++)
        sweep->gids.extents[i].outside = sweep->gids.extents[i].inside;
    sweep->uid = geteuid();
    sweep->gid = getegid();
    return sweep_plan(plan, sweep, false) ? 0 : 1;
}

static bool sweep_ranges(const struct mount_plan *plan, struct sweep *sweep, int userns)
{
    pid_t child = fork();
    int status = 1;

    if (child == 0)
        _exit(sweep_in_namespace(plan, sweep, userns));
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool ownership_give_back(const struct mount_plan *plan, const struct idmap *map, uid_t uid,
                         int userns, const struct timespec *start, struct err *err)
{
    struct sweep sweep = {.uids = map->uids, .gids = map->gids};
    bool ok;

    if (uid != 0 || map->kind == IDMAP_SINGLE)
        return true;
    if (map->kind == IDMAP_RANGES)
        sweep.since = start;
    ok = map->kind == IDMAP_ROOT ? sweep_plan(plan, &sweep, true)
                                 : sweep_ranges(plan, &sweep, userns);
    if (ok)
        return true;
    err_set(err, ERR_ENGINE_FAILED,
            "some files of the step could not be given back to the owner of the working directory");
    return err_hint(err,
                    "look for files of other owners there, and for directories more than %d levels "
                    "deep",
                    SWEEP_DEPTH);
}
