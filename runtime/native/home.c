#include "runtime/native/home.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/path.h"
#include "mounts/tree.h"

static bool is_same(const struct stat *a, int dir)
{
    struct stat b;

    return fstat(dir, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

static bool is_writable_by(const struct run_spec *spec, int root, int dir)
{
    struct statvfs fs;
    struct stat st;
    mode_t bits;

    if (fstat(dir, &st) < 0 || fstatvfs(dir, &fs) < 0 || (fs.f_flag & ST_RDONLY))
        return false;
    /*
     * "/" in passwd stands for no home at all. With a single id everything is the step's user's,
     * and it would get what it does not get with more. A root that is read-only is nobody's home.
     */
    if (is_same(&st, root))
        return spec->uid == 0 && !spec->read_only;
    if (spec->uid == 0)
        return true;
    if (st.st_uid == spec->uid)
        bits = st.st_mode >> 6;
    else
        bits = st.st_gid == spec->gid ? st.st_mode >> 3 : st.st_mode;
    return (bits & 03) == 03;
}

/*
 * In a root that becomes read-only a home is where homes are: else an image would make its /etc or
 * its /usr writable, by a name or by a link.
 */
static bool is_usual(int root, int dir)
{
    static const char *const places[] = {"home", "var", "run/stepcell"};
    autofd roots = path_open_in_nofollow(root, "root", O_PATH | O_DIRECTORY, 0);
    struct stat st;

    if (roots >= 0 && fstat(roots, &st) == 0 && is_same(&st, dir))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        autofd place = path_open_in_nofollow(root, places[i], O_PATH | O_DIRECTORY, 0);

        if (place >= 0 && fstat(place, &st) == 0 && !is_same(&st, dir) &&
            path_is_within(dir, place, PATH_MAX / 2))
            return true;
    }
    return false;
}

/*
 * The directory exists, or is made, and the step's user can write to it. It lies in the root
 * itself: whoever got what the engine mounted there as a home, would have it without its masks.
 */
static bool try_home(const struct run_spec *spec, int root, const char *home)
{
    autofd dir = path_open_in(root, home, O_PATH | O_DIRECTORY, 0);

    if (dir < 0) {
        if (errno != ENOENT)
            return false;
        dir = path_make_dirs_in(root, home, 0755);
        if (dir < 0 ||
            fchownat(dir, "", spec->uid, spec->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
            return false;
    }
    return tree_is_of_mount(root, dir) && is_writable_by(spec, root, dir) &&
           (!spec->read_only || is_usual(root, dir));
}

/* What an image says may be anything; what passwd cannot say is no home. */
static bool is_path(const char *home)
{
    return home && home[0] == '/' && !home[strcspn(home, ":\n")];
}

static bool is_covered(const struct run_spec *spec, const char *home)
{
    autofree char *clean = path_clean("/", home);

    for (size_t i = 0; clean && i < spec->plan->count; i++) {
        if (path_is_below(clean, spec->plan->mounts[i].target))
            return true;
    }
    return false;
}

static int open_passwd(int root)
{
    struct stat st;
    autofd file = path_open_in(root, "etc/passwd", O_RDWR | O_APPEND | O_NONBLOCK | O_NOCTTY, 0);

    if (file < 0 && errno == ENOENT)
        file = path_open_in_nofollow(root, "etc/passwd",
                                     O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NONBLOCK, 0644);
    if (file < 0 || fstat(file, &st) < 0)
        return -1;
    /* Only a file of the cell's own root: a link may lead to a device, or into /proc. */
    if (!S_ISREG(st.st_mode) || !tree_is_of_mount(root, file)) {
        errno = EISDIR;
        return -1;
    }
    return TAKE_FD(file);
}

/* Whether the image has something in the place of passwd that is no file to write to. */
static bool is_refused(int number)
{
    static const int numbers[] = {ELOOP, EISDIR, ENOTDIR, EEXIST, ENXIO, EACCES, EPERM, EROFS};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (number == numbers[i])
            return true;
    }
    return false;
}

/*
 * Appends a line for a user that the image does not know. An image that has something else than a
 * file there, or nothing at the end of a link, keeps it (CVE-2024-9676).
 */
static bool add_passwd_line(const struct run_spec *spec, int root, const char *home)
{
    const char *name = spec->uid == 0 ? "root" : "step";
    autofree char *line =
        text_printf("%s:x:%u:%u:%s:%s:/bin/sh\n", name, spec->uid, spec->gid, name, home);
    autofd etc = path_make_dirs_in(root, "etc", 0755);
    autofd file = -1;
    struct stat st;

    if (!line || etc < 0)
        return line && (errno == ENOENT || is_refused(errno));
    file = open_passwd(root);
    if (file < 0 || fstat(file, &st) < 0)
        return is_refused(errno);
    if (st.st_size > 0) {
        char last;

        if (pread(file, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(file, "\n", 1) != 1)
            return false;
    }
    return write(file, line, strlen(line)) == (ssize_t)strlen(line);
}

/* The first that can be had. */
static const char *find_home(const struct run_spec *spec, int root)
{
    const char *const homes[] = {spec->home, HOME_FALLBACK, "/run/stepcell/home"};

    for (size_t i = 0; i < ARRAY_SIZE(homes); i++) {
        if (is_path(homes[i]) && !is_covered(spec, homes[i]) && try_home(spec, root, homes[i]))
            return homes[i];
    }
    return NULL;
}

/*
 * In a root that becomes read-only the home is a mount of its own, of the same directory, which
 * does not: what the image has there is still to be seen.
 */
static bool keep_writable(int root, const char *home, struct err *err)
{
    autofd dir = path_open_in(root, home, O_PATH | O_DIRECTORY, 0);
    autofd tree = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    return (tree >= 0 && tree_attach(tree, dir)) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot keep the home '%s' of the cell writable",
                     home);
}

bool home_prepare(const struct run_spec *spec, int root, struct home *home, struct err *err)
{
    struct home made = {0};

    if (spec->home) {
        if (is_path(spec->home) && is_covered(spec, spec->home))
            made.wanted = spec->home;
        made.ready = find_home(spec, root);
        if (!made.ready) {
            err_set(err, ERR_ENGINE_FAILED,
                    "there is no place for a home of user %u in the cell: the image has something "
                    "else at '%s'",
                    spec->uid, HOME_FALLBACK);
            return err_hint(err, "name a directory that the user can write to: --env HOME=DIR");
        }
    }
    if (!spec->user_listed && !add_passwd_line(spec, root,
                                               made.wanted  ? made.wanted
                                               : made.ready ? made.ready
                                                            : HOME_FALLBACK))
        return err_errno(err, ERR_ENGINE_FAILED,
                         "cannot add the user to '/etc/passwd' of the cell");
    if (spec->read_only && made.ready && !keep_writable(root, made.ready, err))
        return false;
    *home = made;
    return true;
}

const char *home_choose(const struct run_spec *spec, int root, const struct home *home)
{
    autofd dir = home->wanted ? path_open_in(root, home->wanted, O_PATH | O_DIRECTORY, 0) : -1;

    return dir >= 0 && is_writable_by(spec, root, dir) ? home->wanted : home->ready;
}
