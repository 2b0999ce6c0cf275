#include "mounts/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/tree.h"

static const char *const hidden_in_proc[] = {
    "acpi",          "asound", "interrupts",  "kcore",      "keys",
    "latency_stats", "scsi",   "sched_debug", "timer_list", "timer_stats",
};
static const char *const read_only_in_proc[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
static const char *const hidden_in_sys[] = {"firmware", "devices/virtual/powercap"};

/*
 * Where the host mounts file systems of its own below /sys. A cell on the host's network has the
 * host's /sys, in which they come along; one with its own has empty directories there.
 */
static const char *const mounted_in_sys[] = {
    "fs/cgroup",     "fs/bpf",       "fs/fuse/connections", "fs/pstore",      "fs/selinux",
    "kernel/config", "kernel/debug", "kernel/security",     "kernel/tracing",
};

struct mask {
    int sys;
    int null;
    int empty; /* an empty, read-only directory */
    bool empty_is_attached;
    struct err *err; /* for callbacks */
};

static bool failed(const char *name, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot hide '%s' from the cell", name);
}

static bool attach_clone(int tree, int target)
{
    autofd clone = open_tree(tree, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    return clone >= 0 && tree_attach(clone, target);
}

/* One file system for all directories. Only what is attached can be cloned before Linux 6.15. */
static bool attach_empty(struct mask *mask, int target)
{
    if (mask->empty_is_attached)
        return attach_clone(mask->empty, target);
    mask->empty_is_attached = tree_attach(mask->empty, target);
    return mask->empty_is_attached;
}

static bool hide(struct mask *mask, int root, const char *name, struct err *err)
{
    autofd target = path_open_in_nofollow(root, name, O_PATH, 0);
    struct stat st;

    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR || failed(name, err);
    if (fstat(target, &st) < 0)
        return failed(name, err);
    return (S_ISDIR(st.st_mode) ? attach_empty(mask, target) : attach_clone(mask->null, target)) ||
           failed(name, err);
}

static bool make_read_only(int root, const char *name, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    autofd target = path_open_in_nofollow(root, name, O_PATH, 0);
    autofd tree = -1;

    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR || failed(name, err);
    tree =
        open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    return (tree >= 0 &&
            mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0 &&
            tree_attach(tree, target)) ||
           failed(name, err);
}

static bool is_mount_root(int root, const char *name)
{
    struct statx stx;
    autofd target = path_open_in_nofollow(root, name, O_PATH | O_DIRECTORY, 0);

    return target >= 0 && statx(target, "", AT_EMPTY_PATH, 0, &stx) == 0 &&
           stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* How often a processor was throttled tells when keys are pressed (GHSA-6fw5-f8r9-fgfm). */
static bool hide_throttling(void *data, int dirfd, const char *name)
{
    struct mask *mask = data;
    autofree char *path = text_printf("devices/system/cpu/%s/thermal_throttle", name);

    (void)dirfd;
    if (strncmp(name, "cpu", 3) != 0 || name[3] < '0' || name[3] > '9')
        return true;
    return (path || failed(name, mask->err)) && hide(mask, mask->sys, path, mask->err);
}

bool mask_paths(int proc, int sys, int null, struct err *err)
{
    static const char *const options[] = {"mode=755", "size=4k", "nr_inodes=2", NULL};
    autofd empty =
        tree_make("tmpfs", options,
                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    struct mask mask = {.sys = sys, .null = null, .empty = empty, .err = err};
    autofd cpus = path_open_in_nofollow(sys, "devices/system/cpu", O_RDONLY | O_DIRECTORY, 0);

    if (empty < 0)
        return failed("/proc/acpi", err);
    for (size_t i = 0; i < ARRAY_SIZE(hidden_in_proc); i++) {
        if (!hide(&mask, proc, hidden_in_proc[i], err))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(hidden_in_sys); i++) {
        if (!hide(&mask, sys, hidden_in_sys[i], err))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(mounted_in_sys); i++) {
        if (is_mount_root(sys, mounted_in_sys[i]) && !hide(&mask, sys, mounted_in_sys[i], err))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(read_only_in_proc); i++) {
        if (!make_read_only(proc, read_only_in_proc[i], err))
            return false;
    }
    *err = ERR_INIT;
    if (cpus < 0 || file_each_entry(cpus, ".", hide_throttling, &mask))
        return true;
    return err->code == ERR_NONE ? failed("/sys/devices/system/cpu", err) : false;
}
