#include "runtime/image/store_export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/image/tar_write.h"

#define COPY_CHUNK   65536
#define NAME_SIZE    128
#define LOCK_WAIT_MS 5000 /* for other exports, which hold it while they write an index */
#define LOCK_LOOK_MS 50
#define LAYOUT       "{\"imageLayoutVersion\":\"1.0.0\"}\n"

/* Where the files go: one of the two. */
struct exporter {
    const struct store *store;
    const char *target; /* for messages */
    int dir;            /* or -1 */
    int archive;        /* or -1 */
};

static void exporter_release(struct exporter *exporter)
{
    close_fd(exporter->dir);
    close_fd(exporter->archive);
}

static bool failed(const struct exporter *exporter, struct err *err)
{
    return err_errno(err, ERR_CONFIG_INVALID, "cannot write '%s'", exporter->target);
}

static bool add_header(const struct exporter *exporter, const char *name, uint64_t size)
{
    const struct tar_entry entry = {.name = name, .type = TAR_FILE, .mode = 0644, .size = size};

    return tar_write_header(exporter->archive, &entry);
}

/* An archive needs no entries for directories. */
static bool add_directory(const struct exporter *exporter, const char *name, struct err *err)
{
    return exporter->archive >= 0 || mkdirat(exporter->dir, name, 0755) == 0 || errno == EEXIST ||
           failed(exporter, err);
}

static bool add_text(const struct exporter *exporter, const char *name, const char *text,
                     struct err *err)
{
    size_t len = strlen(text);

    if (exporter->archive < 0)
        return file_replace(exporter->dir, name, text, len, 0644, ERR_CONFIG_INVALID, err);
    return (add_header(exporter, name, len) && file_write_all(exporter->archive, text, len) &&
            tar_write_padding(exporter->archive, len)) ||
           failed(exporter, err);
}

/* Hashed while it is copied. */
static bool copy(const struct exporter *exporter, int from, int to, const char *digest,
                 struct err *err)
{
    autodigest *hash = digest_new();
    char chunk[COPY_CHUNK], found[DIGEST_TEXT_MAX];
    ssize_t n;

    if (!hash)
        return failed(exporter, err);
    while ((n = read(from, chunk, sizeof(chunk))) > 0) {
        digest_update(hash, chunk, (size_t)n);
        if (!file_write_all(to, chunk, (size_t)n))
            return failed(exporter, err);
    }
    if (n < 0)
        return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read the blob '%s'", digest);
    digest_finish(hash, found);
    if (strcmp(found, digest) == 0)
        return true;
    err_set(err, ERR_IMAGE_CORRUPT, "the blob '%s' in the store is damaged", digest);
    return err_hint(err, "run 'stepcell image verify', and pull the image again");
}

/* What is complete gets its name; everything else goes. Keeps errno. */
static bool keep(int dirfd, const char *temporary, const char *name, bool complete)
{
    int saved;

    if (complete && renameat(dirfd, temporary, dirfd, name) == 0)
        return true;
    saved = errno;
    unlinkat(dirfd, temporary, 0);
    errno = saved;
    return false;
}

static bool add_blob_file(const struct exporter *exporter, int from, const char *name,
                          const char *digest, struct err *err)
{
    autofree char *part = NULL;
    autofd to = file_create_beside(exporter->dir, name, 0644, &part);
    bool copied;

    if (to < 0)
        return failed(exporter, err);
    copied = copy(exporter, from, to, digest, err);
    if (keep(exporter->dir, part, name, copied && fdatasync(to) == 0))
        return true;
    return copied && failed(exporter, err);
}

static bool add_blob(const struct exporter *exporter, const char *digest, struct err *err)
{
    autofd from = store_open_blob(exporter->store, digest, err);
    char name[NAME_SIZE];
    struct stat st;

    if (from < 0)
        return false;
    if (fstat(from, &st) < 0)
        return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read the blob '%s'", digest);
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
    if (exporter->archive < 0)
        return add_blob_file(exporter, from, name, digest, err);
    return (add_header(exporter, name, (uint64_t)st.st_size) || failed(exporter, err)) &&
           copy(exporter, from, exporter->archive, digest, err) &&
           (tar_write_padding(exporter->archive, (uint64_t)st.st_size) || failed(exporter, err));
}

/* The index of a layout that is there, whoever made it, or an empty one. */
static json_t *read_index(const struct exporter *exporter, struct err *err)
{
    autojson *index = NULL;
    json_t *entries;

    errno = 0;
    if (exporter->archive < 0)
        index = json_read_file(exporter->dir, "index.json", MANIFEST_MAX, ERR_CONFIG_INVALID, err);
    if (exporter->archive >= 0 || (!index && errno == ENOENT))
        index = json_object();
    entries = json_object_get(index, "manifests");
    /* umoci writes null for none. */
    if (index && (!entries || json_is_null(entries)))
        json_object_set_new(index, "manifests", json_array());
    if (json_is_array(json_object_get(index, "manifests")))
        return TAKE_PTR(index);
    if (index)
        err_set(err, ERR_CONFIG_INVALID, "'index.json' is no index of images");
    err_context(err, "the layout '%s'", exporter->target);
    err_hint(err, "mend it, or name another directory");
    return NULL;
}

static void drop_tag(json_t *entries, const char *tag)
{
    for (size_t i = json_array_size(entries); i-- > 0;) {
        const json_t *annotations = json_object_get(json_array_get(entries, i), "annotations");
        const char *ref = json_text(annotations, ANNOTATION_REF_NAME);

        if (ref && strcmp(ref, tag) == 0)
            json_array_remove(entries, i);
    }
}

/* Whoever else may read the layout may hold its lock for good. */
static bool lock_layout(const struct exporter *exporter, struct err *err)
{
    const struct timespec look = {.tv_nsec = LOCK_LOOK_MS * NS_PER_MS};
    int64_t deadline = clock_now() + LOCK_WAIT_MS * NS_PER_MS;

    while (flock(exporter->dir, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return failed(exporter, err);
        if (clock_now() > deadline)
            return err_set(err, ERR_STORE_BUSY, "somebody else holds the lock of the layout '%s'",
                           exporter->target);
        nanosleep(&look, NULL);
    }
    return true;
}

/* What else the index says is kept. No other export adds to it meanwhile. */
static bool add_index(const struct exporter *exporter, json_t *entry, const char *tag,
                      struct err *err)
{
    autojson *added = entry, *index = NULL;
    autofree char *text = NULL;
    json_t *entries;

    if (exporter->archive < 0 && !lock_layout(exporter, err))
        return false;
    index = read_index(exporter, err);
    if (!index)
        return false;
    entries = json_object_get(index, "manifests");
    drop_tag(entries, tag);
    if (json_array_append(entries, added) < 0 ||
        json_object_set_new(index, "schemaVersion", json_integer(2)) < 0 ||
        json_object_set_new(index, "mediaType", json_string(MEDIA_OCI_INDEX)) < 0)
        return failed(exporter, err);
    text = json_dump_line(index);
    return text ? add_text(exporter, "index.json", text, err) : failed(exporter, err);
}

static char *blob_name(const char *digest)
{
    return text_printf("blobs/sha256/%s", digest_hex(digest));
}

/* What Docker reads that does not know layouts: the same files under the names of its own list. */
static bool add_docker_list(const struct exporter *exporter, const struct manifest *manifest,
                            struct err *err)
{
    autojson *layers = json_array(), *list = NULL;
    autofree char *config = blob_name(manifest->config.digest), *text = NULL;

    for (size_t i = 0; layers && i < manifest->layer_count; i++) {
        autofree char *name = blob_name(manifest->layers[i].blob.digest);

        if (!name || json_array_append_new(layers, json_string(name)) < 0)
            return failed(exporter, err);
    }
    list = layers && config ? json_pack("[{s:s, s:O}]", "Config", config, "Layers", layers) : NULL;
    text = list ? json_dump_line(list) : NULL;
    return text ? add_text(exporter, "manifest.json", text, err) : failed(exporter, err);
}

/* What is there before the index names it. */
static bool export_to(const struct exporter *exporter, const struct image_name *name,
                      const struct platform *platform, const char *tag, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    automanifest manifest = {0};
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;

    if (!store_oci_manifest(exporter->store, name->manifest_digest, digest, &size, err) ||
        !store_read_blob(exporter->store, name->manifest_digest, &text, err) ||
        !manifest_parse(text.data, text.len, NULL, name->reference, &manifest, err) ||
        !add_text(exporter, "oci-layout", LAYOUT, err) || !add_directory(exporter, "blobs", err) ||
        !add_directory(exporter, "blobs/sha256", err) || !add_blob(exporter, digest, err) ||
        !add_blob(exporter, manifest.config.digest, err))
        return false;
    for (size_t i = 0; i < manifest.layer_count; i++) {
        bool repeated = false;

        for (size_t k = 0; k < i && !repeated; k++)
            repeated = strcmp(manifest.layers[k].blob.digest, manifest.layers[i].blob.digest) == 0;
        if (!repeated && !add_blob(exporter, manifest.layers[i].blob.digest, err))
            return false;
    }
    /* A layout grows by further images, of which such a list would know nothing. */
    if (exporter->archive >= 0 && !add_docker_list(exporter, &manifest, err))
        return false;
    return add_index(exporter, store_index_entry(tag, digest, size, platform), tag, err);
}

static bool export_archive(struct exporter *exporter, const struct image_name *name,
                           const struct platform *platform, const char *tag, struct err *err)
{
    autofree char *part = NULL;
    bool written;

    exporter->archive = file_create_beside(AT_FDCWD, exporter->target, 0644, &part);
    if (exporter->archive < 0)
        return failed(exporter, err);
    written = export_to(exporter, name, platform, tag, err);
    if (keep(AT_FDCWD, part, exporter->target,
             written && tar_write_end(exporter->archive) && fsync(exporter->archive) == 0))
        return true;
    return written && failed(exporter, err);
}

bool store_export(const struct store *store, const struct image_name *name,
                  const struct platform *platform, const struct reference *target, struct err *err)
{
    CLEANUP(exporter_release)
    struct exporter exporter = {.store = store, .target = target->path, .dir = -1, .archive = -1};
    const char *tag = target->tag ? target->tag : "latest";
    autofd lock = store_lock(store, "store", LOCK_SH, err);

    if (lock < 0)
        return false;
    if (target->transport == TRANSPORT_OCI_ARCHIVE)
        return export_archive(&exporter, name, platform, tag, err);
    if (!file_make_dirs(target->path, 0755, ERR_CONFIG_INVALID, err))
        return false;
    exporter.dir = open(target->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (exporter.dir < 0)
        return failed(&exporter, err);
    return export_to(&exporter, name, platform, tag, err);
}
