#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"

#define READ_CHUNK   65536
#define TEMPORARY    ".tmp" /* and eight hexadecimal digits behind a name */
#define REMOVE_DEPTH 64     /* levels of a tree that are open at once */

bool file_read_fd(int fd, const char *what, struct buf *buf, enum err_code code, struct err *err)
{
    size_t before = buf->len;

    for (;;) {
        char chunk[READ_CHUNK];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, code, "cannot read '%s'", what);
        if (n == 0)
            break;
        if (!buf_append(buf, chunk, (size_t)n))
            return err_set(err, code, "'%s' is larger than the limit of %zu bytes", what,
                           buf->max - before);
    }
    /* An empty file is an empty string. */
    return buf_append(buf, "", 0);
}

/* What was opened, or -1 with errno, unless it is no regular file. */
static int take_regular(int opened, const char *path, enum err_code code, struct err *err)
{
    autofd fd = opened;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        err_errno(err, code, "cannot read '%s'", path);
    else if (!S_ISREG(st.st_mode))
        err_set(err, code, "'%s' is not a regular file", path);
    else
        return TAKE_FD(fd);
    return -1;
}

int file_open(int dirfd, const char *path, enum err_code code, struct err *err)
{
    return take_regular(openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), path,
                        code, err);
}

int file_open_real(const char *path, enum err_code code, struct err *err)
{
    autofd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = root < 0 ? -1 : path_open_in_nofollow(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

    return take_regular(fd, path, code, err);
}

int file_open_own(int dirfd, const char *name, int mode)
{
    autofd fd = openat(dirfd, name, mode | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return TAKE_FD(fd);
    if (fd >= 0 || errno == ELOOP || errno == EACCES || errno == ENXIO)
        errno = ENOENT;
    return -1;
}

bool file_is_own_dir(int dirfd, const char *name)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return false;
    errno = S_ISDIR(st.st_mode) ? EPERM : ENOTDIR;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
}

int file_open_own_dir(int dirfd, const char *name)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && file_is_own_dir(fd, "") ? TAKE_FD(fd) : -1;
}

bool file_read(int dirfd, const char *path, struct buf *buf, enum err_code code, struct err *err)
{
    autofd fd = file_open(dirfd, path, code, err);

    return fd >= 0 && file_read_fd(fd, path, buf, code, err);
}

size_t file_write(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, p + done, len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    return done;
}

bool file_write_all(int fd, const void *bytes, size_t len)
{
    return file_write(fd, bytes, len) == len;
}

/* Where the last whole line ends, or -1. */
static off_t end_of_lines(int fd, off_t size)
{
    char chunk[READ_CHUNK];

    while (size > 0) {
        off_t start = size > READ_CHUNK ? size - READ_CHUNK : 0;
        ssize_t n = pread(fd, chunk, (size_t)(size - start), start);
        const char *end = n > 0 ? memrchr(chunk, '\n', (size_t)n) : NULL;

        if (n <= 0)
            return -1;
        if (end)
            return start + (end - chunk) + 1;
        size = start;
    }
    return 0;
}

bool file_cut_line(int fd)
{
    struct stat st;
    off_t end;

    if (fstat(fd, &st) < 0)
        return false;
    end = end_of_lines(fd, st.st_size);
    return end >= 0 && (end == st.st_size || ftruncate(fd, end) == 0);
}

int file_create_beside(int dirfd, const char *path, mode_t mode, char **temporary)
{
    unsigned int random = 0;
    autofree char *name = NULL;
    int fd;

    if (getrandom(&random, sizeof(random), 0) < 0)
        return -1;
    name = text_printf("%s" TEMPORARY "%08x", path, random);
    if (!name)
        return -1;
    fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0)
        *temporary = TAKE_PTR(name);
    return fd;
}

bool file_is_temporary(const char *name)
{
    size_t len = strlen(name), digits = 8, suffix = strlen(TEMPORARY) + digits;

    return len > suffix && strncmp(name + len - suffix, TEMPORARY, strlen(TEMPORARY)) == 0 &&
           strspn(name + len - digits, "0123456789abcdef") == digits;
}

bool file_replace(int dirfd, const char *path, const void *bytes, size_t len, mode_t mode,
                  enum err_code code, struct err *err)
{
    autofree char *temporary = NULL;
    autofd fd = file_create_beside(dirfd, path, mode, &temporary);
    int saved;

    if (fd < 0)
        return err_errno(err, code, "cannot write '%s'", path);
    if (file_write_all(fd, bytes, len) && fdatasync(fd) == 0 &&
        renameat(dirfd, temporary, dirfd, path) == 0)
        return true;
    saved = errno;
    unlinkat(dirfd, temporary, 0);
    errno = saved;
    return err_errno(err, code, "cannot write '%s'", path);
}

struct timespec file_birth(int fd)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &st) < 0 ||
        !(st.stx_mask & STATX_BTIME))
        return (struct timespec){0};
    return (struct timespec){.tv_sec = st.stx_btime.tv_sec, .tv_nsec = st.stx_btime.tv_nsec};
}

bool file_make_dirs(const char *path, mode_t mode, enum err_code code, struct err *err)
{
    autofree char *part = strdup(path);

    if (!part)
        return err_errno(err, code, "cannot create '%s'", path);
    for (char *p = part + 1; *part; p++) {
        if (*p && *p != '/')
            continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return err_errno(err, code, "cannot create the directory '%s'", part);
        *p = saved;
        if (!saved)
            break;
    }
    return true;
}

bool file_each_entry(int dirfd, const char *name,
                     bool (*each)(void *data, int dirfd, const char *name), void *data)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autodir *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        close_fd(fd);
        return false;
    }
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!each(data, fd, entry->d_name))
            return false;
    }
    return true;
}

/* A tree that is being removed: what lies too deep is moved up to `top` and removed from there. */
struct removal {
    struct file_budget *budget;
    int top;
    unsigned int moved;
    int depth;
    bool ok;
};

static bool remove_entry(void *data, int dirfd, const char *name);

static bool move_up(struct removal *removal, int dirfd, const char *name)
{
    char deep[32];

    do
        snprintf(deep, sizeof(deep), ".deep%u", ++removal->moved);
    while (renameat2(dirfd, name, removal->top, deep, RENAME_NOREPLACE) < 0 && errno == EEXIST);
    return faccessat(removal->top, deep, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 0: gone; 1: a directory with something in it; -1: neither, with errno. */
static int remove_plain(int dirfd, const char *name)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? 1 : -1;
}

/* overlayfs leaves work/work with mode 000, and a script may leave any mode. */
static void make_readable(int dirfd, const char *name)
{
    struct stat st;

    /* Another user may put a link in its place meanwhile. */
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & 0700) != 0700)
        (void)!fchmodat(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW);
}

/* Goes on after a failure: as much as possible is removed. */
static bool remove_entry(void *data, int dirfd, const char *name)
{
    struct removal *removal = data;
    int state;

    if (!file_budget_take(removal->budget)) {
        removal->ok = false;
        return false;
    }
    state = remove_plain(dirfd, name);
    if (state > 0 && removal->depth >= REMOVE_DEPTH) {
        state = move_up(removal, dirfd, name) ? 0 : -1;
    } else if (state > 0) {
        make_readable(dirfd, name);
        removal->depth++;
        state =
            file_each_entry(dirfd, name, remove_entry, removal) ? remove_plain(dirfd, name) : -1;
        removal->depth--;
    }
    if (state != 0)
        removal->ok = false;
    return true;
}

bool file_budget_take(struct file_budget *budget)
{
    if (budget->used < budget->max) {
        budget->used++;
        return true;
    }
    errno = EDQUOT;
    return false;
}

bool file_budget_is_spent(const struct file_budget *budget)
{
    return budget->used >= budget->max;
}

void file_budget_drop(struct file_budget *budget)
{
    if (budget->max != UINT64_MAX)
        budget->max = budget->used;
}

bool file_remove_tree(int dirfd, const char *name)
{
    struct file_budget budget = {.max = UINT64_MAX};

    return file_remove_within(dirfd, name, &budget);
}

bool file_remove_within(int dirfd, const char *name, struct file_budget *budget)
{
    int state = remove_plain(dirfd, name);
    autofd top = -1;

    if (state <= 0)
        return state == 0;
    make_readable(dirfd, name);
    top = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return false;
    for (;;) {
        struct removal removal = {.budget = budget, .top = top, .ok = true};

        if (!file_each_entry(top, ".", remove_entry, &removal) || !removal.ok)
            return false;
        if (!removal.moved)
            return remove_plain(dirfd, name) == 0;
    }
}
