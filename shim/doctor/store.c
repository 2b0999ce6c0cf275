/* The store, its disk, and what its file system can do for a cell. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/child.h"
#include "mounts/overlay.h"
#include "mounts/tree.h"
#include "runtime/native/scratch.h"
#include "shim/doctor/doctor.h"
#include "shim/units.h"

#define BYTES_LOW  (UINT64_C(1) << 30)
#define INODES_LOW 50000 /* a large image has as many files */

/* A link that leads nowhere is there: nothing can be made behind it. */
static bool is_missing(const char *path)
{
    return *path && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* A diagnosis makes no store: the rest is tried where the first image makes it, in what there is of
 * its path, in a directory that goes again. */
static bool make_temporary(struct doctor *doctor, struct err *err)
{
    autofree char *above = strdup(doctor->path), *path = NULL;

    while (above && is_missing(above))
        *strrchr(above, '/') = '\0';
    path = above ? text_printf("%s/.stepcell-XXXXXX", above) : NULL;
    if (path && mkdtemp(path)) {
        doctor->temporary = TAKE_PTR(path);
        return true;
    }
    err_errno(err, ERR_ENGINE_FAILED, "the store '%s' cannot be made in '%s'", doctor->path,
              above && *above ? above : "/");
    return err_hint(err, "name a place that the caller can write to with --store");
}

/* A file system without a table of inodes says that it has none. */
static void check_disk(struct doctor *doctor, const struct statvfs *fs)
{
    static const char hint[] =
        "make room with 'stepcell image gc', or name another store with --store";
    uint64_t bytes = (uint64_t)fs->f_bavail * fs->f_frsize;
    char size[UNITS_MAX];

    units_size(bytes, size);
    if (bytes < BYTES_LOW)
        doctor_find(doctor, LEVEL_WARNING, hint,
                    "the store '%s' has %s left: a pull needs twice the compressed size of an "
                    "image before it begins, and the unpacked one in all",
                    doctor->path, size);
    else if (fs->f_files > 0 && fs->f_favail < INODES_LOW)
        doctor_find(doctor, LEVEL_WARNING, hint,
                    "the file system of the store '%s' has room for %llu files more: an image with "
                    "more of them cannot be unpacked",
                    doctor->path, (unsigned long long)fs->f_favail);
    else if (fs->f_files > 0)
        doctor_find(doctor, LEVEL_OK, NULL, "the store '%s' has %s and %llu inodes left",
                    doctor->path, size, (unsigned long long)fs->f_favail);
    else
        doctor_find(doctor, LEVEL_OK, NULL, "the store '%s' has %s left", doctor->path, size);
}

void doctor_store(struct doctor *doctor)
{
    struct statvfs fs;
    struct err err;
    bool missing, known;

    doctor->path = store_path(doctor->store, &err);
    missing = doctor->path && is_missing(doctor->path);
    if (!doctor->path || (missing && !make_temporary(doctor, &err)) ||
        !store_open(missing ? doctor->temporary : doctor->path, &doctor->opened, &err)) {
        doctor_find_err(doctor, LEVEL_ERROR, &err);
        return;
    }
    known = fstatvfs(doctor->opened.fd, &fs) == 0;
    if (known && fs.f_flag & ST_RDONLY) {
        doctor_find(doctor, LEVEL_ERROR,
                    "let it be written to ('mount -o remount,rw'), or name another store with "
                    "--store",
                    "the store '%s' is on a file system that is read-only, and so no cell has a "
                    "place",
                    doctor->path);
        return;
    }
    doctor->has_store = true;
    if (missing)
        doctor_find(doctor, LEVEL_WARNING,
                    "the first image makes it; check the path if it should be there",
                    "the store '%s' does not exist yet", doctor->path);
    if (!known)
        doctor_find(doctor, LEVEL_WARNING, NULL, "cannot look at the disk of the store '%s': %s",
                    doctor->path, strerror(errno));
    else
        check_disk(doctor, &fs);
}

/* ---- an overlay ---- */

#define OVERLAY_LOWER "lower"
#define OVERLAY_FILE  "there"

/* As in a cell's scratch: the upper directories belong to the root of the cell. */
static bool make_parts(const struct scratch *scratch, const struct idmap *map, struct err *err)
{
    static const char *const parts[] = {OVERLAY_LOWER, SCRATCH_UPPER, SCRATCH_WORK};
    uint32_t uid = geteuid(), gid = getegid();

    if (geteuid() == 0 &&
        (!idmap_outside(&map->uids, 0, &uid) || !idmap_outside(&map->gids, 0, &gid)))
        return err_set(err, ERR_ENGINE_FAILED, "the root of a cell has no ids");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (mkdirat(scratch->lock, parts[i], 0755) < 0 ||
            fchownat(scratch->lock, parts[i], uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare an overlay");
    }
    return mknodat(scratch->lock, OVERLAY_LOWER "/" OVERLAY_FILE, S_IFREG | 0644, 0) == 0 ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot prepare an overlay");
}

static int open_below(int dir, const char *name)
{
    return openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* As the root of a user namespace: a file of the lower directory goes, and another comes. errno. */
static int use_overlay(int dir, const int *parts)
{
    autofree char *mountpoint = text_printf("/proc/self/fd/%d/root", dir);
    bool attached = false;
    struct err ignored;
    int root = !mountpoint ? -1
                           : overlay_mount(&parts[0], 1, -1, parts[1], parts[2], mountpoint,
                                           &attached, &ignored);

    if (root < 0)
        return errno ? errno : EIO;
    if (unlinkat(root, OVERLAY_FILE, 0) < 0 || mkdirat(root, "new", 0755) < 0)
        return errno;
    return faccessat(root, OVERLAY_FILE, F_OK, 0) < 0 && errno == ENOENT ? 0 : EIO;
}

/*
 * What the first process of a cell does: opens everything with the caller's own ids, before they
 * change to ones for which the path of the store may be closed. `ready` and `mapped` are pipes.
 */
static int overlay_child(const char *path, bool single, int ready, int mapped)
{
    char byte;
    int dir, parts[3];

    dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    parts[0] = open_below(dir, OVERLAY_LOWER);
    parts[1] = open_below(dir, SCRATCH_UPPER);
    parts[2] = open_below(dir, SCRATCH_WORK);
    if (dir < 0 || parts[0] < 0 || parts[1] < 0 || parts[2] < 0 || write(ready, "", 1) != 1 ||
        read(mapped, &byte, 1) != 1)
        return errno ? errno : EPIPE;
    if (!single && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return errno;
    return use_overlay(dir, parts);
}

/* An errno, 0 when it works, or -1 with err. */
static int try_overlay(const struct scratch *scratch, struct err *err)
{
    int ready[2] = {-1, -1}, mapped[2] = {-1, -1}, status;
    struct idmap map;
    bool has_map;
    pid_t child;
    char byte;

    if (!idmap_for_step(0, 0, &map, err) || !make_parts(scratch, &map, err))
        return -1;
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(mapped, O_CLOEXEC) < 0 ||
        (child = idmap_clone(CLONE_NEWUSER | CLONE_NEWNS)) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot try an overlay");
        status = -1;
    } else if (child == 0) {
        close_fd(mapped[1]);
        _exit(overlay_child(scratch->path, map.kind == IDMAP_SINGLE, ready[1], mapped[0]));
    } else {
        ready[1] = close_fd(ready[1]);
        mapped[0] = close_fd(mapped[0]);
        /* One that has failed says so by its status. */
        has_map = read(ready[0], &byte, 1) != 1 ||
                  (idmap_write(&map, child, err) && write(mapped[1], "", 1) == 1);
        mapped[1] = close_fd(mapped[1]);
        status = child_wait(child);
        status = has_map ? status : -1;
    }
    for (int i = 0; i < 2; i++) {
        close_fd(ready[i]);
        close_fd(mapped[i]);
    }
    return status;
}

void doctor_overlay(struct doctor *doctor)
{
    struct scratch scratch = SCRATCH_INIT;
    struct err err = ERR_INIT;
    int status = scratch_take(doctor->opened.fd, doctor->opened.path, &scratch, &err)
                     ? try_overlay(&scratch, &err)
                     : -1;

    if (scratch.path)
        scratch_release(&scratch);
    if (status == 0)
        doctor_find(doctor, LEVEL_OK, NULL, "an overlay on the store's file system works");
    else if (status < 0)
        doctor_find_err(doctor, LEVEL_ERROR, &err);
    else
        doctor_find(doctor, LEVEL_ERROR,
                    "name a store on ext4, XFS, Btrfs or tmpfs with --store; Linux 5.11 or newer "
                    "is needed",
                    "an overlay cannot be mounted or written to on the store's file system, and so "
                    "no cell has a root: %s",
                    strerror(status));
}

/* ---- id maps of mounts ---- */

void doctor_idmapped_mounts(struct doctor *doctor)
{
    struct idmap map;
    struct err err;
    autofd userns = -1, tree = -1;

    /* Others own what their cells use, and need none. */
    if (geteuid() != 0)
        return;
    if (!idmap_for_step(0, 0, &map, &err) || (userns = idmap_open_userns(&map, &err)) < 0) {
        doctor_find_err(doctor, LEVEL_ERROR, &err);
        return;
    }
    tree = tree_clone(".", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, userns);
    if (tree >= 0)
        doctor_find(doctor, LEVEL_OK, NULL,
                    "the file system of the current directory takes mounts with an id map");
    else
        doctor_find(doctor, LEVEL_WARNING,
                    "use Linux 5.12 or newer (6.3 for tmpfs), and a file system that takes them "
                    "for working directories: ext4, XFS, Btrfs, tmpfs",
                    "the file system of the current directory takes no mount with an id map: as a "
                    "working directory its files may be refused, since nobody could keep their "
                    "owners right: %s",
                    strerror(errno));
}
