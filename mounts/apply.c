#include "mounts/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/path.h"
#include "mounts/mount_rules.h"
#include "mounts/overlay.h"
#include "mounts/tree.h"

struct apply {
    const struct mount_plan *plan;
    int root;
    const struct apply_scratch *scratch;
    dev_t own[MOUNT_PLAN_MAX + 2]; /* devices of the file systems that belong to the cell */
    size_t own_count;
};

static bool is_own(const struct apply *apply, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    for (size_t i = 0; i < apply->own_count; i++) {
        if (apply->own[i] == st.st_dev)
            return true;
    }
    return false;
}

static bool add_own(struct apply *apply, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    apply->own[apply->own_count++] = st.st_dev;
    return true;
}

static bool target_missing(const struct mount *mount, struct err *err)
{
    if (mount->kind == MOUNT_OWN) {
        err_set(err, ERR_MOUNT_CONFLICT,
                "the cell needs a place at '%s', which a mounted directory of the host covers",
                mount->target);
        return err_hint(err, "choose a target that does not cover it");
    }
    err_set(
        err, ERR_MOUNT_CONFLICT,
        "the mount target '%s' lies in a mounted directory of the host, which has nothing there",
        mount->target);
    return err_hint(err, "create it on the host first, or choose a target outside");
}

static bool target_failed(const struct mount *mount, struct err *err)
{
    if (errno == EACCES) {
        err_errno(err, ERR_MOUNT_DENIED, "'%s' cannot be reached in the cell", mount->target);
        return err_hint(err,
                        "it or a directory above it lets only its owner in; a FUSE file system "
                        "lets in only who mounted it, unless that was with allow_other");
    }
    err_errno(err, ERR_MOUNT_CONFLICT, "cannot mount on '%s'", mount->target);
    return err_hint(err, "the image or another mount has something else at that path");
}

/* Creates the missing directories above and, for a directory, at the target. */
static bool make_target(struct apply *apply, const struct mount *mount, struct err *err)
{
    autofree char *path = strdup(mount->target);
    bool directory = mount_is_dir(mount);
    autofd above = path_open_in(apply->root, "/", O_PATH | O_DIRECTORY, 0);

    if (!path || above < 0)
        return target_failed(mount, err);
    for (char *p = path; *p;) {
        char *name = p + 1, saved;
        bool last, made;
        int next;

        p = strchrnul(name, '/');
        saved = *p;
        *p = '\0';
        last = saved == '\0';
        next = path_open_in(apply->root, path, O_PATH, 0);
        if (next < 0 && errno == ENOENT) {
            if (!is_own(apply, above))
                return target_missing(mount, err);
            made = last && !directory ? mknodat(above, name, S_IFREG | 0644, 0) == 0
                                      : mkdirat(above, name, 0755) == 0;
            if (made)
                next = path_open_in(apply->root, path, O_PATH, 0);
        }
        if (next < 0)
            return target_failed(mount, err);
        *p = saved;
        close_fd(above);
        above = next;
    }
    return true;
}

/*
 * A symbolic link of the image may lead to another place than the plan was checked for: the rules
 * hold for that place too (CVE-2019-16884).
 */
static bool check_place(const struct apply *apply, const struct mount *mount, int target,
                        struct err *err)
{
    char place[PATH_MAX];

    if (!path_of_fd(apply->root, target, place))
        return target_failed(mount, err);
    return mount_rules_check_target(place, mount->role, err) ||
           err_context(err, "the image has a symbolic link at '%s'", mount->target);
}

/* The same for what is covered, or lies above it: no other directory may be there by now. */
static int open_covered(const struct apply *apply, const struct mount *mount, struct err *err)
{
    autofd target = path_open_in(apply->root, mount->target, O_PATH | O_DIRECTORY, 0);
    struct stat st;

    if (target < 0 && errno == EACCES) {
        err_errno(err, ERR_MOUNT_DENIED,
                  "a mount holds the store of stepcell, and the cell cannot cover '%s'",
                  mount->target);
        err_hint(err, "name a store outside of what is mounted with --store or STEPCELL_STORE");
        return -1;
    }
    if (target < 0 || fstat(target, &st) < 0 ||
        (mount->source.ino && (st.st_dev != mount->source.dev || st.st_ino != mount->source.ino))) {
        err_set(err, ERR_MOUNT_CONFLICT, "'%s' was replaced while the step was prepared",
                mount->target);
        return -1;
    }
    return check_place(apply, mount, target, err) ? TAKE_FD(target) : -1;
}

/* The descriptor on which the mount is attached, -1 with err. */
static int open_target(struct apply *apply, const struct mount *mount, struct err *err)
{
    bool directory = mount_is_dir(mount);
    autofd target = -1;
    struct stat st;

    if (mount->role == MOUNT_COVER)
        return open_covered(apply, mount, err);
    target = path_open_in(apply->root, mount->target, O_PATH, 0);
    if (target < 0 && errno == ENOENT) {
        if (mount->in_bind) {
            target_missing(mount, err);
            return -1;
        }
        if (!make_target(apply, mount, err))
            return -1;
        target = path_open_in(apply->root, mount->target, O_PATH, 0);
    }
    if (target < 0 || fstat(target, &st) < 0) {
        target_failed(mount, err);
        return -1;
    }
    if (directory != S_ISDIR(st.st_mode)) {
        errno = directory ? ENOTDIR : EISDIR;
        target_failed(mount, err);
        return -1;
    }
    if (!check_place(apply, mount, target, err))
        return -1;
    return TAKE_FD(target);
}

static bool same_mount(int a, int b)
{
    struct statx one, other;

    return statx(a, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &one) == 0 &&
           statx(b, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &other) == 0 &&
           one.stx_mnt_id == other.stx_mnt_id && one.stx_ino == other.stx_ino;
}

static bool attach_alias(struct apply *apply, const struct mount *mount, struct err *err)
{
    autofd known = path_open_in(apply->root, mount->alias_of, O_PATH, 0);
    autofd there = path_open_in(apply->root, mount->target, O_PATH, 0);
    autofd target = -1, tree = -1;

    /* A symbolic link of the image or of a mount may lead there already. */
    if (known >= 0 && there >= 0 && same_mount(known, there))
        return true;
    target = open_target(apply, mount, err);
    if (target < 0)
        return false;
    tree = open_tree(known, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    if (tree < 0 || !tree_attach(tree, target))
        return target_failed(mount, err);
    return true;
}

/* With all that is mounted below, as the mount around it shows it. */
static bool attach_pin(struct apply *apply, const struct mount *mount, struct err *err)
{
    autofd target = open_target(apply, mount, err), tree = -1;

    if (target < 0)
        return false;
    tree =
        open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    return (tree >= 0 && tree_attach(tree, target)) || target_failed(mount, err);
}

static bool attach_tmpfs(struct apply *apply, const struct mount *mount, struct err *err)
{
    char size[40], mode[16];
    const char *options[] = {mode, mount->tmpfs_size ? size : NULL, NULL};
    autofd target = open_target(apply, mount, err);
    autofd tree = -1;

    if (target < 0)
        return false;
    snprintf(size, sizeof(size), "size=%llu", (unsigned long long)mount->tmpfs_size);
    snprintf(mode, sizeof(mode), "mode=%o", mount->tmpfs_mode);
    tree =
        tree_make("tmpfs", options,
                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (mount->readonly ? MOUNT_ATTR_RDONLY : 0) |
                      (mount->tmpfs_noexec ? MOUNT_ATTR_NOEXEC : 0));
    if (tree < 0 || !tree_attach(tree, target) || !add_own(apply, tree))
        return target_failed(mount, err);
    return true;
}

/* An empty upper directory that looks like the directory that it covers. */
static bool make_upper(int dir, const char *name, int lower, int *upper)
{
    struct stat st;

    if (fstat(lower, &st) < 0 || mkdirat(dir, name, 0700) < 0)
        return false;
    *upper = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*upper < 0)
        return false;
    /* An owner without an id in the cell cannot be given to anything in it. */
    if (fchown(*upper, st.st_uid, st.st_gid) < 0 && errno != EINVAL && errno != EPERM)
        return false;
    return fchmod(*upper, st.st_mode & 07777) == 0;
}

/* cowN/{upper,work,root} in the scratch, for mount N of the plan. */
static bool attach_cow(struct apply *apply, const struct mount *mount, int tree, struct err *err)
{
    size_t index = (size_t)(mount - apply->plan->mounts);
    autofree char *mountpoint = text_printf("%s/cow%zu/root", apply->scratch->path, index);
    autofd dir = -1, upper = -1, work = -1, overlay = -1, target = -1;
    char name[32];
    bool attached;

    snprintf(name, sizeof(name), "cow%zu", index);
    if (!mountpoint || mkdirat(apply->scratch->dir, name, 0700) < 0)
        return target_failed(mount, err);
    dir = openat(apply->scratch->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!make_upper(dir, "upper", tree, &upper) || mkdirat(dir, "work", 0700) < 0)
        return target_failed(mount, err);
    work = openat(dir, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* Attached first: overlayfs takes no layer from outside the mount namespace before Linux 6.15.
     */
    target = open_target(apply, mount, err);
    if (target < 0)
        return false;
    if (!tree_attach(tree, target))
        return target_failed(mount, err);
    overlay = overlay_mount(&tree, 1, -1, upper, work, mountpoint, &attached, err);
    if (overlay < 0)
        return err_context(err, "cannot make '%s' writable in the cell", mount->target);
    if (!tree_attach(overlay, tree) || !add_own(apply, overlay))
        return target_failed(mount, err);
    return true;
}

static bool attach(struct apply *apply, size_t i, int tree, struct err *err)
{
    const struct mount *mount = &apply->plan->mounts[i];
    autofd target = -1;

    if (mount->alias_of)
        return attach_alias(apply, mount, err);
    if (mount->kind == MOUNT_TMPFS)
        return attach_tmpfs(apply, mount, err);
    if (mount->kind == MOUNT_PIN)
        return attach_pin(apply, mount, err);
    if (mount->kind == MOUNT_COW)
        return attach_cow(apply, mount, tree, err);
    target = open_target(apply, mount, err);
    if (target < 0)
        return false;
    if (!tree_attach(tree, target))
        return target_failed(mount, err);
    return true;
}

bool apply_plan(const struct mount_plan *plan, const int *trees, int root,
                const struct apply_scratch *scratch, struct err *err)
{
    struct apply apply = {.plan = plan, .root = root, .scratch = scratch};

    autofd dev = path_open_in_nofollow(root, "dev", O_PATH | O_DIRECTORY, 0);

    if (dev < 0 || !add_own(&apply, root) || !add_own(&apply, dev))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot look at the root of the cell");
    for (size_t i = 0; i < plan->count; i++) {
        if (!attach(&apply, i, trees[i], err))
            return false;
    }
    return true;
}

/* What has to be found there: on the host, or for what the engine made its own descriptor. */
static bool expected(const struct mount *mount, int tree, struct stat *st)
{
    if (mount->kind == MOUNT_OWN)
        return fstat(tree, st) == 0;
    st->st_dev = mount->source.dev;
    st->st_ino = mount->source.ino;
    return true;
}

bool apply_prove(const struct mount_plan *plan, const int *trees, int root, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];
        autofd fd = -1;
        struct stat st, wanted;

        if (mount->kind != MOUNT_BIND && mount->kind != MOUNT_PIN && mount->kind != MOUNT_OWN)
            continue;
        fd = path_open_in(root, mount->target, O_PATH, 0);
        if (fd < 0 || fstat(fd, &st) < 0 || !expected(mount, trees[i], &wanted))
            return target_failed(mount, err);
        if (st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino) {
            err_set(err, ERR_MOUNT_CONFLICT, "'%s' in the cell is not what %s", mount->target,
                    mount->kind == MOUNT_OWN ? "was put there" : "it is on the host");
            return err_hint(err, "another mount or a symbolic link of the image covers it");
        }
    }
    return true;
}
