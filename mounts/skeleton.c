#include "mounts/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "mounts/tree.h"

struct skeleton {
    int view;
    int root; /* of the tmpfs, -1 until something is needed */
};

/* What every cell needs besides the plan: see root.c. */
static const struct {
    const char *path;
    mode_t mode;
} wanted[] = {
    {"/proc", S_IFDIR | 0755},
    {"/sys", S_IFDIR | 0755},
    {"/dev", S_IFDIR | 0755},
    {"/tmp", S_IFDIR | 01777},
    {"/etc/resolv.conf", S_IFREG | 0644},
    {"/etc/hosts", S_IFREG | 0644},
};

static bool need_root(struct skeleton *skeleton)
{
    static const char *const options[] = {"mode=755", "size=1m", NULL};
    struct stat st;

    if (skeleton->root >= 0)
        return true;
    skeleton->root = tree_make("tmpfs", options, 0);
    return skeleton->root >= 0 && fstat(skeleton->view, &st) == 0 &&
           fchownat(skeleton->root, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) == 0 &&
           fchmodat(skeleton->root, ".", st.st_mode & 07777, 0) == 0;
}

/* Repeats one directory of the image below `above`. */
static int repeat(int above, const char *name, const struct stat *st)
{
    int dir;

    if (mkdirat(above, name, 0700) < 0)
        return errno == EEXIST ? openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                               : -1;
    if (fchownat(above, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(above, name, st->st_mode & 07777, 0) < 0)
        return -1;
    dir = openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir;
}

/* The directory of the skeleton that stands for the existing directory `path` of the image. */
static int repeat_path(const struct skeleton *skeleton, const char *path)
{
    autofree char *copy = strdup(path);
    int dir = openat(skeleton->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (char *p = copy; copy && dir >= 0 && *p;) {
        char *name = p + strspn(p, "/"), saved;
        autofd there = -1;
        struct stat st;
        int next;

        p = strchrnul(name, '/');
        if (p == name)
            break;
        saved = *p;
        *p = '\0';
        there = path_open_in_nofollow(skeleton->view, copy, O_PATH | O_DIRECTORY, 0);
        next = there >= 0 && fstat(there, &st) == 0 ? repeat(dir, name, &st) : -1;
        *p = saved;
        close_fd(dir);
        dir = next;
    }
    return copy ? dir : close_fd(dir);
}

/* Makes the missing components `rest` below the existing directory `above` of the image. */
static bool make_rest(struct skeleton *skeleton, int above, char *rest, mode_t mode)
{
    char name[PATH_MAX];
    autofd dir = -1;

    if (!path_of_fd(skeleton->view, above, name) || !need_root(skeleton))
        return false;
    dir = repeat_path(skeleton, name);
    for (char *part; dir >= 0 && (part = strsep(&rest, "/"));) {
        bool last = !rest;
        int next;

        if (!*part)
            continue;
        if (last && S_ISREG(mode))
            return mknodat(dir, part, mode, 0) == 0 || errno == EEXIST;
        if (mkdirat(dir, part, 0755) < 0 && errno != EEXIST)
            return false;
        if (last)
            return fchmodat(dir, part, mode & 07777, 0) == 0;
        next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close_fd(dir);
        dir = next;
    }
    return false;
}

/* Sees to it that `path` will be there. */
static bool want(struct skeleton *skeleton, const char *path, mode_t mode)
{
    autofree char *copy = NULL;
    autofd above = -1, there = path_open_in(skeleton->view, path, O_PATH, 0);

    if (there >= 0 || errno != ENOENT)
        return true; /* or something else is there: whoever mounts on it says so */
    copy = strdup(path);
    above = path_open_in(skeleton->view, "/", O_PATH | O_DIRECTORY, 0);
    for (char *p = copy; copy && above >= 0 && *p;) {
        char *name = p + 1, saved;
        int next;

        p = strchrnul(name, '/');
        saved = *p;
        *p = '\0';
        next = path_open_in(skeleton->view, copy, O_PATH | O_DIRECTORY, 0);
        *p = saved;
        if (next < 0)
            return make_rest(skeleton, above, name, mode);
        close_fd(above);
        above = next;
    }
    return false;
}

/* Whether the target lies in another mount of the plan, where the skeleton does not show. */
static bool is_covered(const struct mount_plan *plan, size_t i)
{
    for (size_t j = 0; j < plan->count; j++) {
        if (j != i && path_is_below(plan->mounts[i].target, plan->mounts[j].target))
            return true;
    }
    return false;
}

static bool fill(struct skeleton *skeleton, const struct mount_plan *plan)
{
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (!want(skeleton, wanted[i].path, wanted[i].mode))
            return false;
    }
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];
        mode_t mode = mount_is_dir(mount) ? S_IFDIR | 0755 : S_IFREG | 0644;

        if (!is_covered(plan, i) && !want(skeleton, mount->target, mode))
            return false;
    }
    return true;
}

int skeleton_make(int view, const struct mount_plan *plan)
{
    struct skeleton skeleton = {.view = view, .root = -1};

    if (view < 0 || !fill(&skeleton, plan))
        return close_fd(skeleton.root);
    return skeleton.root;
}
