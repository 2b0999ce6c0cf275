#include "runtime/image/tree_compare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"

#define CHUNK     (256 << 10)
#define XATTR_MAX (64 << 10)

struct comparison {
    struct timespec since;
    struct buf path; /* of what is looked at */
    int depth;
    char a[CHUNK], b[CHUNK];
};

static void comparison_free(struct comparison **comparison)
{
    if (*comparison)
        buf_release(&(*comparison)->path);
    free(*comparison);
}

static ssize_t read_full(int fd, char *bytes, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;

    while (len < size && n != 0) {
        n = read(fd, bytes + len, size - len);
        if (n < 0 && errno != EINTR)
            return -1;
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

static bool same_content(struct comparison *comparison, int a, int b)
{
    ssize_t n, m;

    do {
        n = read_full(a, comparison->a, CHUNK);
        m = read_full(b, comparison->b, CHUNK);
        if (n < 0 || n != m || memcmp(comparison->a, comparison->b, (size_t)n) != 0)
            return false;
    } while (n > 0);
    return true;
}

/* All of a's attributes are b's, and b has no others. */
static bool same_xattrs(struct comparison *comparison, int a, int b)
{
    char names[XATTR_MAX], *value_a = comparison->a, *value_b = comparison->b;
    ssize_t len = flistxattr(a, names, sizeof(names));

    if (len < 0)
        return errno == ENOTSUP;
    if (flistxattr(b, NULL, 0) != len)
        return false;
    for (const char *name = names; name < names + len; name += strlen(name) + 1) {
        ssize_t n = fgetxattr(a, name, value_a, CHUNK);

        if (n < 0 || fgetxattr(b, name, value_b, CHUNK) != n ||
            memcmp(value_a, value_b, (size_t)n) != 0)
            return false;
    }
    return true;
}

static bool same_link(struct comparison *comparison, int a, int b, const char *name)
{
    ssize_t n = readlinkat(a, name, comparison->a, CHUNK);

    return n >= 0 && readlinkat(b, name, comparison->b, CHUNK) == n &&
           memcmp(comparison->a, comparison->b, (size_t)n) == 0;
}

static bool same_time(const struct comparison *comparison, const struct stat *a,
                      const struct stat *b)
{
    const struct timespec *x = &a->st_mtim, *y = &b->st_mtim, *since = &comparison->since;
    bool is_new =
        x->tv_sec > since->tv_sec || (x->tv_sec == since->tv_sec && x->tv_nsec >= since->tv_nsec);

    return (x->tv_sec == y->tv_sec && x->tv_nsec == y->tv_nsec) ||
           (is_new && (S_ISDIR(a->st_mode) || S_ISCHR(a->st_mode)));
}

static bool same_facts(const struct comparison *comparison, const struct stat *a,
                       const struct stat *b)
{
    if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
        a->st_rdev != b->st_rdev || !same_time(comparison, a, b))
        return false;
    return S_ISDIR(a->st_mode) || (a->st_size == b->st_size && a->st_nlink == b->st_nlink);
}

static size_t count_entries(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir *dir = copy >= 0 ? fdopendir(copy) : NULL;
    size_t count = 0;

    while (dir && readdir(dir))
        count++;
    return count;
}

static bool same_directory(struct comparison *comparison, int a, int b);

static bool same_entry(struct comparison *comparison, int a, int b, const char *name)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat st_a, st_b;
    autofd fd_a = -1, fd_b = -1;

    if (fstatat(a, name, &st_a, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(b, name, &st_b, AT_SYMLINK_NOFOLLOW) < 0 || !same_facts(comparison, &st_a, &st_b))
        return false;
    if (S_ISLNK(st_a.st_mode))
        return same_link(comparison, a, b, name);
    if (!S_ISREG(st_a.st_mode) && !S_ISDIR(st_a.st_mode))
        return true;
    fd_a = openat(a, name, flags);
    fd_b = openat(b, name, flags);
    if (fd_a < 0 || fd_b < 0)
        return false;
    if (S_ISDIR(st_a.st_mode))
        return same_directory(comparison, fd_a, fd_b);
    return same_xattrs(comparison, fd_a, fd_b) && same_content(comparison, fd_a, fd_b);
}

/* The path stays at what differs. */
static bool same_directory(struct comparison *comparison, int a, int b)
{
    int copy = openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir *dir = copy >= 0 ? fdopendir(copy) : NULL;
    size_t before = comparison->path.len, count = 0;
    struct dirent *entry;

    if (!dir || ++comparison->depth > TREE_DEPTH_MAX || !same_xattrs(comparison, a, b))
        return false;
    while ((entry = readdir(dir))) {
        count++;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!buf_printf(&comparison->path, "/%s", entry->d_name) ||
            !same_entry(comparison, a, b, entry->d_name))
            return false;
        comparison->path.len = before;
        comparison->path.data[before] = '\0';
    }
    comparison->depth--;
    return count_entries(b) == count;
}

bool tree_compare(int a, int b, const struct timespec *since, struct buf *difference,
                  struct err *err)
{
    CLEANUP(comparison_free) struct comparison *comparison = calloc(1, sizeof(*comparison));
    struct stat st_a, st_b;

    if (!comparison || fstat(a, &st_a) < 0 || fstat(b, &st_b) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot compare two layers");
    comparison->since = *since;
    comparison->path = BUF_INIT(difference->max / 2);
    if (same_facts(comparison, &st_a, &st_b) && same_directory(comparison, a, b))
        return true;
    return buf_append_text(difference, comparison->path.len ? comparison->path.data : "/") ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot compare two layers");
}
