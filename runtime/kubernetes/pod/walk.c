#include "runtime/kubernetes/pod/walk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/kubernetes/return_stream.h"

struct names {
    char **items;
    size_t count, room;
};

static void names_release(struct names *names)
{
    int saved = errno;

    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    errno = saved;
}

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        char **items = realloc(names->items, room * sizeof(*items));

        if (!items)
            return false;
        names->items = items;
        names->room = room;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count++];
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_names(int fd, struct names *names)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    autodir *dir = own < 0 ? NULL : fdopendir(own);
    const struct dirent *entry;

    if (!dir)
        return false;
    while ((errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !names_add(names, entry->d_name))
            return false;
    }
    if (errno)
        return false;
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), compare);
    return true;
}

int walk_open(int dir, const char *name, const struct stat *st, int flags)
{
    int all = flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(dir, name, all);

    if (fd >= 0 || errno != EACCES)
        return fd;
    if (fchmodat(dir, name, (st->st_mode & 07777) | 0700, 0) < 0)
        return -1;
    fd = openat(dir, name, all);
    (void)!fchmodat(dir, name, st->st_mode & 07777, 0);
    return fd;
}

bool walk_is_hidden(const struct walk *walk)
{
    for (char *const *name = walk->hidden; *name; name++) {
        if (strcmp(*name, walk->path) == 0)
            return true;
    }
    return false;
}

static bool walk_names(struct walk *walk, int fd, size_t depth);

/* `walk->path` is its path. */
static bool walk_one(struct walk *walk, int dir, const char *name, size_t depth)
{
    autofd fd = -1;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISREG(st.st_mode))
        return true;
    if (depth > RETURN_DEPTH_MAX) {
        errno = ELOOP;
        return false;
    }
    if (!walk->each(walk->data, walk, dir, name, &st))
        return false;
    if (!S_ISDIR(st.st_mode) || walk_is_hidden(walk))
        return true;
    fd = walk_open(dir, name, &st, O_DIRECTORY);
    return fd >= 0 && walk_names(walk, fd, depth + 1);
}

static bool walk_names(struct walk *walk, int fd, size_t depth)
{
    CLEANUP(names_release) struct names names = {0};
    size_t len = strlen(walk->path);

    if (!read_names(fd, &names))
        return false;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];

        if (len + strlen(name) + 2 > sizeof(walk->path)) {
            errno = ENAMETOOLONG;
            return false;
        }
        if (len > 0)
            walk->path[len] = '/';
        strcpy(walk->path + len + (len > 0), name);
        if (!walk_one(walk, fd, name, depth))
            return false;
        walk->path[len] = '\0';
    }
    return true;
}

bool walk_directory(struct walk *walk, const char *directory)
{
    autofd fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    walk->path[0] = '\0';
    return fd >= 0 && walk_names(walk, fd, 0);
}
