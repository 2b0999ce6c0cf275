#include "runtime/image/context.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/image/ignore.h"
#include "runtime/image/tar_write.h"

#define IGNORE_FILE ".dockerignore"
#define CHUNK       65536

struct context {
    const char *directory, *file;
    struct ignore ignore;
    int archive;
    size_t entries;
    char chunk[CHUNK];
};

static bool unreadable(const struct context *context, const char *path, struct err *err)
{
    return err_errno(err, ERR_OPTION_INVALID, "cannot read '%s/%s'", context->directory, path);
}

static bool unwritten(const struct context *context, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write the context of '%s'",
                     context->directory);
}

/* A file that grows or shrinks meanwhile is neither what it was nor what it will be. */
static bool write_content(struct context *context, int fd, const char *path, uint64_t size,
                          struct err *err)
{
    uint64_t done = 0;
    ssize_t n;

    while ((n = read(fd, context->chunk, sizeof(context->chunk))) > 0 ||
           (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        done += (uint64_t)n;
        if (done > size)
            break;
        if (!file_write_all(context->archive, context->chunk, (size_t)n))
            return unwritten(context, err);
    }
    if (n < 0)
        return unreadable(context, path, err);
    return done == size || err_set(err, ERR_OPTION_INVALID, "'%s/%s' changes while it is read",
                                   context->directory, path);
}

static bool write_header(struct context *context, const char *path, const struct stat *st,
                         const char *target, struct err *err)
{
    const struct tar_entry entry = {
        .name = path,
        .target = target,
        .type = S_ISDIR(st->st_mode) ? TAR_DIRECTORY
                : target             ? TAR_LINK
                                     : TAR_FILE,
        .mode = st->st_mode,
        .mtime = st->st_mtim.tv_sec > 0 ? (uint64_t)st->st_mtim.tv_sec : 0,
        .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
    };

    return tar_write_header(context->archive, &entry) || unwritten(context, err);
}

static bool write_file(struct context *context, int dirfd, const char *name, const char *path,
                       struct err *err)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return unreadable(context, path, err);
    if (!S_ISREG(st.st_mode))
        return true;
    return write_header(context, path, &st, NULL, err) &&
           write_content(context, fd, path, (uint64_t)st.st_size, err) &&
           (tar_write_padding(context->archive, (uint64_t)st.st_size) || unwritten(context, err));
}

static bool write_link(struct context *context, int dirfd, const char *name, const char *path,
                       const struct stat *st, struct err *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dirfd, name, target, sizeof(target) - 1);

    if (len < 0)
        return unreadable(context, path, err);
    target[len] = '\0';
    return write_header(context, path, st, target, err);
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

static bool write_directory(struct context *context, int dirfd, const char *name, const char *path,
                            int depth, struct err *err);

static bool write_entry(struct context *context, int dirfd, const char *name, const char *path,
                        int depth, struct err *err)
{
    bool left_out = ignore_leaves_out(&context->ignore, path) && strcmp(path, context->file) != 0 &&
                    strcmp(path, IGNORE_FILE) != 0;
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return unreadable(context, path, err);
    if (context->entries++ == CONTEXT_ENTRIES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "'%s' holds more than %d files", context->directory,
                       CONTEXT_ENTRIES_MAX);
    if (S_ISDIR(st.st_mode)) {
        size_t len = strlen(path);
        bool holds_file = strncmp(context->file, path, len) == 0 && context->file[len] == '/';

        if (left_out && !context->ignore.lets_in && !holds_file)
            return true;
        return (left_out || write_header(context, path, &st, NULL, err)) &&
               write_directory(context, dirfd, name, path, depth + 1, err);
    }
    if (left_out)
        return true;
    if (S_ISLNK(st.st_mode))
        return write_link(context, dirfd, name, path, &st, err);
    return !S_ISREG(st.st_mode) || write_file(context, dirfd, name, path, err);
}

/* `path` is "" for the context itself. */
static bool write_directory(struct context *context, int dirfd, const char *name, const char *path,
                            int depth, struct err *err)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autostrv names = {.max = CONTEXT_ENTRIES_MAX};

    if (depth > CONTEXT_DEPTH_MAX)
        return err_set(err, ERR_OPTION_INVALID, "'%s' has directories deeper than %d",
                       context->directory, CONTEXT_DEPTH_MAX);
    if (fd < 0 || !file_each_entry(fd, ".", add_name, &names))
        return unreadable(context, path, err);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof(*names.items), compare);
    for (size_t i = 0; i < names.count; i++) {
        autofree char *below =
            *path ? text_printf("%s/%s", path, names.items[i]) : strdup(names.items[i]);

        if (!below)
            return unreadable(context, path, err);
        if (!write_entry(context, fd, names.items[i], below, depth, err))
            return false;
    }
    return true;
}

static bool read_ignore(struct context *context, struct err *err)
{
    autofree char *path = text_printf("%s/" IGNORE_FILE, context->directory);
    autobuf text = BUF_INIT(IGNORE_MAX);

    if (!path)
        return unreadable(context, IGNORE_FILE, err);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return true;
    return file_read(AT_FDCWD, path, &text, ERR_OPTION_INVALID, err) &&
           ignore_parse(text.data ? text.data : "", text.len, path, &context->ignore, err);
}

bool context_write(const char *directory, const char *file, int archive, struct err *err)
{
    struct context *context = calloc(1, sizeof(*context));
    bool ok;

    if (!context)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the context of a build");
    context->directory = directory;
    context->file = file;
    context->archive = archive;
    ok = read_ignore(context, err) && write_directory(context, AT_FDCWD, directory, "", 0, err) &&
         (tar_write_end(archive) || unwritten(context, err));
    ignore_release(&context->ignore);
    free(context);
    return ok;
}
