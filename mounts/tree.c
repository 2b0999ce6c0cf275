#include "mounts/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "mounts/unmapped.h"

#define OPTION_MAX 128

int tree_clone(const char *path, uint64_t attributes, int userns)
{
    struct mount_attr attr = {
        .attr_set = attributes | (userns >= 0 ? MOUNT_ATTR_IDMAP : 0),
        .propagation = MS_PRIVATE,
        .userns_fd = userns >= 0 ? (uint64_t)userns : 0,
    };
    autofd tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (tree < 0 ||
        ((attributes || userns >= 0) &&
         mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0))
        return -1;
    return TAKE_FD(tree);
}

int tree_clone_source(const struct mount *mount, int userns, struct err *err)
{
    uint64_t attributes = MOUNT_ATTR_NOSUID;
    const char *source = mount->source.resolved;
    struct stat st;
    autofd tree = -1;

    if (mount->readonly || mount->kind == MOUNT_COW)
        attributes |= MOUNT_ATTR_RDONLY;
    /* A device node is not written to, and keeps its owner. */
    if (mount->role == MOUNT_DEVICE)
        userns = -1;
    else
        attributes |= MOUNT_ATTR_NODEV;
    tree = tree_clone(source, attributes, userns);
    if (tree < 0 && userns >= 0 && (errno == EINVAL || errno == EPERM)) {
        if (!unmapped_is_allowed(mount, userns, err))
            return -1;
        tree = tree_clone(source, attributes, -1);
    }
    if (tree < 0 || fstat(tree, &st) < 0) {
        err_errno(err, ERR_MOUNT_SOURCE_MISSING, "cannot mount '%s'", source);
        return -1;
    }
    if (st.st_dev != mount->source.dev || st.st_ino != mount->source.ino) {
        err_set(err, ERR_MOUNT_SOURCE_MISSING, "'%s' was replaced while the step was prepared",
                source);
        return -1;
    }
    return TAKE_FD(tree);
}

bool tree_attach(int tree, int target)
{
    return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
}

static bool set_option(int context, const char *option)
{
    char key[OPTION_MAX];
    char *value;

    if (strlen(option) >= sizeof(key)) {
        errno = EINVAL;
        return false;
    }
    strcpy(key, option);
    value = strchr(key, '=');
    if (!value)
        return fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0) == 0;
    *value++ = '\0';
    return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) == 0;
}

int tree_make(const char *type, const char *const *options, uint64_t attributes)
{
    autofd context = fsopen(type, FSOPEN_CLOEXEC);

    if (context < 0)
        return -1;
    for (; options && *options; options++) {
        if (!set_option(context, *options))
            return -1;
    }
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return fsmount(context, FSMOUNT_CLOEXEC, (unsigned int)attributes);
}

bool tree_is_of_mount(int root, int fd)
{
    struct statx one, other;

    return statx(root, "", AT_EMPTY_PATH, STATX_MNT_ID, &one) == 0 &&
           statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &other) == 0 &&
           one.stx_mnt_id == other.stx_mnt_id;
}
