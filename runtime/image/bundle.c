#include "runtime/image/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"

#define ARCHIVE_BLOCK 65536
#define READ_CHUNK    65536

bool bundle_open(const char *path, bool is_directory, struct bundle *bundle, struct err *err)
{
    int flags = is_directory ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
    autofd fd = open(path, flags | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, ERR_IMAGE_NOT_FOUND, "cannot open '%s'", path);
    if (!is_directory && !S_ISREG(st.st_mode))
        return err_set(err, ERR_IMAGE_NOT_FOUND, "'%s' is not a regular file", path);
    bundle->path = path;
    bundle->is_directory = is_directory;
    bundle->fd = TAKE_FD(fd);
    return true;
}

void bundle_close(struct bundle *bundle)
{
    bundle->fd = close_fd(bundle->fd);
}

void bundle_file_close(struct bundle_file *file)
{
    close_fd(file->fd);
    archive_read_free(file->archive);
    *file = BUNDLE_FILE_INIT;
}

static bool missing(const struct bundle *bundle, const char *name, struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "'%s' holds no file '%s'", bundle->path, name);
}

static bool find_in_directory(const struct bundle *bundle, const char *name,
                              struct bundle_file *file, struct err *err)
{
    /* Layouts on a disk may well link their blobs, but not to the outside. */
    autofd fd = path_open_in(bundle->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0 && errno != ENOENT)
        return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read '%s' in '%s'", name, bundle->path);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return missing(bundle, name, err);
    file->fd = TAKE_FD(fd);
    file->size = (uint64_t)st.st_size;
    return true;
}

static bool damaged(const struct bundle *bundle, struct archive *archive, struct err *err)
{
    const char *why = archive_error_string(archive);

    err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not a valid tar archive: %s", bundle->path,
            why ? why : "unknown format");
    return err_hint(err, "an archive that is compressed has to be decompressed first");
}

static struct archive *open_archive(const struct bundle *bundle, struct err *err)
{
    struct archive *archive = archive_read_new();

    if (!archive || archive_read_support_format_tar(archive) != ARCHIVE_OK ||
        lseek(bundle->fd, 0, SEEK_SET) < 0 ||
        archive_read_open_fd(archive, bundle->fd, ARCHIVE_BLOCK) < ARCHIVE_WARN) {
        if (archive)
            damaged(bundle, archive, err);
        else
            err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", bundle->path);
        archive_read_free(archive);
        return NULL;
    }
    return archive;
}

/* "./a//b/../c" is "a/c"; NULL when it leaves the archive, or without memory. */
static char *plain_name(const char *dir, const char *name)
{
    autofree char *joined = text_printf("%s/%s", dir, name);
    autobuf out = BUF_INIT(joined ? strlen(joined) : 0);
    char *rest = joined, *part;

    while (joined && (part = strsep(&rest, "/"))) {
        if (!*part || strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            char *slash = out.len ? strrchr(out.data, '/') : NULL;

            if (!out.len)
                return NULL;
            out.len = slash ? (size_t)(slash - out.data) : 0;
            out.data[out.len] = '\0';
        } else if ((out.len && !buf_append(&out, "/", 1)) || !buf_append_text(&out, part)) {
            return NULL;
        }
    }
    return joined ? buf_take(&out) : NULL;
}

/* The name that a link in an archive stands for (owned by the caller), or NULL for a regular file.
 */
static char *link_target(struct archive_entry *entry, const char *name)
{
    const char *slash = strrchr(name, '/');
    autofree char *dir = strndup(name, slash ? (size_t)(slash - name) : 0);

    if (archive_entry_hardlink(entry))
        return plain_name("", archive_entry_hardlink(entry));
    if (archive_entry_symlink(entry))
        return dir ? plain_name(dir, archive_entry_symlink(entry)) : NULL;
    return NULL;
}

/* Reads headers up to the one of `name`. */
static bool seek_entry(const struct bundle *bundle, struct archive *archive, const char *name,
                       struct archive_entry **entry, struct err *err)
{
    int result = ARCHIVE_OK;

    for (size_t i = 0; i < BUNDLE_ENTRIES; i++) {
        autofree char *plain = NULL;

        result = archive_read_next_header(archive, entry);
        if (result < ARCHIVE_WARN)
            return damaged(bundle, archive, err);
        if (result == ARCHIVE_EOF)
            break;
        if (archive_entry_pathname(*entry))
            plain = plain_name("", archive_entry_pathname(*entry));
        if (plain && strcmp(plain, name) == 0)
            return true;
    }
    return missing(bundle, name, err);
}

static bool find_in_archive(const struct bundle *bundle, const char *name, struct bundle_file *file,
                            struct err *err)
{
    autofree char *wanted = plain_name("", name);

    for (int links = 0; wanted && links <= BUNDLE_LINKS_MAX; links++) {
        autobundlefile found = BUNDLE_FILE_INIT;
        struct archive_entry *entry;
        char *target;

        found.archive = open_archive(bundle, err);
        if (!found.archive || !seek_entry(bundle, found.archive, wanted, &entry, err))
            return false;
        target = link_target(entry, wanted);
        if (!target && archive_entry_filetype(entry) == AE_IFREG &&
            archive_entry_size(entry) >= 0 && !archive_entry_hardlink(entry)) {
            found.size = (uint64_t)archive_entry_size(entry);
            *file = found;
            found = BUNDLE_FILE_INIT;
            return true;
        }
        free(wanted);
        wanted = target;
    }
    return missing(bundle, name, err);
}

bool bundle_find(const struct bundle *bundle, const char *name, struct bundle_file *file,
                 struct err *err)
{
    return (bundle->is_directory ? find_in_directory : find_in_archive)(bundle, name, file, err);
}

ssize_t bundle_read(struct bundle_file *file, void *bytes, size_t len, struct err *err)
{
    ssize_t n;

    if (file->archive) {
        n = archive_read_data(file->archive, bytes, len);
        if (n < 0)
            err_set(err, ERR_IMAGE_CORRUPT, "an archive is damaged: %s",
                    archive_error_string(file->archive));
        return n < 0 ? -1 : n;
    }
    do {
        n = read(file->fd, bytes, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        err_errno(err, ERR_IMAGE_CORRUPT, "cannot read a blob");
    return n;
}

bool bundle_read_all(const struct bundle *bundle, const char *name, struct buf *text,
                     struct err *err)
{
    autobundlefile file = BUNDLE_FILE_INIT;
    char chunk[READ_CHUNK];
    ssize_t n;

    if (!bundle_find(bundle, name, &file, err))
        return false;
    if (!buf_append(text, "", 0))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", name);
    while ((n = bundle_read(&file, chunk, sizeof(chunk), err)) > 0) {
        if (!buf_append(text, chunk, (size_t)n))
            return err_set(err, ERR_IMAGE_CORRUPT, "'%s' in '%s' is larger than %zu bytes", name,
                           bundle->path, text->max);
    }
    return n == 0;
}
