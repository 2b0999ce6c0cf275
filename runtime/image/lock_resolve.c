#include "runtime/image/lock_resolve.h"

#include <string.h>

#include "runtime/image/image_config.h"
#include "runtime/image/lock.h"
#include "runtime/image/source.h"

struct resolve {
    struct source *source;
    const char *what;
    json_t *platforms;
    size_t manifests; /* that were asked for */
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot resolve an image");
}

/* The first of several images for one platform is the one that would run. */
static bool add_platform(struct resolve *resolve, const struct platform *platform,
                         const char *digest, const char *config, struct err *err)
{
    char text[PLATFORM_TEXT_MAX];

    platform_text(platform, text);
    if (json_object_get(resolve->platforms, text))
        return true;
    if (json_object_size(resolve->platforms) == LOCK_PLATFORMS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has more than %d platforms", resolve->what,
                       LOCK_PLATFORMS_MAX);
    return json_object_set_new(resolve->platforms, text,
                               json_pack("{s:s, s:s}", "digest", digest, "config", config)) == 0 ||
           no_memory(err);
}

static bool read_config(struct source *source, const struct manifest *manifest, const char *what,
                        struct image *image, struct err *err)
{
    autobuf text = BUF_INIT(CONFIG_MAX);

    return source_blob_text(source, &manifest->config, &text, err) &&
           image_config_parse(text.data, text.len, what, manifest->layer_count, image, err);
}

/* Where the index does not say it, the configuration does. */
static bool platform_of_config(struct resolve *resolve, const struct manifest *manifest,
                               struct platform *platform, struct err *err)
{
    autoimage image = IMAGE_INIT;

    if (!read_config(resolve->source, manifest, resolve->what, &image, err))
        return false;
    *platform = image.platform;
    return true;
}

static bool add_manifest(struct resolve *resolve, const struct buf *text, const char *media_type,
                         const char *digest, const struct index_entry *entry, int depth,
                         struct err *err);

static bool add_entry(struct resolve *resolve, const struct index_entry *entry, int depth,
                      struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);

    /* One may be named many times, and on every level. */
    if (resolve->manifests++ == INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' names more than %d manifests", resolve->what,
                       INDEX_ENTRIES_MAX);
    return source_manifest_text(resolve->source, &entry->manifest, &text, err) &&
           add_manifest(resolve, &text, entry->manifest.media_type, entry->manifest.digest, entry,
                        depth + 1, err);
}

/* `entry` is what an index says of it, or NULL. */
static bool add_manifest(struct resolve *resolve, const struct buf *text, const char *media_type,
                         const char *digest, const struct index_entry *entry, int depth,
                         struct err *err)
{
    automanifest manifest = {0};
    struct platform platform;

    if (depth > INDEX_DEPTH_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d",
                       resolve->what, INDEX_DEPTH_MAX);
    if (!manifest_parse(text->data, text->len, media_type, resolve->what, &manifest, err))
        return false;
    for (size_t i = 0; i < manifest.entry_count; i++) {
        /* Nobody can run one that has a fault. */
        if (!manifest.entries[i].fault && !add_entry(resolve, &manifest.entries[i], depth, err))
            return false;
    }
    if (manifest.is_index)
        return true;
    if (entry && entry->has_platform)
        platform = entry->platform;
    else if (!platform_of_config(resolve, &manifest, &platform, err))
        return false;
    return add_platform(resolve, &platform, digest, manifest.config.digest, err);
}

static const char *media_type_of(const struct source_top *top, const char *what, struct err *err)
{
    automanifest manifest = {0};
    autojson *json = NULL;

    if (!manifest_parse(top->text.data, top->text.len, top->media_type, what, &manifest, err))
        return NULL;
    json = json_parse(top->text.data, top->text.len, what, ERR_IMAGE_CORRUPT, err);
    if (!json)
        return NULL;
    /* Docker's own say so themselves; OCI's may say nothing. */
    if (json_text(json, "mediaType") && strstr(json_text(json, "mediaType"), ".docker."))
        return manifest.is_index ? MEDIA_DOCKER_LIST : MEDIA_DOCKER_MANIFEST;
    return manifest.is_index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
}

json_t *lock_resolve(const struct reference *reference, struct err *err)
{
    autojson *platforms = json_object();
    autosource *source = registry_open(reference, err);
    struct resolve resolve = {.source = source, .what = reference->given, .platforms = platforms};
    autotop top = SOURCE_TOP_INIT;
    char digest[DIGEST_TEXT_MAX];
    const char *media_type;
    json_t *pin;

    if (!source || !source_top_text(source, &top, digest, err))
        return NULL;
    media_type = media_type_of(&top, reference->given, err);
    if (!media_type || !add_manifest(&resolve, &top.text, top.media_type, digest, NULL, 0, err))
        return NULL;
    if (json_object_size(platforms) == 0) {
        err_set(err, ERR_IMAGE_PLATFORM, "'%s' has an image for no platform", reference->given);
        return NULL;
    }
    pin = json_pack("{s:s, s:s, s:I, s:O}", "digest", digest, "media_type", media_type, "size",
                    (json_int_t)top.text.len, "platforms", platforms);
    if (!pin)
        no_memory(err);
    return pin;
}

char *lock_resolve_digest(const struct reference *reference, struct err *err)
{
    autosource *source = registry_open(reference, err);
    autotop top = SOURCE_TOP_INIT;
    char digest[DIGEST_TEXT_MAX];
    char *copy;

    if (!source || !source_top_text(source, &top, digest, err))
        return NULL;
    copy = strdup(digest);
    if (!copy)
        no_memory(err);
    return copy;
}

bool lock_resolve_image(const struct reference *reference, struct image *image, struct err *err)
{
    autosource *source = registry_open(reference, err);
    autotop top = SOURCE_TOP_INIT;
    automanifest manifest = {0};
    char digest[DIGEST_TEXT_MAX];

    if (!source || !source_top_text(source, &top, digest, err) ||
        !manifest_parse(top.text.data, top.text.len, top.media_type, reference->given, &manifest,
                        err))
        return false;
    if (manifest.is_index)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is an index", reference->given);
    return read_config(source, &manifest, reference->given, image, err);
}
