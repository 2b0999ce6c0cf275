/* The source of "oci:" and "oci-archive:": an OCI image layout (image-spec image-layout.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/bundle.h"
#include "runtime/image/source.h"

#define COPY_CHUNK    (256 << 10)
#define BLOB_NAME_MAX 128 /* "blobs/sha256/HEX" */
#define NAMES_MAX     1024

struct oci_layout {
    struct source source;
    struct bundle bundle;
    char chunk[COPY_CHUNK];
};

static void blob_name(const char *digest, char name[BLOB_NAME_MAX])
{
    snprintf(name, BLOB_NAME_MAX, "blobs/sha256/%s", digest_hex(digest));
}

static bool layout_manifest(struct source *source, const struct descriptor *manifest,
                            struct buf *text, struct err *err)
{
    struct oci_layout *layout = (struct oci_layout *)source;
    char name[BLOB_NAME_MAX];

    blob_name(manifest->digest, name);
    return bundle_read_all(&layout->bundle, name, text, err);
}

static bool layout_blob(struct source *source, const struct descriptor *blob,
                        const struct source_sink *sink, struct err *err)
{
    struct oci_layout *layout = (struct oci_layout *)source;
    autobundlefile file = BUNDLE_FILE_INIT;
    char name[BLOB_NAME_MAX];
    ssize_t n;

    blob_name(blob->digest, name);
    if (!bundle_find(&layout->bundle, name, &file, err))
        return false;
    while ((n = bundle_read(&file, layout->chunk, sizeof(layout->chunk), err)) > 0) {
        if (!sink->write(sink->data, layout->chunk, (size_t)n, err))
            return false;
    }
    return n == 0;
}

static bool unknown_tag(const struct reference *reference, const struct manifest *index,
                        struct err *err)
{
    autobuf names = BUF_INIT(NAMES_MAX);

    for (size_t i = 0; i < index->entry_count; i++) {
        const char *name = index->entries[i].ref_name;

        /* A list that is too long is cut: buf_printf then adds nothing. */
        buf_printf(&names, "%s%s", i ? ", " : "", name ? name : "(no name)");
    }
    if (reference->tag)
        err_set(err, ERR_IMAGE_NOT_FOUND, "'%s' holds no image '%s'", reference->path,
                reference->tag);
    else
        err_set(err, ERR_IMAGE_NOT_FOUND, "'%s' holds several images, or none", reference->path);
    return err_hint(err, "name one of these behind a ':': %s", names.len ? names.data : "none");
}

/* Whether all of the entries that are left carry the same name, or there is one only. */
static bool is_one_image(const struct manifest *index)
{
    for (size_t i = 1; i < index->entry_count; i++) {
        const char *a = index->entries[0].ref_name, *b = index->entries[i].ref_name;

        if ((a || b) && (!a || !b || strcmp(a, b) != 0))
            return false;
    }
    return index->entry_count > 0;
}

/* Moves the entries that the reference names to the front; the others stay owned behind them. */
static size_t select_entries(const struct reference *reference, struct manifest *index)
{
    size_t count = 0;

    for (size_t i = 0; i < index->entry_count; i++) {
        struct index_entry entry = index->entries[i];

        if (reference->tag && (!entry.ref_name || strcmp(entry.ref_name, reference->tag) != 0))
            continue;
        index->entries[i] = index->entries[count];
        index->entries[count++] = entry;
    }
    return count;
}

/* Several entries of one name are one image for several platforms. */
static bool layout_top(struct source *source, struct source_top *top, struct err *err)
{
    struct oci_layout *layout = (struct oci_layout *)source;
    const struct reference *reference = source->reference;
    autobuf index_text = BUF_INIT(MANIFEST_MAX);
    automanifest index = {0};
    struct manifest selected;
    const struct index_entry *entry;

    if (!bundle_read_all(&layout->bundle, "index.json", &index_text, err) ||
        !manifest_parse(index_text.data, index_text.len, MEDIA_OCI_INDEX, reference->given, &index,
                        err))
        return false;
    selected = index;
    selected.entry_count = select_entries(reference, &index);
    if (!is_one_image(&selected) || (selected.entry_count > 1 && !source->platform))
        return unknown_tag(reference, &index, err);
    entry = selected.entry_count == 1
                ? &selected.entries[0]
                : manifest_choose(&selected, source->platform, reference->given, err);
    if (!entry || !manifest_entry_check(entry, reference->given, err) ||
        !layout_manifest(source, &entry->manifest, &top->text, err))
        return false;
    top->media_type = strdup(entry->manifest.media_type);
    top->digest = strdup(entry->manifest.digest);
    return (top->media_type && top->digest) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", reference->path);
}

static void layout_close(struct source *source)
{
    struct oci_layout *layout = (struct oci_layout *)source;

    bundle_close(&layout->bundle);
    free(layout);
}

static const struct source_ops layout_ops = {
    .top = layout_top,
    .manifest = layout_manifest,
    .blob = layout_blob,
    .close = layout_close,
};

struct source *oci_layout_open(const struct reference *reference, const struct platform *platform,
                               struct err *err)
{
    struct oci_layout *layout = calloc(1, sizeof(*layout));

    if (!layout) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot open '%s'", reference->path);
        return NULL;
    }
    layout->source =
        (struct source){.ops = &layout_ops, .reference = reference, .platform = platform};
    layout->bundle = BUNDLE_INIT;
    if (!bundle_open(reference->path, reference->transport == TRANSPORT_OCI, &layout->bundle,
                     err)) {
        layout_close(&layout->source);
        return NULL;
    }
    return &layout->source;
}
