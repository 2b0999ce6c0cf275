#include "runtime/image/tar_tree.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/image/tar_write.h"

#define CHUNK 65536

struct walk {
    const struct tar_tree *tree;
    int archive;
    size_t entries;
    uint64_t bytes;
    char chunk[CHUNK];
};

static bool unreadable(const struct walk *walk, const char *path, struct err *err)
{
    return err_errno(err, ERR_OPTION_INVALID, "cannot read '%s/%s'", walk->tree->directory, path);
}

static bool unwritten(const struct walk *walk, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write an archive of '%s'",
                     walk->tree->directory);
}

/* A file that grows or shrinks meanwhile is neither what it was nor what it will be. */
static bool write_content(struct walk *walk, int fd, const char *path, uint64_t size,
                          struct err *err)
{
    uint64_t done = 0;
    ssize_t n;

    while ((n = read(fd, walk->chunk, sizeof(walk->chunk))) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        done += (uint64_t)n;
        if (done > size)
            break;
        if (!file_write_all(walk->archive, walk->chunk, (size_t)n))
            return unwritten(walk, err);
    }
    if (n < 0)
        return unreadable(walk, path, err);
    return done == size || err_set(err, ERR_OPTION_INVALID, "'%s/%s' changes while it is read",
                                   walk->tree->directory, path);
}

/* `path` is "" for the directory itself. */
static bool write_header(struct walk *walk, const char *path, const struct stat *st,
                         const char *target, struct err *err)
{
    const struct tar_tree *tree = walk->tree;
    autofree char *name = !tree->top ? strdup(path)
                          : *path    ? text_printf("%s/%s", tree->top, path)
                                     : strdup(tree->top);
    bool is_dir = S_ISDIR(st->st_mode);
    const struct tar_entry entry = {
        .name = name,
        .target = target,
        .type = is_dir   ? TAR_DIRECTORY
                : target ? TAR_LINK
                         : TAR_FILE,
        .mode = st->st_mode | (is_dir ? tree->dir_mode : tree->file_mode),
        .uid = tree->uid,
        .gid = tree->gid,
        .mtime = st->st_mtim.tv_sec > 0 ? (uint64_t)st->st_mtim.tv_sec : 0,
        .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
    };

    walk->bytes += entry.size;
    if (tree->bytes_max && walk->bytes > tree->bytes_max)
        return err_set(err, ERR_OPTION_INVALID, "'%s' holds more than %llu bytes", tree->directory,
                       (unsigned long long)tree->bytes_max);
    return (name && tar_write_header(walk->archive, &entry)) || unwritten(walk, err);
}

static bool write_file(struct walk *walk, int dirfd, const char *name, const char *path,
                       struct err *err)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return unreadable(walk, path, err);
    if (!S_ISREG(st.st_mode))
        return true;
    return write_header(walk, path, &st, NULL, err) &&
           write_content(walk, fd, path, (uint64_t)st.st_size, err) &&
           (tar_write_padding(walk->archive, (uint64_t)st.st_size) || unwritten(walk, err));
}

static bool write_link(struct walk *walk, int dirfd, const char *name, const char *path,
                       const struct stat *st, struct err *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dirfd, name, target, sizeof(target) - 1);

    if (len < 0)
        return unreadable(walk, path, err);
    target[len] = '\0';
    return write_header(walk, path, st, target, err);
}

static bool add_name(void *data, int dirfd, const char *name)
{
    (void)dirfd;
    return strv_add(data, name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool write_directory(struct walk *walk, int dirfd, const char *name, const char *path,
                            int depth, struct err *err);

static bool write_entry(struct walk *walk, int dirfd, const char *name, const char *path, int depth,
                        struct err *err)
{
    const struct tar_tree *tree = walk->tree;
    enum tree_choice choice = TREE_TAKE;
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return unreadable(walk, path, err);
    if (walk->entries++ == TAR_TREE_ENTRIES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "'%s' holds more than %d files", tree->directory,
                       TAR_TREE_ENTRIES_MAX);
    if (!tree->choose(tree->data, path, S_ISDIR(st.st_mode), &choice, err))
        return false;
    if (choice == TREE_LEAVE ||
        (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISREG(st.st_mode)))
        return true;
    if (tree->taken && !tree->taken(tree->data, path, &st, err))
        return false;
    if (S_ISDIR(st.st_mode))
        return (choice == TREE_ENTER || write_header(walk, path, &st, NULL, err)) &&
               (choice == TREE_EMPTY || write_directory(walk, dirfd, name, path, depth + 1, err));
    if (S_ISLNK(st.st_mode))
        return write_link(walk, dirfd, name, path, &st, err);
    return write_file(walk, dirfd, name, path, err);
}

static bool write_directory(struct walk *walk, int dirfd, const char *name, const char *path,
                            int depth, struct err *err)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autostrv names = {.max = TAR_TREE_ENTRIES_MAX};

    if (depth > TAR_TREE_DEPTH_MAX)
        return err_set(err, ERR_OPTION_INVALID, "'%s' has directories deeper than %d",
                       walk->tree->directory, TAR_TREE_DEPTH_MAX);
    if (fd < 0 || !file_each_entry(fd, ".", add_name, &names))
        return unreadable(walk, path, err);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof(*names.items), compare);
    for (size_t i = 0; i < names.count; i++) {
        autofree char *below =
            *path ? text_printf("%s/%s", path, names.items[i]) : strdup(names.items[i]);

        if (!below)
            return unreadable(walk, path, err);
        if (!write_entry(walk, fd, names.items[i], below, depth, err))
            return false;
    }
    return true;
}

bool tar_tree_write(const struct tar_tree *tree, int archive, struct err *err)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    autofd fd = open(tree->directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (!walk)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write an archive of '%s'",
                         tree->directory);
    walk->tree = tree;
    walk->archive = archive;
    if (fd < 0 || fstat(fd, &st) < 0)
        ok = unreadable(walk, "", err);
    else if (tree->is_it && !tree->is_it(tree->data, &st))
        ok = err_set(err, ERR_MOUNT_CONFLICT, "'%s' has become another directory", tree->directory);
    else
        ok = (!tree->top || write_header(walk, "", &st, NULL, err)) &&
             write_directory(walk, fd, ".", "", 0, err);
    free(walk);
    return ok;
}
