/* The store as a source: what was pulled before, for who reads blobs without asking a registry. */
#include <stdlib.h>
#include <string.h>

#include "runtime/image/source.h"
#include "runtime/image/store_write.h"

#define READ_CHUNK (64 << 10)

struct store_source {
    struct source source;
    const struct store *store;
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the store");
}

/* The store keeps the manifest of a platform, not the index that named it. */
static bool stored_top(struct source *source, struct source_top *top, struct err *err)
{
    const struct store *store = ((struct store_source *)source)->store;
    autoname name = {0};
    bool found;

    if (!store_lookup(store, source->reference, source->platform, &found, &name, err))
        return false;
    if (!found)
        return err_set(err, ERR_IMAGE_NOT_FOUND, "the image '%s' is not in the store",
                       source->reference->given);
    if (!store_read_blob(store, name.manifest_digest, &top->text, err))
        return false;
    top->digest = strdup(name.manifest_digest);
    return top->digest || no_memory(err);
}

static bool stored_manifest(struct source *source, const struct descriptor *manifest,
                            struct buf *text, struct err *err)
{
    return store_read_blob(((struct store_source *)source)->store, manifest->digest, text, err);
}

static int stored_open(struct source *source, const struct descriptor *blob, struct err *err)
{
    return store_open_blob(((struct store_source *)source)->store, blob->digest, err);
}

static bool stored_blob(struct source *source, const struct descriptor *blob,
                        const struct source_sink *sink, struct err *err)
{
    autofd fd = stored_open(source, blob, err);
    char chunk[READ_CHUNK];
    ssize_t n = 1;

    if (fd < 0)
        return false;
    while (n > 0) {
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read '%s'", blob->digest);
        else if (n > 0 && !sink->write(sink->data, chunk, (size_t)n, err))
            return false;
    }
    return true;
}

static void stored_close(struct source *source)
{
    free(source);
}

static const struct source_ops store_ops = {
    .top = stored_top,
    .manifest = stored_manifest,
    .blob = stored_blob,
    .open = stored_open,
    .close = stored_close,
};

struct source *store_source_open(const struct store *store, const struct reference *reference,
                                 struct err *err)
{
    struct store_source *source = calloc(1, sizeof(*source));

    if (!source) {
        no_memory(err);
        return NULL;
    }
    source->source = (struct source){.ops = &store_ops, .reference = reference};
    source->store = store;
    return &source->source;
}
