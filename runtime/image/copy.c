#include "runtime/image/copy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "runtime/image/manifest_parts.h"

/* ---- a blob as a file ---- */

/* A file without a name: it is gone with its descriptor. -1 with err. */
static int open_spool(struct err *err)
{
    const char *given = getenv("TMPDIR"), *directory = given && *given ? given : "/var/tmp";
    autofree char *path = text_printf("%s/stepcell.XXXXXX", directory);
    int fd = path ? mkostemp(path, O_CLOEXEC) : -1;

    if (fd < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a file in '%s'", directory);
        err_hint(err, "set TMPDIR to a directory with room for a layer");
    } else {
        unlink(path);
    }
    return fd;
}

struct spool {
    int fd;
    struct digest *digest;
    uint64_t size;
};

static bool spool_write(void *data, const void *bytes, size_t len, struct err *err)
{
    struct spool *spool = data;

    digest_update(spool->digest, bytes, len);
    spool->size += len;
    return file_write_all(spool->fd, bytes, len) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot keep a blob");
}

static bool spool_check(const struct spool *spool, const struct descriptor *blob, struct err *err)
{
    char found[DIGEST_TEXT_MAX];

    digest_finish(spool->digest, found);
    return (strcmp(found, blob->digest) == 0 && spool->size == blob->size) ||
           err_set(err, ERR_IMAGE_CORRUPT,
                   "the source gives '%s' with %llu bytes for '%s' with %llu", found,
                   (unsigned long long)spool->size, blob->digest, (unsigned long long)blob->size);
}

/* Nothing is sent before it is known to be what its digest says. */
static int spool_blob(struct source *source, const struct descriptor *blob, struct err *err)
{
    for (;;) {
        autofd fd = open_spool(err);
        autodigest *digest = digest_new();
        struct spool spool = {.fd = fd, .digest = digest};
        const struct source_sink sink = {.write = spool_write, .data = &spool};

        if (fd < 0)
            return -1;
        if (!digest) {
            err_errno(err, ERR_ENGINE_FAILED, "cannot keep a blob");
            return -1;
        }
        if (!source->ops->blob(source, blob, &sink, err))
            return -1;
        if (spool_check(&spool, blob, err))
            return TAKE_FD(fd);
        /* A mirror may have been wrong. */
        if (!source->ops->elsewhere || !source->ops->elsewhere(source))
            return -1;
    }
}

static int open_blob(void *data, const struct descriptor *blob, struct err *err)
{
    struct source *source = data;

    return source->ops->open ? source->ops->open(source, blob, err) : spool_blob(source, blob, err);
}

/* ---- manifests ---- */

/* The repository of the same registry that the source is, or NULL. */
static const char *mount_from(const struct push *push, const struct source *source)
{
    const struct reference *from = source->reference;
    autofree char *one = from->host ? reference_host(from->host) : NULL;
    autofree char *other = reference_host(push->target->host);

    return one && other && strcmp(one, other) == 0 && strcmp(from->path, push->target->path) != 0
               ? from->path
               : NULL;
}

static bool copy_at(struct push *push, struct source *source, const struct descriptor *manifest,
                    int depth, struct err *err);

static bool copy_parts(struct push *push, struct source *source, const struct manifest_parts *parts,
                       int depth, struct err *err)
{
    const struct push_blob_source bytes = {
        .mount = mount_from(push, source), .open = open_blob, .data = source};
    const char *what = source->reference->given;

    if (depth > INDEX_DEPTH_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d",
                       what, INDEX_DEPTH_MAX);
    for (size_t i = 0; i < parts->blob_count; i++) {
        if (!push_blob(push, &parts->blobs[i], &bytes, err))
            return false;
    }
    for (size_t i = 0; i < parts->child_count; i++) {
        if (parts->children[i].role == CHILD_UNKNOWN)
            return err_set(err, ERR_IMAGE_CORRUPT,
                           "the index of '%s' has an entry of an unknown type", what);
        if (!copy_at(push, source, &parts->children[i].manifest, depth + 1, err))
            return false;
    }
    return true;
}

static bool copy_at(struct push *push, struct source *source, const struct descriptor *manifest,
                    int depth, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    autoparts parts = {0};
    char digest[DIGEST_TEXT_MAX];
    bool found;

    if (push->manifests++ == INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "there are more than %d manifests",
                       INDEX_ENTRIES_MAX);
    if (!push_look(push, manifest->digest, &found, digest, err))
        return false;
    if (!source_manifest_text(source, manifest, &text, err))
        return err_context(err, "cannot copy the manifest '%s'", manifest->digest);
    return manifest_parts_parse(text.data, text.len, manifest->media_type, source->reference->given,
                                &parts, err) &&
           copy_parts(push, source, &parts, depth, err) &&
           (found || push_manifest(push, manifest->digest, &text, parts.media_type, err));
}

bool copy_manifest(struct push *push, struct source *source, const struct descriptor *manifest,
                   struct err *err)
{
    return copy_at(push, source, manifest, 0, err);
}

bool copy_contents(struct push *push, struct source *source, const struct buf *text,
                   const char *media_type, struct err *err)
{
    autoparts parts = {0};

    return manifest_parts_parse(text->data, text->len, media_type, source->reference->given, &parts,
                                err) &&
           copy_parts(push, source, &parts, 0, err);
}
