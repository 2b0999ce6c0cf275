#include "runtime/image/layer_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/path.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   WHITEOUT_PREFIX WHITEOUT_PREFIX /* aufs kept records of its own so named */
#define WHITEOUT_OPAQUE WHITEOUT_META ".opq"
#define OPAQUE_XATTR    "user.overlay.opaque"

#define WRITE_OUT_BYTES (256 << 10) /* of a file; smaller ones wait until all are flushed */
#define MODE_BITS       07777
#define PLAIN_BITS      0777 /* which a file can be made with: writing clears set-id bits */

static const struct timespec omit_atime = {.tv_nsec = UTIME_OMIT};

void layer_writer_release(struct layer_writer *writer)
{
    free(writer->parent_path);
    close_fd(writer->parent);
    buf_release(&writer->directories);
    buf_release(&writer->opaque);
    buf_release(&writer->whiteouts);
}

static bool failed(const char *path, struct err *err)
{
    return err_errno(err, ERR_IMAGE_CORRUPT, "cannot unpack '%s'", path);
}

static bool refuse(const char *path, const char *why, struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "a layer has the entry '%.300s': %s", path, why);
}

static bool beyond(const char *path, const char *how, uint64_t limit, const char *of,
                   struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT,
                   "a layer has the entry '%.300s': it is %s than the limit of %llu %s", path, how,
                   (unsigned long long)limit, of);
}

/* ---- names ---- */

/*
 * The path of an entry below the root: no leading '/', no "." and no ".." (which stops at the
 * root);
 * "" is the root.
 */
static bool clean_name(const struct layer_writer *writer, const char *raw, char **clean,
                       struct err *err)
{
    autobuf out = BUF_INIT(writer->path_max);
    uint64_t depth = 0;
    const char *end;

    if (!buf_append(&out, "", 0))
        return failed(raw, err);
    for (; *raw; raw = end + (*end == '/')) {
        size_t len;

        end = strchrnul(raw, '/');
        len = (size_t)(end - raw);
        if (len == 0 || (len == 1 && raw[0] == '.'))
            continue;
        if (len == 2 && raw[0] == '.' && raw[1] == '.') {
            char *slash = strrchr(out.data, '/');

            out.len = slash ? (size_t)(slash - out.data) : 0;
            out.data[out.len] = '\0';
            depth -= depth > 0;
            continue;
        }
        if (len > NAME_MAX)
            return refuse(raw, "a component is longer than 255 bytes", err);
        if (++depth > writer->depth_max)
            return beyond(out.data, "deeper", writer->depth_max, "directories", err);
        if ((out.len && !buf_append(&out, "/", 1)) || !buf_append(&out, raw, len))
            return beyond(out.data, "longer", writer->path_max, "bytes of a path", err);
    }
    *clean = buf_take(&out);
    return *clean || failed(raw, err);
}

/* Cuts `path` at its last '/'; "" is the parent of a top-level name. */
static char *split(char *path, const char **parent)
{
    char *slash = strrchr(path, '/');

    if (!slash) {
        *parent = "";
        return path;
    }
    *slash = '\0';
    *parent = path;
    return slash + 1;
}

static const char *or_root(const char *path)
{
    return *path ? path : ".";
}

/* All lists together have one limit. */
static bool remember(struct layer_writer *writer, struct buf *list, const void *bytes, size_t len,
                     struct err *err)
{
    size_t used = writer->directories.len + writer->opaque.len + writer->whiteouts.len;

    if (len > LAYER_NAMES_MAX - used || !buf_append(list, bytes, len))
        return err_set(err, ERR_IMAGE_CORRUPT, "the names of a layer are larger than %d bytes",
                       LAYER_NAMES_MAX);
    return true;
}

static bool remember_name(struct layer_writer *writer, struct buf *list, const char *path,
                          struct err *err)
{
    return remember(writer, list, path, strlen(path) + 1, err);
}

/* ---- attributes ---- */

static bool wants_xattr(const char *name)
{
    if (strcmp(name, "security.capability") == 0)
        return true;
    return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

/* ext4 says of a file with too many that there is no space, where the disk has plenty. */
static bool xattr_failed(int fd, const char *path, struct err *err)
{
    int number = errno;
    struct statfs fs;

    if ((number == ENOSPC || number == E2BIG) && fstatfs(fd, &fs) == 0 && fs.f_bavail > 0)
        return refuse(path, "its attributes are more than the file system of the store takes", err);
    errno = number;
    return failed(path, err);
}

/* File capabilities need privileges, and not every file system has user attributes. */
static bool set_xattrs(int fd, struct archive_entry *entry, const char *path, struct err *err)
{
    const char *name;
    const void *value;
    size_t size;

    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        if (!wants_xattr(name) || fsetxattr(fd, name, value, size, 0) == 0)
            continue;
        if (strcmp(name, "security.capability") != 0 && errno != ENOTSUP && errno != EPERM)
            return xattr_failed(fd, path, err);
    }
    return true;
}

static bool chown_failed(struct archive_entry *entry, const char *path, struct err *err)
{
    if (errno != EINVAL)
        return failed(path, err);
    err_set(err, ERR_USER_UNKNOWN, "'%s' belongs to %lld:%lld, and a cell has no such ids", path,
            (long long)archive_entry_uid(entry), (long long)archive_entry_gid(entry));
    return err_hint(err,
                    "build the image with lower ids, or give the caller more subordinate ones");
}

static void entry_times(struct archive_entry *entry, struct timespec times[2])
{
    times[0] = omit_atime;
    times[1] = (struct timespec){.tv_sec = archive_entry_mtime(entry),
                                 .tv_nsec = archive_entry_mtime_nsec(entry)};
}

static bool ids_fit(struct archive_entry *entry)
{
    la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

    if (uid >= 0 && uid < UINT32_MAX && gid >= 0 && gid < UINT32_MAX)
        return true;
    errno = EINVAL;
    return false;
}

static bool is_owner(const struct stat *st, struct archive_entry *entry)
{
    return st->st_uid == (uid_t)archive_entry_uid(entry) &&
           st->st_gid == (gid_t)archive_entry_gid(entry);
}

/*
 * Owner first: a change of owner clears set-id bits and capabilities. The mode last: it may forbid
 * the rest. Most files are made as they should be, and looking is cheaper than changing.
 */
static bool set_attributes(const struct layer_writer *writer, int fd, struct archive_entry *entry,
                           const char *path, struct err *err)
{
    mode_t mode = archive_entry_mode(entry) & MODE_BITS;
    bool others;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return failed(path, err);
    if (writer->may_chown && !ids_fit(entry))
        return chown_failed(entry, path, err);
    others = writer->may_chown && !is_owner(&st, entry);
    if (others && fchown(fd, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)) < 0)
        return chown_failed(entry, path, err);
    if (!set_xattrs(fd, entry, path, err))
        return false;
    return (!others && (st.st_mode & MODE_BITS) == mode) || fchmod(fd, mode) == 0 ||
           failed(path, err);
}

/* The same for what cannot be opened without an effect: symbolic links and FIFOs. */
static bool set_attributes_at(const struct layer_writer *writer, int parent, const char *name,
                              struct archive_entry *entry, struct err *err)
{
    struct timespec times[2];
    struct stat st;

    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return failed(name, err);
    if (writer->may_chown && !ids_fit(entry))
        return chown_failed(entry, name, err);
    if (writer->may_chown && !is_owner(&st, entry) &&
        fchownat(parent, name, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry),
                 AT_SYMLINK_NOFOLLOW) < 0)
        return chown_failed(entry, name, err);
    /* Created just now in a tree that is nobody else's yet, so it is what it was made as. */
    if (archive_entry_filetype(entry) == AE_IFIFO &&
        fchmodat(parent, name, archive_entry_mode(entry) & 07777, 0) < 0)
        return failed(name, err);
    entry_times(entry, times);
    return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) == 0 || failed(name, err);
}

/* ---- the kinds of entries ---- */

/* What a function below works on. */
struct place {
    struct layer_writer *writer;
    struct archive *archive;
    struct archive_entry *entry;
    const char *path; /* whole, for messages */
    int parent;       /* O_PATH directory */
    const char *name; /* in it */
};

/*
 * A short entry in a long path that is missing makes many directories, so all of the path's count:
 * those that are there already, too, which is rare in layers that are well made.
 */
static bool count_implied(struct layer_writer *writer, const char *path, struct err *err)
{
    for (const char *p = path; *p; p = *p ? p + 1 : p) {
        writer->implied++;
        p = strchrnul(p, '/');
    }
    errno = EMLINK;
    if (writer->implied > writer->implied_max)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "a layer implies more than the limit of %llu directories without entries",
                       (unsigned long long)writer->implied_max);
    return true;
}

/*
 * A parent that is missing, or behind symbolic links. Such a path can lead deeper than it has
 * names, by a chain of links to any depth.
 */
static bool open_hidden_parent(struct layer_writer *writer, const char *path, struct err *err)
{
    writer->parent = path_open_in(writer->root, or_root(path), O_PATH | O_DIRECTORY, 0);
    if (writer->parent < 0 && errno == ENOENT) {
        if (!count_implied(writer, path, err))
            return false;
        writer->parent = path_make_dirs_in(writer->root, or_root(path), 0755);
    }
    if (writer->parent < 0 && errno == ENOENT)
        return refuse(path, "it is a link to nothing, or leads through one", err);
    if (writer->parent < 0)
        return failed(path, err);
    if (path_is_within(writer->parent, writer->root, writer->depth_max - 1))
        return true;
    writer->parent = close_fd(writer->parent);
    errno = EMLINK;
    return beyond(path, "deeper", writer->depth_max, "directories", err);
}

/* Opens, and creates where needed, the directory `path`; it stays the writer's. Keeps errno. */
static bool open_parent(struct layer_writer *writer, const char *path, struct err *err)
{
    if (writer->parent >= 0 && strcmp(writer->parent_path, path) == 0)
        return true;
    writer->parent = close_fd(writer->parent);
    free(writer->parent_path);
    writer->parent_path = strdup(path);
    if (!writer->parent_path)
        return failed(path, err);
    writer->parent = path_open_in_nofollow(writer->root, or_root(path), O_PATH | O_DIRECTORY, 0);
    return writer->parent >= 0 || open_hidden_parent(writer, path, err);
}

/* Removes what is in the way of an entry; true to try again. */
static bool clear_place(const struct place *place)
{
    if (errno != EEXIST || !file_remove_tree(place->parent, place->name))
        return false;
    /* The directory that is kept open may have gone with it; the caller uses it no more after this.
     */
    free(place->writer->parent_path);
    place->writer->parent_path = strdup("/");
    return place->writer->parent_path;
}

static bool write_content(const struct place *place, int fd, struct err *err)
{
    int64_t size = archive_entry_size(place->entry), written = 0;
    const void *bytes;
    la_int64_t offset;
    size_t len;
    int result;

    while ((result = archive_read_data_block(place->archive, &bytes, &len, &offset)) >=
               ARCHIVE_WARN &&
           result != ARCHIVE_EOF) {
        if (len == 0)
            continue;
        /* Holes of sparse files stay holes. */
        if (offset != written && lseek(fd, offset, SEEK_SET) < 0)
            return failed(place->path, err);
        if (!file_write_all(fd, bytes, len))
            return failed(place->path, err);
        written = offset + (int64_t)len;
    }
    if (result != ARCHIVE_EOF)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer is damaged at '%s': %s", place->path,
                       archive_error_string(place->archive));
    /* The disk has something to do while the rest is unpacked. */
    if (written >= WRITE_OUT_BYTES)
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return written >= size || ftruncate(fd, size) == 0 || failed(place->path, err);
}

static bool add_file(const struct place *place, struct err *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    mode_t mode = archive_entry_mode(place->entry) & PLAIN_BITS;
    autofd fd = -1;
    struct timespec times[2];

    if (archive_entry_size(place->entry) < 0 ||
        (uint64_t)archive_entry_size(place->entry) > place->writer->file_max)
        return beyond(place->path, "larger", place->writer->file_max, "bytes of a file", err);
    fd = openat(place->parent, place->name, flags, mode);
    if (fd < 0 && clear_place(place))
        fd = openat(place->parent, place->name, flags, mode);
    if (fd < 0)
        return failed(place->path, err);
    if (!write_content(place, fd, err) ||
        !set_attributes(place->writer, fd, place->entry, place->path, err))
        return false;
    entry_times(place->entry, times);
    return futimens(fd, times) == 0 || failed(place->path, err);
}

/* Times of directories change with every entry in them, so they are set at the end. */
static bool finish_directory(const struct place *place, int fd, struct err *err)
{
    struct timespec times[2];

    if (!set_attributes(place->writer, fd, place->entry, place->path, err))
        return false;
    entry_times(place->entry, times);
    return remember(place->writer, &place->writer->directories, &times[1], sizeof(times[1]), err) &&
           remember_name(place->writer, &place->writer->directories, place->path, err);
}

static bool add_directory(const struct place *place, struct err *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    mode_t mode = (archive_entry_mode(place->entry) & PLAIN_BITS) | S_IRWXU;
    struct stat st;
    autofd fd = -1;

    /* A directory that is there keeps what is in it. */
    if (mkdirat(place->parent, place->name, mode) < 0 &&
        !(errno == EEXIST && fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
          S_ISDIR(st.st_mode))) {
        if (!clear_place(place) || mkdirat(place->parent, place->name, mode) < 0)
            return failed(place->path, err);
    }
    fd = openat(place->parent, place->name, flags);
    return fd < 0 ? failed(place->path, err) : finish_directory(place, fd, err);
}

static bool add_symlink(const struct place *place, struct err *err)
{
    const char *target = archive_entry_symlink(place->entry);

    if (!target || !*target)
        return refuse(place->path, "it is a symbolic link to nothing", err);
    if (symlinkat(target, place->parent, place->name) < 0 &&
        (!clear_place(place) || symlinkat(target, place->parent, place->name) < 0))
        return failed(place->path, err);
    return set_attributes_at(place->writer, place->parent, place->name, place->entry, err);
}

static bool add_fifo(const struct place *place, struct err *err)
{
    if (mkfifoat(place->parent, place->name, 0600) < 0 &&
        (!clear_place(place) || mkfifoat(place->parent, place->name, 0600) < 0))
        return failed(place->path, err);
    return set_attributes_at(place->writer, place->parent, place->name, place->entry, err);
}

/*
 * A further name of a file that the layer has already: the link itself where that is a symbolic
 * link, and no attributes, which are the file's (CVE-2021-32760).
 */
static bool add_hardlink(const struct place *place, struct err *err)
{
    autofree char *target = NULL;
    const char *target_parent, *target_name;
    autofd parent = -1;

    if (!clean_name(place->writer, archive_entry_hardlink(place->entry), &target, err))
        return false;
    if (strcmp(target, place->path) == 0)
        return true;
    target_name = split(target, &target_parent);
    parent = path_open_in(place->writer->root, or_root(target_parent), O_PATH | O_DIRECTORY, 0);
    if (parent < 0 || !*target_name)
        return refuse(place->path, "it is a hard link to a file that the layer does not have", err);
    if (linkat(parent, target_name, place->parent, place->name, 0) == 0)
        return true;
    if (clear_place(place) && linkat(parent, target_name, place->parent, place->name, 0) == 0)
        return true;
    if (errno == ENOENT || errno == EPERM)
        return refuse(place->path, "it is a hard link to a file that the layer does not have", err);
    return failed(place->path, err);
}

/* Nodes would reach devices of the host, and a socket is of no use without its process. */
static bool skip(const struct place *place, struct err *err)
{
    (void)place;
    (void)err;
    return true;
}

static const struct {
    unsigned int type;
    bool (*add)(const struct place *place, struct err *err);
} kinds[] = {
    {AE_IFREG, add_file}, {AE_IFDIR, add_directory}, {AE_IFLNK, add_symlink}, {AE_IFIFO, add_fifo},
    {AE_IFCHR, skip},     {AE_IFBLK, skip},          {AE_IFSOCK, skip},
};

static bool add_root(const struct place *place, struct err *err)
{
    autofd fd = -1;

    if (archive_entry_hardlink(place->entry) || archive_entry_filetype(place->entry) != AE_IFDIR)
        return refuse("/", "the root is no directory", err);
    fd = path_open_in_nofollow(place->writer->root, ".", O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? failed("/", err) : finish_directory(place, fd, err);
}

/* A whiteout, whatever its type: only its name counts. */
static bool add_whiteout(const struct place *place, const char *parent, struct err *err)
{
    const char *name = place->name + strlen(WHITEOUT_PREFIX);
    autofree char *path = NULL;

    if (strcmp(place->name, WHITEOUT_OPAQUE) == 0)
        return remember_name(place->writer, &place->writer->opaque, parent, err);
    if (strncmp(place->name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
        return true;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return refuse(place->name, "it is a whiteout of nothing", err);
    path = text_printf("%s%s%s", parent, *parent ? "/" : "", name);
    return path ? remember_name(place->writer, &place->writer->whiteouts, path, err)
                : failed(place->name, err);
}

static bool add_at(struct place *place, const char *parent, struct err *err)
{
    unsigned int type = archive_entry_filetype(place->entry);

    if (strncmp(place->name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return add_whiteout(place, parent, err);
    if (!open_parent(place->writer, parent, err))
        return false;
    place->parent = place->writer->parent;
    if (archive_entry_hardlink(place->entry))
        return add_hardlink(place, err);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].type == type)
            return kinds[i].add(place, err);
    }
    return refuse(place->path, "it is of an unknown type", err);
}

bool layer_writer_add(struct layer_writer *writer, struct archive *archive,
                      struct archive_entry *entry, struct err *err)
{
    const char *raw = archive_entry_pathname(entry), *parent;
    autofree char *path = NULL, *parts = NULL;
    struct place place = {.writer = writer, .archive = archive, .entry = entry, .parent = -1};

    if (!raw)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer has an entry without a name");
    if (!clean_name(writer, raw, &path, err))
        return false;
    place.path = path;
    if (!*path)
        return add_root(&place, err);
    parts = strdup(path);
    if (!parts)
        return failed(path, err);
    place.name = split(parts, &parent);
    return add_at(&place, parent, err);
}

/* ---- the end ---- */

static bool set_opaque(int fd, const char *path, struct err *err)
{
    if (fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) == 0)
        return true;
    err_errno(err, ERR_CONFIG_INVALID, "cannot mark the directory '%s' of a layer", path);
    return errno != ENOTSUP ||
           err_hint(err, "the file system of the image store must have user attributes");
}

static bool apply_opaque(struct layer_writer *writer, const char *path, struct err *err)
{
    autofd fd = -1;

    if (!open_parent(writer, path, err))
        return false;
    fd = path_open_in(writer->root, or_root(path), O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? failed(path, err) : set_opaque(fd, path, err);
}

/* The layer has both: a directory of its own hides the old one, another file does so by being
 * there. */
static bool hide_below(int parent, const char *name, const char *path, struct err *err)
{
    autofd fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP || failed(path, err);
    return set_opaque(fd, path, err);
}

static bool apply_whiteout(struct layer_writer *writer, const char *path, struct err *err)
{
    autofree char *parts = strdup(path);
    const char *parent_path, *name;
    autofd parent = -1;

    if (!parts)
        return failed(path, err);
    name = split(parts, &parent_path);
    /* Below a dead link, or below a file, there is nothing to hide. */
    if (!open_parent(writer, parent_path, err))
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    parent = path_open_in(writer->root, or_root(parent_path), O_RDONLY | O_DIRECTORY, 0);
    if (parent < 0)
        return failed(path, err);
    /* An opaque directory hides everything already, and would list its whiteouts. */
    if (fgetxattr(parent, OPAQUE_XATTR, NULL, 0) > 0)
        return true;
    if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) == 0)
        return true;
    return errno == EEXIST ? hide_below(parent, name, path, err) : failed(path, err);
}

/* What has become another thing than a directory meanwhile has no time to set. */
static bool apply_time(struct layer_writer *writer, const char *path, const struct timespec *time,
                       struct err *err)
{
    const struct timespec times[2] = {omit_atime, *time};
    autofd fd = path_open_in_nofollow(writer->root, or_root(path), O_RDONLY | O_DIRECTORY, 0);

    return fd < 0 || futimens(fd, times) == 0 || failed(path, err);
}

static bool apply_names(struct layer_writer *writer, const struct buf *list,
                        bool (*apply)(struct layer_writer *, const char *, struct err *),
                        struct err *err)
{
    for (size_t i = 0; i < list->len; i += strlen(list->data + i) + 1) {
        if (!apply(writer, list->data + i, err))
            return false;
    }
    return true;
}

bool layer_writer_finish(struct layer_writer *writer, struct err *err)
{
    const struct buf *list = &writer->directories;

    if (!apply_names(writer, &writer->opaque, apply_opaque, err) ||
        !apply_names(writer, &writer->whiteouts, apply_whiteout, err))
        return false;
    for (size_t i = 0; i < list->len;) {
        struct timespec time;
        const char *path = list->data + i + sizeof(time);

        memcpy(&time, list->data + i, sizeof(time));
        if (!apply_time(writer, path, &time, err))
            return false;
        i += sizeof(time) + strlen(path) + 1;
    }
    return true;
}
