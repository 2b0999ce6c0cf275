#include "runtime/native/own_mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "mounts/tree.h"

#define PAGE             4096
#define NO_EXEC_SUID_DEV (MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

int own_mounts_find(const struct mount_plan *plan, enum mount_role role)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->mounts[i].kind == MOUNT_OWN && plan->mounts[i].role == role)
            return (int)i;
    }
    return -1;
}

static bool no_secrets(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot make the secrets of the cell");
}

static int make_secrets_tree(const struct run_spec *spec)
{
    char size[40], inodes[40];
    const char *options[] = {"mode=700", size, inodes, "noswap", NULL};
    size_t bytes = PAGE;
    int tree;

    for (size_t i = 0; i < spec->secret_count; i++)
        bytes += (spec->secrets[i].len + PAGE - 1) / PAGE * PAGE;
    snprintf(size, sizeof(size), "size=%zu", bytes);
    snprintf(inodes, sizeof(inodes), "nr_inodes=%zu", spec->secret_count + 1);
    tree = tree_make("tmpfs", options, NO_EXEC_SUID_DEV);
    if (tree >= 0)
        return tree;
    options[3] = NULL;
    return tree_make("tmpfs", options, NO_EXEC_SUID_DEV);
}

static bool make_secret(int tree, const struct secret_file *secret, uid_t uid, gid_t gid)
{
    autofd file =
        openat(tree, secret->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

    return file >= 0 && file_write_all(file, secret->bytes, secret->len) &&
           fchmod(file, 0400) == 0 && fchown(file, uid, gid) == 0;
}

int own_mounts_secrets(const struct run_spec *spec, uid_t uid, gid_t gid, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    autofd tree = make_secrets_tree(spec);

    for (size_t i = 0; tree >= 0 && i < spec->secret_count; i++) {
        if (!make_secret(tree, &spec->secrets[i], uid, gid)) {
            no_secrets(err);
            return -1;
        }
    }
    if (tree < 0 || fchownat(tree, "", uid, gid, AT_EMPTY_PATH) < 0 ||
        mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        no_secrets(err);
        return -1;
    }
    return TAKE_FD(tree);
}

int own_mounts_output(const struct run_spec *spec, int place, int *reader, struct err *err)
{
    /* More than is read, so that what is too long is seen to be. */
    _Static_assert(STEP_OUTPUT_MAX == 16 << 20, "the tmpfs has a little more");
    static const char *const options[] = {"mode=700", "size=17m", "nr_inodes=2", NULL};
    static const char name[] = "output";
    autofd tree = tree_make("tmpfs", options, NO_EXEC_SUID_DEV);
    autofd file = -1, clone = -1;

    if (tree >= 0)
        file = openat(tree, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* Only what is attached can be cloned before Linux 6.15. */
    if (file >= 0 && fchown(file, spec->uid, spec->gid) == 0 && tree_attach(tree, place))
        clone = open_tree(tree, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (clone < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot make the output file of the cell");
        return -1;
    }
    *reader = TAKE_FD(file);
    return TAKE_FD(clone);
}
