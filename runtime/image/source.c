#include "runtime/image/source.h"

#include <string.h>

struct source *source_open(const struct reference *reference, const struct platform *platform,
                           struct err *err)
{
    switch (reference->transport) {
    case TRANSPORT_REGISTRY:
        return registry_open(reference, err);
    case TRANSPORT_DOCKER_ARCHIVE:
        return docker_archive_open(reference, err);
    case TRANSPORT_OCI:
    case TRANSPORT_OCI_ARCHIVE:
        break;
    }
    return oci_layout_open(reference, platform, err);
}

static bool is_other(const struct source *source, const char *found, const char *digest,
                     struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT,
                   "'%s' is not what it should be: its source answers '%s' for '%s'",
                   source->reference->given, found, digest);
}

static bool check(const struct source *source, const struct descriptor *wanted,
                  const struct buf *text, struct err *err)
{
    char found[DIGEST_TEXT_MAX];

    digest_of(text->data, text->len, found);
    return (strcmp(found, wanted->digest) == 0 && text->len == wanted->size) ||
           is_other(source, found, wanted->digest, err);
}

bool source_top_text(struct source *source, struct source_top *top, char digest[DIGEST_TEXT_MAX],
                     struct err *err)
{
    if (!source->ops->top(source, top, err))
        return false;
    digest_of(top->text.data, top->text.len, digest);
    return !top->digest || strcmp(digest, top->digest) == 0 ||
           is_other(source, digest, top->digest, err);
}

bool source_manifest_text(struct source *source, const struct descriptor *manifest,
                          struct buf *text, struct err *err)
{
    return source->ops->manifest(source, manifest, text, err) && check(source, manifest, text, err);
}

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct buf *text = data;

    return buf_append(text, bytes, len) ||
           err_set(err, ERR_IMAGE_CORRUPT, "a blob is larger than %zu bytes", text->max);
}

bool source_blob_text(struct source *source, const struct descriptor *blob, struct buf *text,
                      struct err *err)
{
    const struct source_sink sink = {.write = take_bytes, .data = text};

    return source->ops->blob(source, blob, &sink, err) && check(source, blob, text, err);
}
