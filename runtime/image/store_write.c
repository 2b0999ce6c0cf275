#include "runtime/image/store_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/image/store_needs.h"

#define NAME_CHECKSUM   "checksum"
#define BLOB_NAME_MAX   128 /* "blobs/sha256/HEX", "tmp/blob-HEX" */
#define LAYER_NOTE_MAX  (DIGEST_TEXT_MAX + 16)
#define HASH_CHUNK      (256 << 10)
#define WRITE_OUT_BYTES (8 << 20)

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write to the image store");
}

bool store_lock_opened(int fd, const char *name, int operation, struct err *err)
{
    int result;

    do {
        result = flock(fd, operation);
    } while (result < 0 && errno == EINTR);
    return result == 0 ||
           err_errno(err, ERR_STORE_BUSY, "cannot get the lock '%s' of the image store", name);
}

int store_lock(const struct store *store, const char *name, int operation, struct err *err)
{
    autofd fd = store_open_lock(store, name, err);

    return fd >= 0 && store_lock_opened(fd, name, operation, err) ? TAKE_FD(fd) : -1;
}

/* ---- blobs ---- */

static void blob_path(const char *digest, char path[BLOB_NAME_MAX])
{
    snprintf(path, BLOB_NAME_MAX, "blobs/sha256/%s", digest_hex(digest));
}

/* Named after the lock that guards it, so what a killed process leaves is overwritten, not added
 * to. */
static void unfinished_path(const char *digest, char path[BLOB_NAME_MAX])
{
    snprintf(path, BLOB_NAME_MAX, "tmp/blob-%s", digest_hex(digest));
}

static const struct timespec sealed[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 0}};

bool store_is_intact(int fd, const char *digest)
{
    autodigest *hash = digest_new();
    autofree char *chunk = malloc(HASH_CHUNK);
    char found[DIGEST_TEXT_MAX];
    ssize_t n = -1;

    if (!hash || !chunk)
        return false;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    while ((n = read(fd, chunk, HASH_CHUNK)) > 0 || (n < 0 && errno == EINTR))
        digest_update(hash, chunk, n > 0 ? (size_t)n : 0);
    if (n < 0)
        return false;
    digest_finish(hash, found);
    return strcmp(found, digest) == 0;
}

static int open_blob(const struct store *store, const char *digest)
{
    char path[BLOB_NAME_MAX];

    blob_path(digest, path);
    return openat(store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

bool store_has_blob(const struct store *store, const struct descriptor *blob)
{
    char path[BLOB_NAME_MAX];
    struct stat st;
    autofd fd = -1;

    blob_path(blob->digest, path);
    if (fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != blob->size)
        return false;
    if (st.st_mtim.tv_sec == 0 && st.st_mtim.tv_nsec == 0)
        return true;
    fd = open_blob(store, blob->digest);
    return fd >= 0 && store_is_intact(fd, blob->digest) && futimens(fd, sealed) == 0;
}

static int lock_blob(const struct store *store, const char *digest, struct err *err)
{
    char lock[BLOB_NAME_MAX];

    snprintf(lock, sizeof(lock), "blob-%s", digest_hex(digest));
    return store_lock(store, lock, LOCK_EX, err);
}

bool store_is_damaged(const struct store *store, const char *digest)
{
    autofd fd = open_blob(store, digest);

    return fd >= 0 && !store_is_intact(fd, digest);
}

bool store_drop_damaged(const struct store *store, const char *digest)
{
    char path[BLOB_NAME_MAX];
    autofd lock = -1;
    struct err err;

    if (!store_is_damaged(store, digest))
        return false;
    lock = lock_blob(store, digest, &err);
    /* Whoever held the lock before may have brought the right one. */
    if (lock < 0 || !store_is_damaged(store, digest))
        return false;
    blob_path(digest, path);
    return unlinkat(store->fd, path, 0) == 0;
}

int store_open_blob(const struct store *store, const char *digest, struct err *err)
{
    int fd = open_blob(store, digest);

    if (fd < 0)
        err_errno(err, ERR_IMAGE_CORRUPT, "the image store lacks the blob '%s'", digest);
    return fd;
}

bool store_read_blob(const struct store *store, const char *digest, struct buf *buf,
                     struct err *err)
{
    autofd fd = store_open_blob(store, digest, err);

    return fd >= 0 && file_read_fd(fd, digest, buf, ERR_IMAGE_CORRUPT, err);
}

bool store_put_blob(const struct store *store, const char *digest, const void *bytes, size_t len,
                    struct err *err)
{
    const struct descriptor blob = {.digest = (char *)digest, .size = len};
    autoblobwriter writer = BLOB_WRITER_INIT;
    bool present;

    store_drop_damaged(store, digest);
    if (!blob_begin(store, &blob, &writer, &present, err))
        return false;
    return present || (blob_write(&writer, bytes, len, err) && blob_commit(&writer, err));
}

/* The compression is the manifest's word: another one may call the same bytes something else. */
static void layer_note(const struct layer *layer, const char *diff_id, char path[BLOB_NAME_MAX],
                       char text[LAYER_NOTE_MAX])
{
    snprintf(path, BLOB_NAME_MAX, "locks/blob-%s", digest_hex(layer->blob.digest));
    snprintf(text, LAYER_NOTE_MAX, "%d %s\n", layer->compression, diff_id);
}

bool store_holds_layer(const struct store *store, const struct layer *layer, const char *diff_id)
{
    char path[BLOB_NAME_MAX], text[LAYER_NOTE_MAX];
    autobuf found = BUF_INIT(LAYER_NOTE_MAX);
    struct err ignored;

    layer_note(layer, diff_id, path, text);
    return file_read(store->fd, path, &found, ERR_IMAGE_CORRUPT, &ignored) &&
           found.len == strlen(text) && memcmp(found.data, text, found.len) == 0;
}

void store_note_layer(const struct store *store, const struct layer *layer, const char *diff_id)
{
    char path[BLOB_NAME_MAX], text[LAYER_NOTE_MAX];
    autofd fd = -1;

    layer_note(layer, diff_id, path, text);
    fd = openat(store->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        (void)!pwrite(fd, text, strlen(text), 0);
}

static bool blob_start(struct blob_writer *writer, struct err *err)
{
    char path[BLOB_NAME_MAX];

    unfinished_path(writer->blob->digest, path);
    writer->digest = digest_new();
    writer->fd = openat(writer->store->fd, path,
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!writer->digest)
        return no_memory(err);
    return writer->fd >= 0 || err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", path);
}

bool blob_begin(const struct store *store, const struct descriptor *blob,
                struct blob_writer *writer, bool *present, struct err *err)
{
    *present = store_has_blob(store, blob);
    if (*present)
        return true;
    writer->lock = lock_blob(store, blob->digest, err);
    if (writer->lock < 0)
        return false;
    writer->store = store;
    writer->blob = blob;
    /* Whoever held the lock before may have made it. */
    *present = store_has_blob(store, blob);
    return *present || blob_start(writer, err);
}

/* The disk has something to do while the rest arrives: there is less to wait for at the end. */
static void write_out(struct blob_writer *writer)
{
    uint64_t waiting = writer->written - writer->written_out;

    if (waiting < WRITE_OUT_BYTES)
        return;
    sync_file_range(writer->fd, (off_t)writer->written_out, (off_t)waiting, SYNC_FILE_RANGE_WRITE);
    writer->written_out = writer->written;
}

bool blob_write(struct blob_writer *writer, const void *bytes, size_t len, struct err *err)
{
    if (len > writer->blob->size - writer->written)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the blob '%s' is longer than the %" PRIu64 " bytes that its image names",
                       writer->blob->digest, writer->blob->size);
    digest_update(writer->digest, bytes, len);
    if (!file_write_all(writer->fd, bytes, len))
        return err_errno(err, ERR_CONFIG_INVALID, "cannot write the blob '%s'",
                         writer->blob->digest);
    writer->written += len;
    write_out(writer);
    return true;
}

bool blob_check(struct blob_writer *writer, struct err *err)
{
    const struct descriptor *blob = writer->blob;
    char found[DIGEST_TEXT_MAX];

    if (writer->written != blob->size)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the blob '%s' has %" PRIu64 " bytes, not the %" PRIu64
                       " that its image names",
                       blob->digest, writer->written, blob->size);
    digest_finish(writer->digest, found);
    return strcmp(found, blob->digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "the content of the blob '%s' is '%s'", blob->digest,
                   found);
}

bool blob_flush(struct blob_writer *writer, struct err *err)
{
    return fdatasync(writer->fd) == 0 ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot keep the blob '%s'", writer->blob->digest);
}

bool blob_publish(struct blob_writer *writer, struct err *err)
{
    const struct descriptor *blob = writer->blob;
    char from[BLOB_NAME_MAX], to[BLOB_NAME_MAX];

    unfinished_path(blob->digest, from);
    blob_path(blob->digest, to);
    if (futimens(writer->fd, sealed) < 0 ||
        renameat(writer->store->fd, from, writer->store->fd, to) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot keep the blob '%s'", blob->digest);
    writer->fd = close_fd(writer->fd);
    return true;
}

bool blob_commit(struct blob_writer *writer, struct err *err)
{
    return blob_check(writer, err) && blob_flush(writer, err) && blob_publish(writer, err);
}

void blob_writer_release(struct blob_writer *writer)
{
    char path[BLOB_NAME_MAX];

    if (writer->fd >= 0) {
        unfinished_path(writer->blob->digest, path);
        unlinkat(writer->store->fd, path, 0);
    }
    digest_free(writer->digest);
    close_fd(writer->fd);
    close_fd(writer->lock);
    *writer = BLOB_WRITER_INIT;
}

/* ---- records ---- */

static json_t *strv_json(const struct strv *strv)
{
    json_t *list = json_array();

    for (size_t i = 0; i < strv->count; i++)
        json_array_append_new(list, json_bytes(strv->items[i], strlen(strv->items[i])));
    return list;
}

json_t *store_image_json(const struct image *image)
{
    char platform[PLATFORM_TEXT_MAX];

    platform_text(&image->platform, platform);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:o, s:s, s:s, s:o}", "schema",
                     STORE_IMAGE_SCHEMA, "manifest_digest", image->manifest_digest, "config_digest",
                     image->config_digest, "platform", platform, "entrypoint",
                     strv_json(&image->entrypoint), "entrypoint_history", image->entrypoint_history,
                     "env", strv_json(&image->env), "user", image->user, "workdir", image->workdir,
                     "diff_ids", strv_json(&image->diff_ids));
}

static bool write_json(const struct store *store, const char *path, const json_t *json,
                       struct err *err)
{
    autofree char *text = json ? json_dump_page(json) : NULL;

    if (!text)
        return no_memory(err);
    return file_replace(store->fd, path, text, strlen(text), 0600, ERR_CONFIG_INVALID, err);
}

static bool write_beside(const struct store *store, const char *dir, const char *name,
                         const char *text, struct err *err)
{
    autofree char *path = text_printf("%s/%s", dir, name);

    if (!path)
        return no_memory(err);
    return file_replace(store->fd, path, text, strlen(text), 0600, ERR_CONFIG_INVALID, err);
}

char *store_image_text(const struct image *image)
{
    autojson *json = store_image_json(image);
    char accounts[DIGEST_TEXT_MAX];

    if (!json || !store_accounts_digest(image, accounts) ||
        json_object_set_new(json, "accounts_digest", json_string(accounts)) < 0)
        return NULL;
    return json_dump_page(json);
}

/* The lock of a cell is on this very file. Whoever reads a half of it finds no record. */
static bool write_over(const struct store *store, const char *dir, const char *name,
                       const char *text, struct err *err)
{
    autofree char *path = text_printf("%s/%s", dir, name);
    autofd fd = path ? openat(store->fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

    return (fd >= 0 && file_write_all(fd, text, strlen(text)) &&
            ftruncate(fd, (off_t)strlen(text)) == 0 && fsync(fd) == 0) ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot write '%s/%s'", dir, name);
}

bool store_same_image(const struct image *image, const struct image *other)
{
    autojson *one = store_image_json(image), *two = store_image_json(other);

    return one && two && json_equal(one, two);
}

/* What stays of a record is all that keeps the layers of a cell. */
static bool names_others(const struct image *there, const struct image *image)
{
    for (size_t i = 0; i < there->diff_ids.count; i++) {
        if (!strv_contains(&image->diff_ids, there->diff_ids.items[i]))
            return true;
    }
    return false;
}

static bool refuse_busy(const struct image *image, struct err *err)
{
    err_set(err, ERR_STORE_BUSY,
            "the record of the image '%s' is not what its configuration says, and a cell holds it",
            image->manifest_digest);
    return err_hint(err, "pull it again when the cell has ended");
}

static bool write_image(const struct store *store, const struct image *image,
                        const struct image *there, struct err *err)
{
    autofree char *dir = text_printf("images/%s", digest_hex(image->manifest_digest));
    autofree char *text = store_image_text(image);
    autofd held = -1;
    bool busy;

    if (!dir || !text)
        return no_memory(err);
    held = store_claim_image(store, image->manifest_digest, &busy);
    if (busy && names_others(there, image))
        return refuse_busy(image, err);
    if (mkdirat(store->fd, dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", dir);
    return write_beside(store, dir, "passwd", image->passwd, err) &&
           write_beside(store, dir, "group", image->group, err) &&
           (busy ? write_over : write_beside)(store, dir, "image.json", text, err);
}

bool store_save_image(const struct store *store, const struct image *image, struct err *err)
{
    autofd lock = store_lock(store, "images", LOCK_EX, err);
    autoimage there = IMAGE_INIT;
    bool found;

    if (lock < 0 || !store_load_image(store, image->manifest_digest, &found, &there, err))
        return false;
    if (found && store_same_image(&there, image))
        return true;
    there.lock = close_fd(there.lock); /* it is no cell's */
    return write_image(store, image, &there, err);
}

static json_t *source_json(const struct store_fingerprint *fingerprint)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "dev", (json_int_t)fingerprint->dev, "ino",
                     (json_int_t)fingerprint->ino, "size", (json_int_t)fingerprint->size,
                     "mtime_ns", (json_int_t)fingerprint->mtime_ns, "ctime_ns",
                     (json_int_t)fingerprint->ctime_ns);
}

/* The digest of a name's record without its checksum, which is that. */
static bool name_digest(const json_t *record, char text[DIGEST_TEXT_MAX])
{
    autojson *copy = json_copy((json_t *)record);
    autofree char *line = NULL;

    if (copy)
        json_object_del(copy, NAME_CHECKSUM);
    line = copy ? json_dump_line(copy) : NULL;
    if (line)
        digest_of(line, strlen(line), text);
    return line;
}

bool store_name_is_right(const json_t *record)
{
    const char *written = json_text(record, NAME_CHECKSUM);
    char found[DIGEST_TEXT_MAX];

    return written && name_digest(record, found) && strcmp(written, found) == 0;
}

bool store_has_right_name(const struct store *store, const struct reference *reference)
{
    autofree char *path = store_reference_path(reference);
    struct err ignored;
    autojson *record = NULL;

    if (path)
        record = json_read_file(store->fd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored);
    return store_name_is_right(record);
}

static json_t *name_entry(const char *digest, const char *manifest_digest)
{
    return json_pack("{s:s, s:s}", "digest", digest, "manifest_digest", manifest_digest);
}

/*
 * What a damaged name's record says of images that are here, wherever in its text: a digest that a
 * bit has changed is nobody's. The index that a registry's tag stood for the next pull tells.
 */
static json_t *salvage(const struct store *store, const struct reference *reference,
                       const struct buf *text)
{
    const char *p = text->data, *end = p + text->len;
    json_t *platforms = json_object();

    while ((p = memmem(p, (size_t)(end - p), "sha256:", strlen("sha256:"))) &&
           json_object_size(platforms) < PLATFORMS_MAX - 1) {
        automanifest manifest = {0};
        autoimage image = IMAGE_INIT;
        char digest[DIGEST_TEXT_MAX], platform[PLATFORM_TEXT_MAX];
        struct err ignored;

        snprintf(digest, sizeof(digest), "%s", p++);
        if (!digest_is_valid(digest) ||
            !store_read_image(store, digest, &manifest, &image, &ignored))
            continue;
        platform_text(&image.platform, platform);
        json_object_set_new(platforms, platform,
                            name_entry(reference->digest ? reference->digest : digest, digest));
    }
    return platforms;
}

/* What is known for other platforms: kept, unless it was read from another state of a local source.
 */
static json_t *other_platforms(const struct store *store, const struct reference *reference,
                               const char *path, const json_t *source)
{
    autobuf text = BUF_INIT(RECORD_MAX);
    autojson *old = NULL;
    const char *schema;
    json_t *platforms;
    struct err err;

    if (!file_read(store->fd, path, &text, ERR_IMAGE_CORRUPT, &err))
        return json_object();
    old = json_parse(text.data, text.len, path, ERR_IMAGE_CORRUPT, &err);
    if (!store_name_is_right(old))
        return source || !text.len ? json_object() : salvage(store, reference, &text);
    schema = json_text(old, "schema");
    platforms = json_object_get(old, "platforms");
    if (!schema || strcmp(schema, STORE_NAME_SCHEMA) != 0 || !json_is_object(platforms) ||
        json_object_size(platforms) >= PLATFORMS_MAX ||
        (source && !json_equal(source, json_object_get(old, "source"))))
        return json_object();
    return json_incref(platforms);
}

static bool make_parents(const struct store *store, const char *path, struct err *err)
{
    autofree char *dir = strdup(path);
    autofd fd = -1;

    if (!dir)
        return no_memory(err);
    *strrchr(dir, '/') = '\0';
    fd = path_make_dirs_in(store->fd, dir, 0700);
    return fd >= 0 || err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", dir);
}

bool store_save_name(const struct store *store, const struct reference *reference,
                     const struct platform *platform, const struct image_name *name,
                     const struct store_fingerprint *fingerprint, struct err *err)
{
    autofree char *path = store_reference_path(reference);
    autojson *source = fingerprint ? source_json(fingerprint) : NULL;
    autojson *record = NULL;
    autofd lock = -1;
    char text[PLATFORM_TEXT_MAX], checksum[DIGEST_TEXT_MAX];
    json_t *platforms;

    if (!path)
        return err_set(err, ERR_OPTION_INVALID, "the reference '%s' is too long", reference->given);
    lock = store_lock(store, "references", LOCK_EX, err);
    if (lock < 0 || !make_parents(store, path, err))
        return false;
    platforms = other_platforms(store, reference, path, source);
    platform_text(platform, text);
    json_object_set_new(platforms, text, name_entry(name->digest, name->manifest_digest));
    record = json_pack("{s:s, s:s, s:O*, s:o}", "schema", STORE_NAME_SCHEMA, "reference",
                       reference->name, "source", source, "platforms", platforms);
    if (!record || !name_digest(record, checksum) ||
        json_object_set_new(record, NAME_CHECKSUM, json_string(checksum)) < 0)
        return no_memory(err);
    return write_json(store, path, record, err);
}

/* ---- index.json ---- */

/* The entries of index.json whose name is kept; NULL is that of one without. A damaged index is
 * begun anew. */
static json_t *index_entries(const struct store *store,
                             bool (*is_kept)(void *data, const char *name), void *data)
{
    struct err err;
    autojson *old = json_read_file(store->fd, "index.json", RECORD_MAX, ERR_IMAGE_CORRUPT, &err);
    const json_t *entries = json_object_get(old, "manifests");
    json_t *kept = json_array(), *entry;
    size_t i;

    json_array_foreach (entries, i, entry) {
        if (is_kept(data, json_text(json_object_get(entry, "annotations"), ANNOTATION_REF_NAME)))
            json_array_append(kept, entry);
    }
    return kept;
}

static bool is_another(void *data, const char *name)
{
    return !name || strcmp(name, data) != 0;
}

static json_t *index_without(const struct store *store, const char *name)
{
    return index_entries(store, is_another, (void *)name);
}

bool store_write_index(const struct store *store, json_t *entries, struct err *err)
{
    autojson *index = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
                                "manifests", entries);

    return write_json(store, "index.json", index, err);
}

json_t *store_index_entry(const char *name, const char *digest, uint64_t size,
                          const struct platform *platform)
{
    return json_pack("{s:s, s:s, s:I, s:{s:s}, s:{s:s, s:s}}", "mediaType", MEDIA_OCI_MANIFEST,
                     "digest", digest, "size", (json_int_t)size, "annotations", ANNOTATION_REF_NAME,
                     name, "platform", "architecture", platform->arch, "os", platform->os);
}

bool store_oci_manifest(const struct store *store, const char *digest, char found[DIGEST_TEXT_MAX],
                        uint64_t *size, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    autofree char *oci = NULL;

    if (!store_read_blob(store, digest, &text, err) ||
        !manifest_as_oci(text.data, text.len, digest, &oci, err))
        return false;
    *size = oci ? strlen(oci) : text.len;
    digest_of(oci ? oci : text.data, *size, found);
    return !oci || store_put_blob(store, found, oci, *size, err);
}

bool store_save_index(const struct store *store, const char *name, const char *manifest_digest,
                      const struct platform *platform, struct err *err)
{
    autofd lock = store_lock(store, "index", LOCK_EX, err);
    char digest[DIGEST_TEXT_MAX];
    json_t *entries;
    uint64_t size;

    if (lock < 0 || !store_oci_manifest(store, manifest_digest, digest, &size, err))
        return false;
    entries = index_without(store, name);
    json_array_append_new(entries, store_index_entry(name, digest, size, platform));
    return store_write_index(store, entries, err);
}

bool store_remove_index(const struct store *store, const char *name, struct err *err)
{
    autofd lock = store_lock(store, "index", LOCK_EX, err);

    return lock >= 0 && store_write_index(store, index_without(store, name), err);
}

struct pruning {
    struct stored_names names;
    bool dropped;
};

static bool is_stored(void *data, const char *name)
{
    struct pruning *pruning = data;
    bool stored = stored_names_have(&pruning->names, name);

    pruning->dropped = pruning->dropped || !stored;
    return stored;
}

bool store_prune_index(const struct store *store, struct err *err)
{
    autofd lock = store_lock(store, "index", LOCK_EX, err);
    struct pruning pruning = {0};
    autojson *kept = NULL;

    if (lock < 0 || !store_list(store, &pruning.names, err))
        return false;
    if (!stored_names_are_all(&pruning.names, err)) {
        stored_names_release(&pruning.names);
        return false;
    }
    kept = index_entries(store, is_stored, &pruning);
    stored_names_release(&pruning.names);
    return !pruning.dropped || store_write_index(store, TAKE_PTR(kept), err);
}
