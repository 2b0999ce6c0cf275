#include "mounts/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/mountinfo.h"
#include "mounts/tree.h"

static const char *const hidden_in_proc[] = {
    "acpi",          "asound", "interrupts",  "kcore",      "keys",
    "latency_stats", "scsi",   "sched_debug", "timer_list", "timer_stats",
};
static const char *const read_only_in_proc[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
static const char *const hidden_in_sys[] = {"firmware", "devices/virtual/powercap"};

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

static bool hide_directory(struct mask *mask, const char *name, struct err *err)
{
    autofd target = path_open_in_nofollow(mask->sys, name, O_PATH | O_DIRECTORY, 0);

    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR || failed(name, err);
    return attach_empty(mask, target) || failed(name, err);
}

/*
 * In the host's /sys whatever is mounted there comes along. What is mounted in a mount that is
 * hidden is hidden. A mount on a single file (lxcfs) is there to be read instead of it.
 */
static bool hide_mounts(struct mask *mask, int proc, struct err *err)
{
    autobuf text = BUF_INIT(MOUNTINFO_MAX);
    struct mountinfo_entry mount;
    struct statx sys;
    const char *rest;
    size_t len = 0; /* of the path of /sys */

    if (statx(mask->sys, "", AT_EMPTY_PATH, STATX_MNT_ID, &sys) < 0)
        return failed("/sys", err);
    if (!file_read(proc, "self/mountinfo", &text, ERR_ENGINE_FAILED, err))
        return false;
    for (rest = text.data; *rest;) {
        bool ok = mountinfo_read(&rest, &mount);

        /* What any user has mounted elsewhere is nothing to stumble over. */
        if (mount.id != sys.stx_mnt_id && mount.parent != sys.stx_mnt_id)
            continue;
        if (!ok)
            return err_set(err, ERR_ENGINE_FAILED, "cannot tell what is mounted in '/sys'");
        if (mount.id == sys.stx_mnt_id)
            len = strlen(mount.point);
        else if (strlen(mount.point) > len && !hide_directory(mask, mount.point + len + 1, err))
            return false;
    }
    return true;
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

bool mask_paths(int proc, int sys, bool sys_is_host, int null, struct err *err)
{
    static const char *const options[] = {"mode=755", "size=4k", "nr_inodes=2", NULL};
    autofd empty =
        tree_make("tmpfs", options,
                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    struct mask mask = {.sys = sys, .null = null, .empty = empty, .err = err};
    autofd cpus = path_open_in_nofollow(sys, "devices/system/cpu", O_RDONLY | O_DIRECTORY, 0);

    if (empty < 0)
        return failed("/proc/acpi", err);
    /* Before anything else is mounted there. */
    if (sys_is_host && !hide_mounts(&mask, proc, err))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(hidden_in_proc); i++) {
        if (!hide(&mask, proc, hidden_in_proc[i], err))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(hidden_in_sys); i++) {
        if (!hide(&mask, sys, hidden_in_sys[i], err))
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
