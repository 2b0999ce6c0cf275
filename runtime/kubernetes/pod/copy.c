#include "runtime/kubernetes/pod/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CHUNK     65536
#define DEPTH_MAX 160 /* directories, which is more than are shipped */

static bool failed(struct err *err, const char *name)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot copy '%s', which was shipped", name);
}

bool copy_bytes(int from, int to)
{
    static char chunk[CHUNK];
    ssize_t n;

    while ((n = read(from, chunk, sizeof(chunk))) > 0) {
        for (ssize_t done = 0, wrote; done < n; done += wrote) {
            wrote = write(to, chunk + done, (size_t)(n - done));
            if (wrote <= 0)
                return false;
        }
    }
    return n == 0;
}

static void keep_time(int dir, const char *name, const struct stat *st)
{
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};

    (void)!utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static bool copy_file(int from, int to, const char *name, const struct stat *st, struct err *err)
{
    autofd source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    autofd target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return (source >= 0 && target >= 0 && copy_bytes(source, target) &&
            fchmod(target, st->st_mode & 0777) == 0) ||
           failed(err, name);
}

static bool copy_link(int from, int to, const char *name, struct err *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(from, name, target, sizeof(target) - 1);

    if (len < 0)
        return failed(err, name);
    target[len] = '\0';
    return symlinkat(target, to, name) == 0 || failed(err, name);
}

static bool copy_directory(int from, int to, const char *name, const struct stat *st, int depth,
                           struct err *err);

static bool copy_one(int from, int to, const char *name, int depth, struct err *err)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return failed(err, name);
    if (S_ISDIR(st.st_mode)   ? !copy_directory(from, to, name, &st, depth, err)
        : S_ISLNK(st.st_mode) ? !copy_link(from, to, name, err)
                              : !copy_file(from, to, name, &st, err))
        return false;
    keep_time(to, name, &st);
    return true;
}

static bool copy_directory(int from, int to, const char *name, const struct stat *st, int depth,
                           struct err *err)
{
    autofd target = -1;

    if (depth == DEPTH_MAX) {
        errno = ELOOP;
        return failed(err, name);
    }
    if (mkdirat(to, name, 0700) < 0)
        return failed(err, name);
    target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return failed(err, name);
    return copy_entries(from, name, target, depth + 1, err) &&
           (fchmod(target, st->st_mode & 0777) == 0 || failed(err, name));
}

bool copy_entries(int from, const char *name, int to, int depth, struct err *err)
{
    int fd = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autodir *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return failed(err, name);
    while ((errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !copy_one(dirfd(dir), to, entry->d_name, depth, err))
            return false;
    }
    return errno == 0 || failed(err, name);
}
