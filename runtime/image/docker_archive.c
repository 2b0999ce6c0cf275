/*
 * The source of "docker-archive:": what `docker save` writes. It holds no manifest of a registry's
 * kind, so one is made here: always the same for the same image. Layers are tars, nearly always
 * uncompressed, so that a layer's digest is its diff id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json.h"
#include "runtime/image/bundle.h"
#include "runtime/image/image_config.h"
#include "runtime/image/source.h"

#define COPY_CHUNK (256 << 10)
#define NAMES_MAX  1024
#define MAGIC_LEN  4

struct archive_layer {
    char *name; /* in the archive */
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    enum compression compression;
};

struct docker_archive {
    struct source source;
    struct bundle bundle;
    struct buf config;
    char config_digest[DIGEST_TEXT_MAX];
    struct archive_layer layers[IMAGE_LAYERS_MAX];
    size_t layer_count;
    char chunk[COPY_CHUNK];
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read an archive");
}

static bool corrupt(const struct docker_archive *archive, const char *why, struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not what 'docker save' writes: %s",
                   archive->bundle.path, why);
}

/* ---- finding the image ---- */

/* RepoTags are compared in their normal form. */
static bool has_tag(const json_t *image, const char *wanted)
{
    const json_t *tag;
    size_t i;

    json_array_foreach (json_object_get(image, "RepoTags"), i, tag) {
        autoreference reference = {0};
        struct err err;

        if (json_is_string(tag) && reference_parse(json_string_value(tag), "/", &reference, &err) &&
            strcmp(reference.name, wanted) == 0)
            return true;
    }
    return false;
}

static bool unknown_tag(const struct reference *reference, const json_t *images, struct err *err)
{
    autobuf names = BUF_INIT(NAMES_MAX);
    const json_t *image, *tag;
    size_t i, j;

    json_array_foreach (images, i, image) {
        json_array_foreach (json_object_get(image, "RepoTags"), j, tag) {
            if (json_is_string(tag))
                buf_printf(&names, "%s%s", names.len ? ", " : "", json_string_value(tag));
        }
    }
    if (reference->tag)
        err_set(err, ERR_IMAGE_NOT_FOUND, "'%s' holds no image '%s'", reference->path,
                reference->tag);
    else
        err_set(err, ERR_IMAGE_NOT_FOUND, "'%s' holds several images, or none", reference->path);
    return err_hint(err, "name one of these behind a ':': %s", names.len ? names.data : "none");
}

static const json_t *find_image(const struct reference *reference, const json_t *images,
                                struct err *err)
{
    const json_t *image;
    size_t i;

    if (!reference->tag && json_array_size(images) == 1)
        return json_array_get(images, 0);
    json_array_foreach (images, i, image) {
        if (reference->tag && has_tag(image, reference->tag))
            return image;
    }
    unknown_tag(reference, images, err);
    return NULL;
}

/* ---- its parts ---- */

/* "HEX.json" and "blobs/sha256/HEX" say what they are; other names say nothing. */
static bool name_agrees(const char *name, const char *digest)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    autofree char *said = text_printf("sha256:%.*s", (int)strcspn(base, "."), base);

    return said && (!digest_is_valid(said) || strcmp(said, digest) == 0);
}

static bool load_config(struct docker_archive *archive, const json_t *image, size_t layers,
                        struct image *config, struct err *err)
{
    const char *name = json_text(image, "Config");

    if (!name)
        return corrupt(archive, "it names no configuration", err);
    if (!bundle_read_all(&archive->bundle, name, &archive->config, err))
        return false;
    digest_of(archive->config.data, archive->config.len, archive->config_digest);
    if (!name_agrees(name, archive->config_digest))
        return corrupt(archive, "the configuration is not what its name says", err);
    return image_config_parse(archive->config.data, archive->config.len, archive->bundle.path,
                              layers, config, err);
}

static enum compression detect(const char magic[MAGIC_LEN], size_t len)
{
    static const struct {
        const char *magic;
        size_t len;
        enum compression compression;
    } known[] = {
        {"\x1f\x8b", 2, COMPRESSION_GZIP},
        {"\x28\xb5\x2f\xfd", 4, COMPRESSION_ZSTD},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (len >= known[i].len && memcmp(magic, known[i].magic, known[i].len) == 0)
            return known[i].compression;
    }
    return COMPRESSION_NONE;
}

/* Hashes what is left of `file`, behind the first bytes that were read already. */
static bool hash_rest(struct docker_archive *archive, struct bundle_file *file, const char *first,
                      size_t len, char text[DIGEST_TEXT_MAX], struct err *err)
{
    autodigest *digest = digest_new();
    ssize_t n;

    if (!digest)
        return no_memory(err);
    digest_update(digest, first, len);
    while ((n = bundle_read(file, archive->chunk, sizeof(archive->chunk), err)) > 0)
        digest_update(digest, archive->chunk, (size_t)n);
    if (n < 0)
        return false;
    digest_finish(digest, text);
    return true;
}

static bool load_layer(struct docker_archive *archive, const char *name, const char *diff_id,
                       struct err *err)
{
    struct archive_layer *layer = &archive->layers[archive->layer_count];
    autobundlefile file = BUNDLE_FILE_INIT;
    char magic[MAGIC_LEN];
    ssize_t n;

    if (!bundle_find(&archive->bundle, name, &file, err))
        return false;
    n = bundle_read(&file, magic, sizeof(magic), err);
    if (n < 0)
        return false;
    layer->size = file.size;
    layer->compression = detect(magic, (size_t)n);
    if (layer->compression == COMPRESSION_NONE)
        memcpy(layer->digest, diff_id, DIGEST_TEXT_MAX);
    else if (!hash_rest(archive, &file, magic, (size_t)n, layer->digest, err))
        return false;
    layer->name = strdup(name);
    archive->layer_count++;
    return layer->name || no_memory(err);
}

static bool load(struct docker_archive *archive, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    autoimage config = IMAGE_INIT;
    autojson *images = NULL;
    const json_t *image, *layers, *name;
    size_t i;

    if (!bundle_read_all(&archive->bundle, "manifest.json", &text, err))
        return false;
    images = json_parse(text.data, text.len, "manifest.json", ERR_IMAGE_CORRUPT, err);
    image = images ? find_image(archive->source.reference, images, err) : NULL;
    if (!image)
        return false;
    layers = json_object_get(image, "Layers");
    if (json_array_size(layers) > IMAGE_LAYERS_MAX)
        return corrupt(archive, "it has too many layers", err);
    if (!load_config(archive, image, json_array_size(layers), &config, err))
        return false;
    json_array_foreach (layers, i, name) {
        if (!json_is_string(name))
            return corrupt(archive, "the name of a layer is no string", err);
        if (!load_layer(archive, json_string_value(name), config.diff_ids.items[i], err))
            return false;
    }
    return true;
}

/* ---- the source ---- */

static json_t *descriptor_json(const char *media_type, const char *digest, uint64_t size)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size",
                     (json_int_t)size);
}

/* The one manifest. */
static bool archive_manifest(struct source *source, const struct descriptor *wanted,
                             struct buf *manifest_text, struct err *err)
{
    static const char *const media_types[] = {
        [COMPRESSION_NONE] = MEDIA_OCI_LAYER_TAR,
        [COMPRESSION_GZIP] = MEDIA_OCI_LAYER_TAR "+gzip",
        [COMPRESSION_ZSTD] = MEDIA_OCI_LAYER_TAR "+zstd",
    };
    struct docker_archive *archive = (struct docker_archive *)source;
    json_t *layers = json_array();
    autojson *manifest = json_pack(
        "{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST, "config",
        descriptor_json(MEDIA_OCI_CONFIG, archive->config_digest, archive->config.len), "layers",
        layers);
    autofree char *text = NULL;

    for (size_t i = 0; manifest && i < archive->layer_count; i++) {
        const struct archive_layer *layer = &archive->layers[i];

        json_array_append_new(
            layers, descriptor_json(media_types[layer->compression], layer->digest, layer->size));
    }
    (void)wanted; /* whoever asks compares the digest */
    text = manifest ? json_dump_line(manifest) : NULL;
    return (text && buf_append_text(manifest_text, text)) || no_memory(err);
}

static bool archive_top(struct source *source, struct source_top *top, struct err *err)
{
    top->media_type = strdup(MEDIA_OCI_MANIFEST);
    return top->media_type ? archive_manifest(source, NULL, &top->text, err) : no_memory(err);
}

static bool archive_blob(struct source *source, const struct descriptor *blob,
                         const struct source_sink *sink, struct err *err)
{
    struct docker_archive *archive = (struct docker_archive *)source;
    autobundlefile file = BUNDLE_FILE_INIT;
    const char *name = NULL;
    ssize_t n;

    if (strcmp(blob->digest, archive->config_digest) == 0)
        return sink->write(sink->data, archive->config.data, archive->config.len, err);
    for (size_t i = 0; i < archive->layer_count && !name; i++) {
        if (strcmp(blob->digest, archive->layers[i].digest) == 0)
            name = archive->layers[i].name;
    }
    if (!name)
        return corrupt(archive, "it lacks a layer", err);
    if (!bundle_find(&archive->bundle, name, &file, err))
        return false;
    while ((n = bundle_read(&file, archive->chunk, sizeof(archive->chunk), err)) > 0) {
        if (!sink->write(sink->data, archive->chunk, (size_t)n, err))
            return false;
    }
    return n == 0;
}

static void archive_close(struct source *source)
{
    struct docker_archive *archive = (struct docker_archive *)source;

    for (size_t i = 0; i < archive->layer_count; i++)
        free(archive->layers[i].name);
    buf_release(&archive->config);
    bundle_close(&archive->bundle);
    free(archive);
}

static const struct source_ops archive_ops = {
    .top = archive_top,
    .manifest = archive_manifest,
    .blob = archive_blob,
    .close = archive_close,
};

struct source *docker_archive_open(const struct reference *reference, struct err *err)
{
    struct docker_archive *archive = calloc(1, sizeof(*archive));

    if (!archive) {
        no_memory(err);
        return NULL;
    }
    archive->source = (struct source){.ops = &archive_ops, .reference = reference};
    archive->bundle = BUNDLE_INIT;
    archive->config = BUF_INIT(CONFIG_MAX);
    if (!bundle_open(reference->path, false, &archive->bundle, err)) {
        reference_hint(reference, err);
        archive_close(&archive->source);
        return NULL;
    }
    if (!load(archive, err)) {
        archive_close(&archive->source);
        return NULL;
    }
    return &archive->source;
}
