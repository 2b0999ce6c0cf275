#include "runtime/image/store_export.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define COPY_CHUNK 65536
#define NAME_SIZE  128
#define LAYOUT     "{\"imageLayoutVersion\":\"1.0.0\"}\n"

/* Where the files go: one of the two. */
struct exporter {
    const struct store *store;
    const char *target; /* for messages */
    int dir;            /* or -1 */
    struct archive *archive;
};

static void exporter_release(struct exporter *exporter)
{
    close_fd(exporter->dir);
    archive_write_free(exporter->archive);
}

static bool failed(const struct exporter *exporter, struct err *err)
{
    if (exporter->archive && archive_errno(exporter->archive))
        errno = archive_errno(exporter->archive);
    return err_errno(err, ERR_CONFIG_INVALID, "cannot write '%s'", exporter->target);
}

static bool add_header(const struct exporter *exporter, const char *name, unsigned int type,
                       uint64_t size)
{
    struct archive_entry *entry = archive_entry_new();
    bool ok;

    if (!entry)
        return false;
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, type == AE_IFDIR ? 0755 : 0644);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_size(entry, (la_int64_t)size);
    ok = archive_write_header(exporter->archive, entry) == ARCHIVE_OK;
    archive_entry_free(entry);
    return ok;
}

static bool add_directory(const struct exporter *exporter, const char *name, struct err *err)
{
    bool ok = exporter->archive ? add_header(exporter, name, AE_IFDIR, 0)
                                : mkdirat(exporter->dir, name, 0755) == 0 || errno == EEXIST;

    return ok || failed(exporter, err);
}

static bool add_text(const struct exporter *exporter, const char *name, const char *text,
                     struct err *err)
{
    size_t len = strlen(text);

    if (!exporter->archive)
        return file_replace(exporter->dir, name, text, len, 0644, ERR_CONFIG_INVALID, err);
    return (add_header(exporter, name, AE_IFREG, len) &&
            archive_write_data(exporter->archive, text, len) == (la_ssize_t)len) ||
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
        if (exporter->archive ? archive_write_data(exporter->archive, chunk, (size_t)n) != n
                              : !file_write_all(to, chunk, (size_t)n))
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

static bool add_blob(const struct exporter *exporter, const char *digest, struct err *err)
{
    autofd from = store_open_blob(exporter->store, digest, err), to = -1;
    char name[NAME_SIZE], part[NAME_SIZE];
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return false;
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
    if (exporter->archive)
        return (add_header(exporter, name, AE_IFREG, (uint64_t)st.st_size) ||
                failed(exporter, err)) &&
               copy(exporter, from, -1, digest, err);
    snprintf(part, sizeof(part), "blobs/sha256/.%s", digest_hex(digest));
    to = openat(exporter->dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (to < 0)
        return failed(exporter, err);
    if (copy(exporter, from, to, digest, err) &&
        renameat(exporter->dir, part, exporter->dir, name) == 0)
        return true;
    unlinkat(exporter->dir, part, 0);
    return false;
}

static json_t *entry_json(const struct image_name *name, size_t size, const struct manifest *parsed,
                          const struct platform *platform, const char *tag)
{
    bool docker = parsed->layer_count && strstr(parsed->config.media_type, "docker");

    return json_pack("{s:s, s:s, s:I, s:{s:s, s:s}, s:{s:s}}", "mediaType",
                     docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST, "digest",
                     name->manifest_digest, "size", (json_int_t)size, "platform", "architecture",
                     platform->arch, "os", platform->os, "annotations", ANNOTATION_REF_NAME, tag);
}

/* The images of a layout that is there, but the one of this tag. */
static json_t *others(const struct exporter *exporter, const char *tag)
{
    struct err ignored;
    autojson *index = exporter->archive ? NULL
                                        : json_read_file(exporter->dir, "index.json", MANIFEST_MAX,
                                                         ERR_IMAGE_CORRUPT, &ignored);
    json_t *kept = json_array(), *entry;
    size_t i;

    json_array_foreach (json_object_get(index, "manifests"), i, entry) {
        const char *ref = json_text(json_object_get(entry, "annotations"), ANNOTATION_REF_NAME);

        if (!ref || strcmp(ref, tag) != 0)
            json_array_append(kept, entry);
    }
    return kept;
}

static bool add_index(const struct exporter *exporter, json_t *entry, const char *tag,
                      struct err *err)
{
    json_t *entries = others(exporter, tag);
    autojson *index = NULL;
    autofree char *text = NULL;

    json_array_append_new(entries, entry);
    index = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
                      "manifests", entries);
    text = index ? json_dump_line(index) : NULL;
    return text ? add_text(exporter, "index.json", text, err) : failed(exporter, err);
}

/* What is there before the index names it. */
static bool export_to(const struct exporter *exporter, const struct image_name *name,
                      const struct platform *platform, const char *tag, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    automanifest manifest = {0};

    if (!store_read_blob(exporter->store, name->manifest_digest, &text, err) ||
        !manifest_parse(text.data, text.len, NULL, name->reference, &manifest, err) ||
        !add_text(exporter, "oci-layout", LAYOUT, err) || !add_directory(exporter, "blobs", err) ||
        !add_directory(exporter, "blobs/sha256", err) ||
        !add_blob(exporter, name->manifest_digest, err) ||
        !add_blob(exporter, manifest.config.digest, err))
        return false;
    for (size_t i = 0; i < manifest.layer_count; i++) {
        bool repeated = false;

        for (size_t k = 0; k < i && !repeated; k++)
            repeated = strcmp(manifest.layers[k].blob.digest, manifest.layers[i].blob.digest) == 0;
        if (!repeated && !add_blob(exporter, manifest.layers[i].blob.digest, err))
            return false;
    }
    return add_index(exporter, entry_json(name, text.len, &manifest, platform, tag), tag, err);
}

static bool open_archive(struct exporter *exporter, int fd)
{
    exporter->archive = archive_write_new();
    return exporter->archive && archive_write_set_format_pax_restricted(exporter->archive) == 0 &&
           archive_write_add_filter_none(exporter->archive) == ARCHIVE_OK &&
           archive_write_open_fd(exporter->archive, fd) == ARCHIVE_OK;
}

static bool export_archive(struct exporter *exporter, const struct image_name *name,
                           const struct platform *platform, const char *tag, struct err *err)
{
    autofree char *part = text_printf("%s.part", exporter->target);
    autofd fd = part ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

    if (fd < 0)
        return failed(exporter, err);
    if ((open_archive(exporter, fd) || failed(exporter, err)) &&
        export_to(exporter, name, platform, tag, err)) {
        if (archive_write_close(exporter->archive) == ARCHIVE_OK && fsync(fd) == 0 &&
            rename(part, exporter->target) == 0)
            return true;
        failed(exporter, err);
    }
    unlink(part);
    return false;
}

bool store_export(const struct store *store, const struct image_name *name,
                  const struct platform *platform, const struct reference *target, struct err *err)
{
    CLEANUP(exporter_release)
    struct exporter exporter = {.store = store, .target = target->path, .dir = -1};
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
