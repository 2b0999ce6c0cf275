#include "base/path.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

#define LINKS_MAX     40 /* on the way of a path, as the kernel has it */
#define OPENAT2_TRIES 32 /* openat2 gives EAGAIN when a rename races with ".."  */

char *path_clean(const char *base, const char *path)
{
    autofree char *joined = *path == '/' ? strdup(path) : text_printf("%s/%s", base, path);
    char *out, *in, *end;

    if (!joined)
        return NULL;
    out = in = joined;
    while (*in) {
        while (*in == '/')
            in++;
        if (!*in)
            break;
        end = strchrnul(in, '/');
        if (end - in == 2 && in[0] == '.' && in[1] == '.')
            return NULL;
        if (end - in != 1 || in[0] != '.') {
            *out++ = '/';
            memmove(out, in, (size_t)(end - in));
            out += end - in;
        }
        in = end;
    }
    if (out == joined)
        *out++ = '/';
    *out = '\0';
    return TAKE_PTR(joined);
}

char *path_absolute(const char *base, const char *path)
{
    char *clean = path_clean(base, path);

    if (clean)
        return clean;
    return *path == '/' ? strdup(path) : text_printf("%s/%s", base, path);
}

bool path_is_below(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);

    if (len == 1)
        return true;
    return strncmp(path, prefix, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

int path_compare(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    if (*a == *b)
        return 0;
    /* The end of a path sorts first, then the end of a component. */
    if (!*a || !*b)
        return *a ? 1 : -1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int open_how(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = resolve | RESOLVE_NO_MAGICLINKS,
    };
    int fd = -1;

    for (int i = 0; i < OPENAT2_TRIES; i++) {
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd;
}

int path_open_in(int rootfd, const char *path, int flags, mode_t mode)
{
    return open_how(rootfd, path, flags, mode, RESOLVE_IN_ROOT);
}

int path_open_in_nofollow(int rootfd, const char *path, int flags, mode_t mode)
{
    return open_how(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

int path_open_unmounted(int dirfd, const char *name)
{
    return open_how(dirfd, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_XDEV);
}

/* "." and ".." behind `done` bytes that lead through no link: *done is less behind "..". */
static bool take_dots(char *way, size_t *done, const char *name, size_t len)
{
    if (len > 2 || strncmp(name, "..", len) != 0)
        return false;
    while (len == 2 && *done > 0 && way[--*done] != '/')
        ;
    memmove(way + *done, name + len, strlen(name + len) + 1);
    return true;
}

char *path_resolve(const char *path, struct strv *links)
{
    autofree char *way = strdup(path);
    size_t done = 0; /* bytes of it that lead through no link */
    int left = LINKS_MAX;

    while (way && way[0] == '/' && way[done]) {
        char *name = way + done + strspn(way + done, "/"), words[PATH_MAX];
        size_t len = strcspn(name, "/");
        autofree char *place = text_printf("%.*s/%.*s", (int)done, way, (int)len, name);
        ssize_t n;

        if (!place)
            return NULL;
        if (take_dots(way, &done, name, len))
            continue;
        n = readlink(place, words, sizeof(words));
        if (n < 0 && errno == EINVAL) {
            memmove(way + done + 1, name, strlen(name) + 1);
            done += 1 + len;
        } else if (n > 0 && n < PATH_MAX && left-- > 0) {
            char *next = text_printf("%.*s/%.*s%s", words[0] == '/' ? 0 : (int)done, way, (int)n,
                                     words, name + len);

            if (words[0] == '/')
                done = 0;
            free(way);
            way = next;
            if (links && !strv_add(links, place))
                return NULL;
        } else {
            /* It is not there, or nobody can tell where it leads. */
            return text_printf("%.*s/%s", (int)done, way, name);
        }
    }
    return way && !way[0] ? strdup("/") : TAKE_PTR(way);
}

bool path_of_open(int fd, char path[PATH_MAX])
{
    char link[32];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX);
    if (n <= 0 || n >= PATH_MAX)
        return false;
    path[n] = '\0';
    return path[0] == '/';
}

/* Also when nobody can tell. */
static bool is_shared(int dir, const struct strv *shared)
{
    char path[PATH_MAX];

    if (!path_of_open(dir, path))
        return true;
    for (size_t i = 0; i < shared->count; i++) {
        autofree char *place = realpath(shared->items[i], NULL);

        if (place && path_is_below(path, place))
            return true;
    }
    return false;
}

int path_open_parent(const char *path, const struct strv *shared, char **name)
{
    const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    autofree char *parts = strdup(path);
    char *rest = NULL, *part = parts ? strtok_r(parts, "/", &rest) : NULL, *next;
    autofd dir = open(*path == '/' ? "/" : ".", flags);

    while (dir >= 0 && part && (next = strtok_r(NULL, "/", &rest))) {
        int below = openat(dir, part, flags | (is_shared(dir, shared) ? O_NOFOLLOW : 0));

        close_fd(dir);
        dir = below;
        part = next;
    }
    if (dir < 0)
        return -1;
    *name = strdup(part ? part : ".");
    return *name ? TAKE_FD(dir) : -1;
}

bool path_of_fd(int rootfd, int fd, char path[PATH_MAX])
{
    char root[PATH_MAX];
    size_t len;

    if (!path_of_open(rootfd, root) || !path_of_open(fd, path) || !path_is_below(path, root))
        return false;
    len = root[1] ? strlen(root) : 0; /* "/" is the prefix of everything */
    if (path[len])
        memmove(path, path + len, strlen(path + len) + 1);
    else
        strcpy(path, "/");
    return true;
}

static bool make_dir_on(int rootfd, int dir, const char *name, mode_t mode)
{
    struct stat root, here;

    if (fstat(rootfd, &root) < 0 || fstat(dir, &here) < 0)
        return false;
    if (root.st_dev != here.st_dev) {
        errno = EXDEV;
        return false;
    }
    return mkdirat(dir, name, mode) == 0 || errno == EEXIST;
}

int path_make_dirs_in(int rootfd, const char *path, mode_t mode)
{
    autofree char *part = strdup(path);
    char *end = part;
    autofd dir = -1;

    if (!part)
        return -1;
    dir = path_open_in(rootfd, path, O_PATH | O_DIRECTORY, 0);
    if (dir >= 0 || errno != ENOENT)
        return TAKE_FD(dir);
    /* Opens each prefix from the root anew: its symbolic links resolve inside, and only the last
     * component of a prefix is ever created. */
    dir = path_open_in(rootfd, ".", O_PATH | O_DIRECTORY, 0);
    while (dir >= 0 && *end) {
        char *name = end + strspn(end, "/"), saved;
        int next;

        end = strchrnul(name, '/');
        if (end == name)
            break;
        saved = *end;
        *end = '\0';
        next = path_open_in(rootfd, part, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT && make_dir_on(rootfd, dir, name, mode))
            next = path_open_in(rootfd, part, O_PATH | O_DIRECTORY, 0);
        *end = saved;
        close_fd(dir);
        dir = next;
    }
    return TAKE_FD(dir);
}

bool path_is_within(int dir, int ancestor, uint64_t steps)
{
    autofd at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat above, here, below = {0};

    if (fstat(ancestor, &above) < 0)
        return false;
    /* What is above the top of a tree is the top. */
    while (at >= 0 && fstat(at, &here) == 0 &&
           (here.st_dev != below.st_dev || here.st_ino != below.st_ino)) {
        int up;

        if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
            return true;
        below = here;
        up = steps-- ? openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        close_fd(at);
        at = up;
    }
    return false;
}
