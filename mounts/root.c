#include "mounts/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "mounts/mask.h"
#include "mounts/tree.h"

#define CLONER_STACK     16384
#define CGROUP_PLACE     "sys/fs/cgroup"
#define NO_EXEC_SUID_DEV (MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static const char *const devices[ROOT_DEVICES] = {
    [ROOT_DEVICE_NULL] = "null", "zero", "full", "random", "urandom", "tty"};

static const struct {
    const char *name;
    const char *target;
} device_links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
};

bool root_open_host(const struct root_options *options, struct root_host *host, struct err *err)
{
    for (size_t i = 0; i < ROOT_DEVICES; i++) {
        char path[32] = "/dev/";

        for (size_t j = 0; (path[5 + j] = devices[i][j]); j++)
            ;
        host->devices[i] = tree_clone(path, 0, -1);
        if (host->devices[i] < 0)
            return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot use '%s' in the cell", path);
    }
    host->sys = -1;
    if (!options->own_network) {
        host->sys = tree_clone("/sys", MOUNT_ATTR_RDONLY | NO_EXEC_SUID_DEV, -1);
        if (host->sys < 0)
            return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot use '/sys' in the cell");
    }
    /* A host without these files is not this program's business. */
    host->resolv_conf = tree_clone(options->resolv_conf, MOUNT_ATTR_RDONLY | NO_EXEC_SUID_DEV, -1);
    host->hosts = tree_clone(options->hosts, MOUNT_ATTR_RDONLY | NO_EXEC_SUID_DEV, -1);
    for (size_t i = 0; i < options->cgroup_count; i++) {
        const char *path = options->cgroups[i].path;

        host->cgroups[i] = tree_clone(path, MOUNT_ATTR_RDONLY | NO_EXEC_SUID_DEV, -1);
        if (host->cgroups[i] < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot use '%s' in the cell", path);
    }
    return true;
}

bool root_enter(int root, struct err *err)
{
    autofd old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (old < 0 || !tree_attach(root, old))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot attach the root of the cell");
    return true;
}

/*
 * A directory of the image that something of the engine's is mounted on. A symbolic link there
 * would lead the mount elsewhere (CVE-2019-19921, CVE-2026-41579), so it has to be a directory.
 */
static int open_dir(int root, const char *name, mode_t mode, struct err *err)
{
    int dir = path_open_in_nofollow(root, name, O_PATH | O_DIRECTORY, 0);

    if (dir < 0 && errno == ENOENT && mkdirat(root, name, mode) == 0)
        dir = path_open_in_nofollow(root, name, O_PATH | O_DIRECTORY, 0);
    if (dir < 0) {
        err_errno(err, ERR_IMAGE_DENIED, "the image's '/%s' is not a plain directory", name);
        err_hint(err, "rebuild the image with a directory at '/%s'", name);
    }
    return dir;
}

static bool mount_new(int root, const char *name, const char *type, const char *const *options,
                      uint64_t attributes, struct err *err)
{
    autofd dir = open_dir(root, name, 0755, err);
    autofd tree = -1;

    if (dir < 0)
        return false;
    tree = tree_make(type, options, attributes);
    if (tree < 0 || !tree_attach(tree, dir))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot mount '/%s' in the cell", name);
    return true;
}

static bool populate_dev(int root, const struct root_options *options, const struct root_host *host,
                         struct err *err)
{
    static const char *const dev[] = {"mode=755", "size=64k", NULL};
    static const char *const shm[] = {"mode=1777", "size=64m", NULL};
    const char *pts[] = {"newinstance", "ptmxmode=0666", "mode=0620",
                         options->single_id ? NULL : "gid=5", NULL};
    autofd dir = -1;

    if (!mount_new(root, "dev", "tmpfs", dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err))
        return false;
    dir = path_open_in_nofollow(root, "dev", O_PATH | O_DIRECTORY, 0);
    for (size_t i = 0; i < ROOT_DEVICES; i++) {
        autofd node = openat(dir, devices[i], O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0644);

        if (node < 0 || !tree_attach(host->devices[i], node))
            return err_errno(err, ERR_ENGINE_FAILED, "cannot make '/dev/%s'", devices[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(device_links); i++) {
        if (symlinkat(device_links[i].target, dir, device_links[i].name) < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot make '/dev/%s'", device_links[i].name);
    }
    return mount_new(root, "dev/pts", "devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err) &&
           mount_new(root, "dev/shm", "tmpfs", shm, NO_EXEC_SUID_DEV, err) &&
           mount_new(root, "dev/mqueue", "mqueue", NULL, NO_EXEC_SUID_DEV, err);
}

static int open_cgroup_place(int root)
{
    return path_open_in_nofollow(root, CGROUP_PLACE, O_PATH | O_DIRECTORY, 0);
}

/* A read-only directory for each of them, in a file system of its own. */
static bool show_cgroups_by_name(int root, const struct root_options *options,
                                 const struct root_host *host, struct err *err)
{
    static const char *const few[] = {"mode=755", "size=16k", "nr_inodes=8", NULL};
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    autofd place = -1;

    if (!mount_new(root, CGROUP_PLACE, "tmpfs", few, NO_EXEC_SUID_DEV, err))
        return false;
    place = open_cgroup_place(root);
    for (size_t i = 0; i < options->cgroup_count; i++) {
        const char *name = options->cgroups[i].name;
        autofd dir = -1;

        if (mkdirat(place, name, 0755) == 0)
            dir = openat(place, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || !tree_attach(host->cgroups[i], dir))
            return err_errno(err, ERR_ENGINE_FAILED, "cannot show the cgroups of the cell");
    }
    return mount_setattr(place, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot show the cgroups of the cell");
}

static bool show_cgroups(int root, const struct root_options *options, const struct root_host *host,
                         struct err *err)
{
    autofd place = open_cgroup_place(root);

    /* A host that has it nowhere in /sys mounts cgroups elsewhere. */
    if (options->cgroup_count == 0 || place < 0)
        return true;
    if (options->cgroups[0].name)
        return show_cgroups_by_name(root, options, host, err);
    return tree_attach(host->cgroups[0], place) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot show the cgroup of the cell");
}

static bool populate_sys(int root, const struct root_host *host, struct err *err)
{
    autofd sys = open_dir(root, "sys", 0755, err);

    if (sys < 0)
        return false;
    if (host->sys < 0)
        return mount_new(root, "sys", "sysfs", NULL, MOUNT_ATTR_RDONLY | NO_EXEC_SUID_DEV, err);
    if (!tree_attach(host->sys, sys))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot mount '/sys' in the cell");
    return true;
}

/* What the image has at `name` is no file and leads to none. */
static bool not_a_file(const char *name, struct err *err)
{
    err_errno(err, ERR_IMAGE_DENIED, "the image's '/%s' is not a plain file", name);
    return err_hint(err, "rebuild the image with a file at '/%s', or with nothing there", name);
}

/* Lays a file of the host over a file of the image, which is created where it is missing. */
static bool cover_file(int root, const char *name, int tree, struct err *err)
{
    autofd etc = -1, file = -1;

    if (tree < 0)
        return true;
    file = path_open_in(root, name, O_PATH, 0);
    /* A link of the image must not lead to what the engine has mounted, /dev/null say. */
    if (file >= 0 && !tree_is_of_mount(root, file))
        file = close_fd(file);
    if (file < 0) {
        etc = path_make_dirs_in(root, "etc", 0755);
        if (etc < 0 && errno == ENOTDIR)
            return true; /* an image that wants no /etc has none */
        /* What cannot be opened but is there is a dangling link; the cell gets a file instead. */
        if (etc >= 0)
            unlinkat(etc, path_name(name), 0);
        file = path_open_in_nofollow(root, name, O_RDONLY | O_CREAT | O_EXCL, 0644);
    }
    return (file >= 0 && tree_attach(tree, file)) || not_a_file(name, err);
}

bool root_populate(int root, const struct root_options *options, const struct root_host *host,
                   struct err *err)
{
    static const char tmp[] = "tmp";

    if (!mount_new(root, "proc", "proc", NULL, NO_EXEC_SUID_DEV, err) ||
        !populate_dev(root, options, host, err) || !populate_sys(root, host, err) ||
        !cover_file(root, "etc/resolv.conf", host->resolv_conf, err) ||
        !cover_file(root, "etc/hosts", host->hosts, err))
        return false;
    /* A script expects a place for its temporary files, whatever the image lacks. */
    if (mkdirat(root, tmp, 0700) == 0) {
        autofd dir = path_open_in_nofollow(root, tmp, O_RDONLY | O_DIRECTORY, 0);

        if (dir < 0 || fchmod(dir, 01777) < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot make '/tmp' in the cell");
    }
    return true;
}

bool root_mask(int root, const struct root_options *options, const struct root_host *host,
               struct err *err)
{
    autofd proc = path_open_in_nofollow(root, "proc", O_PATH | O_DIRECTORY, 0);
    autofd sys = path_open_in_nofollow(root, "sys", O_PATH | O_DIRECTORY, 0);

    if (proc < 0 || sys < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot open '/proc' and '/sys' of the cell");
    return mask_paths(proc, sys, host->sys >= 0, host->devices[ROOT_DEVICE_NULL], err) &&
           show_cgroups(root, options, host, err);
}

static bool failed_switch(struct err *err)
{
    err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot switch to the root of the cell");
    return err_hint(err, "the root of this machine must be a mount of its own, not an initramfs");
}

static bool pivot(int root)
{
    /* pivot_root(2): with both arguments ".", the old root lies on top of the new one. */
    return fchdir(root) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
           umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/* Runs in namespaces of its own, with the memory and the descriptors of the calling process. */
static int clone_whole_root(void *data)
{
    int *tree = data;

    *tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/",
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    return 0;
}

/*
 * A detached clone of the root and of what is mounted in it, each mount locked to the one below
 * (MNT_LOCKED). The kernel locks mounts when it copies them for a user namespace with fewer
 * privileges, and clones keep it (fs/namespace.c: lock_mnt_tree, __do_loopback).
 */
static int clone_locked(void)
{
    char stack[CLONER_STACK] __attribute__((aligned(16)));
    int tree = -1, flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS;
    pid_t child = clone(clone_whole_root, stack + sizeof(stack), flags | SIGCHLD, &tree);

    child_wait(child);
    return tree;
}

bool root_switch(int *root, struct err *err)
{
    int locked;

    if (!pivot(*root))
        return failed_switch(err);
    locked = clone_locked();
    if (locked < 0)
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot lock the mounts of the cell");
    close_fd(*root);
    *root = locked;
    return root_enter(locked, err) && (pivot(locked) || failed_switch(err));
}
