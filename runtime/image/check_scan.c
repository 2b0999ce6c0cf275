#include "runtime/image/check_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "runtime/image/check_elf.h"
#include "runtime/image/layer_stream.h"

#define WRITE_SIZE      (256 << 10) /* bytes of records that are written at once */
#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   WHITEOUT_PREFIX WHITEOUT_PREFIX
#define WHITEOUT_OPAQUE WHITEOUT_META ".opq"
#define RECORD_MAGIC    0x6b636863u

/* Files whose text a rule asks for. With '/' at the end: those in the directory. */
static const struct {
    const char *path;
    size_t max;
} texts[] = {
    {"etc/os-release", CHECK_SMALL_MAX},      {"usr/lib/os-release", CHECK_SMALL_MAX},
    {"etc/passwd", CHECK_SMALL_MAX},          {"etc/group", CHECK_SMALL_MAX},
    {"root/.bashrc", CHECK_SMALL_MAX},        {"etc/profile.d/", CHECK_SMALL_MAX},
    {"var/lib/dpkg/status", CHECK_TEXT_MAX},  {"var/lib/dpkg/status.d/", CHECK_SMALL_MAX},
    {"lib/apk/db/installed", CHECK_TEXT_MAX}, {"usr/lib/apk/db/installed", CHECK_TEXT_MAX},
};

/* In front of the bytes of path, link and text. */
struct record {
    uint32_t magic;
    uint32_t path_len, link_len, text_len;
    uint64_t size;
    uint32_t mode;
    uint16_t machine;
    uint8_t kind, program;
    uint8_t has_text, text_cut, is_last;
    uint8_t unused[5];
};

int check_records_new(struct err *err)
{
    autofd fd = memfd_create("records", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, CHECK_RECORDS_MAX) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot look into a layer");
        return -1;
    }
    return TAKE_FD(fd);
}

/* ---- writing: the child ---- */

struct scan {
    struct layer_stream *stream;
    int records;
    uint64_t written;
    struct buf out, text;
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot look into a layer");
}

static bool flush(struct scan *scan, struct err *err)
{
    scan->written += scan->out.len;
    if (scan->written > CHECK_RECORDS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the names of a layer are larger than the limit of %d bytes",
                       CHECK_RECORDS_MAX);
    if (!file_write_all(scan->records, scan->out.data, scan->out.len))
        return no_memory(err);
    scan->out.len = 0;
    return true;
}

static bool put(struct scan *scan, const char *path, const struct check_entry *entry, bool last,
                struct err *err)
{
    struct record record = {.magic = RECORD_MAGIC,
                            .path_len = (uint32_t)strlen(path),
                            .link_len = entry->link ? (uint32_t)strlen(entry->link) : 0,
                            .text_len = (uint32_t)entry->text_len,
                            .size = entry->size,
                            .mode = entry->mode,
                            .machine = entry->machine,
                            .kind = (uint8_t)entry->kind,
                            .program = (uint8_t)entry->program,
                            .has_text = entry->text != NULL,
                            .text_cut = entry->text_cut,
                            .is_last = last};

    return ((buf_append(&scan->out, &record, sizeof(record)) &&
             buf_append(&scan->out, path, record.path_len) &&
             (!record.link_len || buf_append(&scan->out, entry->link, record.link_len)) &&
             (!record.text_len || buf_append(&scan->out, entry->text, record.text_len))) ||
            no_memory(err)) &&
           ((scan->out.len < WRITE_SIZE && !last) || flush(scan, err));
}

/* How much of the file is kept as a text; 0 for none of it. */
static size_t text_max(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        size_t len = strlen(texts[i].path);

        if (strcmp(path, texts[i].path) == 0 ||
            (texts[i].path[len - 1] == '/' && strncmp(path, texts[i].path, len) == 0 &&
             !strchr(path + len, '/')))
            return texts[i].max;
    }
    return 0;
}

static bool unreadable(const struct scan *scan, struct err *err)
{
    const char *why = archive_error_string(layer_stream_archive(scan->stream));

    return err_set(err, ERR_IMAGE_CORRUPT, "a layer is not a valid tar archive: %s",
                   why ? why : "unknown format");
}

/* Reads at most `max` bytes of the file behind the entry; what is left is skipped by the next one.
 */
static bool read_start(struct scan *scan, size_t max, struct err *err)
{
    scan->text.len = 0;
    while (scan->text.len < max) {
        size_t room = max - scan->text.len < WRITE_SIZE ? max - scan->text.len : WRITE_SIZE;
        char *bytes = buf_reserve(&scan->text, room);
        la_ssize_t n;

        if (!bytes)
            return no_memory(err);
        n = archive_read_data(layer_stream_archive(scan->stream), bytes, room);
        if (n < 0)
            return unreadable(scan, err);
        if (n == 0)
            break;
        buf_added(&scan->text, (size_t)n);
    }
    return true;
}

/* Programs have an executable bit, and libraries not always. */
static bool may_be_program(const char *path, uint32_t mode)
{
    return (mode & 0111) || strstr(path, ".so");
}

static bool look_into(struct scan *scan, const char *path, struct check_entry *entry,
                      struct err *err)
{
    size_t max = text_max(path);

    if (!max && !may_be_program(path, entry->mode))
        return true;
    if (!read_start(scan, max ? max : CHECK_ELF_BYTES, err))
        return false;
    entry->program =
        check_elf(scan->text.data ? scan->text.data : "", scan->text.len, &entry->machine);
    if (max) {
        entry->text = scan->text.data ? scan->text.data : "";
        entry->text_len = scan->text.len;
        entry->text_cut = entry->size > scan->text.len;
    }
    return true;
}

static enum check_kind kind_of(struct archive_entry *entry)
{
    switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
        return CHECK_DIRECTORY;
    case AE_IFLNK:
        return CHECK_SYMLINK;
    case AE_IFREG:
        return CHECK_FILE;
    default:
        return CHECK_OTHER;
    }
}

/* ".wh.NAME" and ".wh..wh..opq"; *path becomes what they are about. False for aufs's own records.
 */
static bool take_whiteout(char path[CHECK_PATH_MAX], enum check_kind *kind)
{
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) != 0)
        return true;
    if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
        *kind = CHECK_OPAQUE;
        *(slash ? slash : path) = '\0';
        return true;
    }
    *kind = CHECK_WHITEOUT;
    if (strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
        return false;
    memmove(name, name + strlen(WHITEOUT_PREFIX), strlen(name + strlen(WHITEOUT_PREFIX)) + 1);
    return true;
}

static bool scan_entry(struct scan *scan, struct archive_entry *archived, struct err *err)
{
    const char *raw = archive_entry_pathname(archived);
    const char *hardlink = archive_entry_hardlink(archived);
    struct check_entry entry = {.kind = kind_of(archived), .mode = archive_entry_mode(archived)};
    char path[CHECK_PATH_MAX];

    if (!raw || !check_path_clean(raw, path))
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer has a path that is too long or too deep");
    if (hardlink) {
        entry.kind = CHECK_HARDLINK;
        entry.link = hardlink;
    } else if (entry.kind == CHECK_SYMLINK) {
        entry.link = archive_entry_symlink(archived);
        entry.link = entry.link ? entry.link : "";
    }
    if (!take_whiteout(path, &entry.kind))
        return true;
    if (entry.kind == CHECK_FILE) {
        entry.size = archive_entry_size(archived) > 0 ? (uint64_t)archive_entry_size(archived) : 0;
        if (!look_into(scan, path, &entry, err))
            return false;
    }
    if (entry.link && strlen(entry.link) >= CHECK_PATH_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer has a link that is too long");
    return put(scan, path, &entry, false, err);
}

static bool scan_entries(struct scan *scan, struct err *err)
{
    struct archive_entry *entry;

    while (layer_stream_next(scan->stream, &entry, err)) {
        if (!entry)
            return put(scan, "", &(struct check_entry){.kind = CHECK_DIRECTORY}, true, err);
        if (!scan_entry(scan, entry, err))
            return false;
    }
    return false;
}

bool check_scan_layer(int blob, enum compression compression, const char *diff_id, int records,
                      const struct unpack_limits *limits, struct err *err)
{
    autolayerstream *stream = layer_stream_open(blob, compression, limits, err);
    struct scan scan = {.stream = stream,
                        .records = records,
                        .out = BUF_INIT(CHECK_RECORDS_MAX),
                        .text = BUF_INIT(CHECK_TEXT_MAX)};
    bool ok = stream && scan_entries(&scan, err) && layer_stream_finish(stream, diff_id, err);

    buf_release(&scan.out);
    buf_release(&scan.text);
    return ok;
}

/* ---- reading: the parent ---- */

static bool bad_record(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "what a child says of a layer makes no sense");
}

static bool is_good(const struct record *record)
{
    return record->magic == RECORD_MAGIC && record->path_len < CHECK_PATH_MAX &&
           record->link_len < CHECK_PATH_MAX && record->text_len <= CHECK_TEXT_MAX &&
           record->kind < CHECK_KINDS && record->program < CHECK_PROGRAMS &&
           (record->has_text || !record->text_len);
}

static bool read_text(FILE *file, char *text, size_t len)
{
    text[len] = '\0';
    return fread(text, 1, len, file) == len;
}

static bool read_record(FILE *file, const struct record *record, struct buf *text,
                        struct check_tree *tree, struct err *err)
{
    bool linked = record->kind == CHECK_SYMLINK || record->kind == CHECK_HARDLINK;
    char path[CHECK_PATH_MAX], link[CHECK_PATH_MAX];
    char *bytes;

    text->len = 0;
    bytes = buf_reserve(text, record->text_len + 1);
    if (!bytes)
        return no_memory(err);
    if (!read_text(file, path, record->path_len) || !read_text(file, link, record->link_len) ||
        !read_text(file, bytes, record->text_len))
        return bad_record(err);
    return check_tree_add(tree, path,
                          &(struct check_entry){.kind = record->kind,
                                                .mode = record->mode,
                                                .size = record->size,
                                                .program = record->program,
                                                .machine = record->machine,
                                                .link = linked ? link : NULL,
                                                .text = record->has_text ? bytes : NULL,
                                                .text_len = record->text_len,
                                                .text_cut = record->text_cut},
                          err);
}

bool check_records_read(int records, struct check_tree *tree, struct err *err)
{
    autofd fd = fcntl(records, F_DUPFD_CLOEXEC, 0);
    autofile *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    autobuf text = BUF_INIT(CHECK_TEXT_MAX + 1);
    struct record record;

    if (!file)
        return no_memory(err);
    fd = -1; /* the file's */
    if (fseeko(file, 0, SEEK_SET) < 0)
        return no_memory(err);
    for (;;) {
        if (fread(&record, sizeof(record), 1, file) != 1 || !is_good(&record))
            return bad_record(err);
        if (record.is_last)
            return true;
        if (!read_record(file, &record, &text, tree, err))
            return false;
    }
}
