#include "runtime/image/gather.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/image/image_config.h"
#include "runtime/image/manifest_parts.h"

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot look for images");
}

void gather_release(struct gather *gather)
{
    index_images_release(&gather->images);
    strv_release(&gather->warnings);
    while (gather->source_count)
        cleanup_source(&gather->sources[--gather->source_count]);
}

static struct index_image *find(const struct gather *gather, const char *digest)
{
    for (size_t i = 0; i < gather->images.count; i++) {
        if (strcmp(gather->images.items[i].manifest.digest, digest) == 0)
            return &gather->images.items[i];
    }
    return NULL;
}

/* All that its entry would say beside the digest; NULL without memory. */
static char *entry_text(const struct index_image *image)
{
    autojson *both = json_pack("[O, O?]", image->written, image->annotations);

    return both ? json_dump_sorted(both) : NULL;
}

/* Indexes may say more or less of one image: the most counts, whichever came first. */
static bool keep_richer(struct index_image *kept, struct index_image *image, struct err *err)
{
    autofree char *one = entry_text(kept), *other = entry_text(image);
    struct index_image poorer = *kept;
    size_t one_len, other_len;

    if (!one || !other)
        return no_memory(err);
    one_len = strlen(one);
    other_len = strlen(other);
    if (other_len > one_len || (other_len == one_len && strcmp(other, one) > 0)) {
        *kept = *image;
        *image = poorer;
    }
    return true;
}

/* Annotations of an entry that hold for the image in any index. */
static bool copy_annotations(const json_t *annotations, json_t **copy, struct err *err)
{
    json_t *given = (json_t *)annotations, *value;
    const char *key;

    json_object_foreach (given, key, value) {
        if (strcmp(key, ANNOTATION_REF_NAME) == 0 || strcmp(key, "io.containerd.image.name") == 0 ||
            !json_is_string(value))
            continue;
        if (!*copy)
            *copy = json_object();
        if (json_object_set(*copy, key, value) < 0)
            return no_memory(err);
    }
    return true;
}

/* Takes what `image` holds. */
static bool keep(struct gather *gather, struct index_image *image, struct err *err)
{
    struct index_images *images = &gather->images;
    struct index_image *items = find(gather, image->manifest.digest);

    if (items)
        return keep_richer(items, image, err);
    /* What is for no system is no image, whatever its configuration's type. */
    if (!image->attests && strcmp(image->platform.os, "unknown") == 0) {
        gather->left_out++;
        return true;
    }
    if (images->count == INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "there are more than %d images", INDEX_ENTRIES_MAX);
    items = reallocarray(images->items, images->count + 1, sizeof(*items));
    if (!items)
        return no_memory(err);
    images->items = items;
    items[images->count++] = *image;
    *image = (struct index_image){0};
    return true;
}

static bool describe(struct source *source, const struct manifest_parts *parts,
                     const struct index_child *child, struct index_image *image, struct err *err)
{
    const char *what = source->reference->given;
    autobuf config = BUF_INIT(CONFIG_MAX);

    return source_blob_text(source, &parts->blobs[0], &config, err) &&
           index_image_describe(config.data ? config.data : "", config.len,
                                child ? child->platform : NULL, what, image, err) &&
           copy_annotations(child ? child->annotations : NULL, &image->annotations, err);
}

static bool check_whole(struct gather *gather, struct source *source,
                        const struct manifest_parts *parts, struct err *err)
{
    const char *what = source->reference->given;

    for (size_t i = 0; source->ops->has && i < parts->blob_count; i++) {
        bool found;

        if (gather->blobs++ == GATHER_BLOBS_MAX)
            return err_set(err, ERR_IMAGE_CORRUPT, "the images of '%s' have more than %d layers",
                           what, GATHER_BLOBS_MAX);
        if (!source->ops->has(source, &parts->blobs[i], &found, err))
            return false;
        if (!found)
            return err_set(err, ERR_IMAGE_NOT_FOUND, "the registry lacks '%s', a part of '%s'",
                           parts->blobs[i].digest, what);
    }
    return true;
}

/* A manifest that is no index; `child` is what an index says of it, or NULL. */
static bool add_image(struct gather *gather, struct source *source, const struct buf *text,
                      const struct manifest_parts *parts, const struct index_child *child,
                      struct err *err)
{
    CLEANUP(index_image_release) struct index_image image = {.source = source};
    char digest[DIGEST_TEXT_MAX];

    if (!parts->is_image && child) {
        gather->left_out++;
        return true;
    }
    if (!parts->is_image)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not an image but an artifact of type '%s'",
                       source->reference->given, parts->blobs[0].media_type);
    digest_of(text->data, text->len, digest);
    image.manifest = (struct descriptor){
        .media_type = strdup(parts->media_type), .digest = strdup(digest), .size = text->len};
    if (!image.manifest.media_type || !image.manifest.digest)
        return no_memory(err);
    return (!gather->whole || check_whole(gather, source, parts, err)) &&
           describe(source, parts, child, &image, err) && keep(gather, &image, err);
}

static bool add_attestation(struct gather *gather, struct source *source,
                            const struct index_child *child, struct err *err)
{
    CLEANUP(index_image_release) struct index_image image = {.source = source};

    image.manifest = (struct descriptor){.media_type = strdup(child->manifest.media_type),
                                         .digest = strdup(child->manifest.digest),
                                         .size = child->manifest.size};
    image.attests = strdup(child->attests);
    image.written = json_pack("{s:s, s:s}", "architecture", "unknown", "os", "unknown");
    if (!image.manifest.media_type || !image.manifest.digest || !image.attests || !image.written)
        return no_memory(err);
    return copy_annotations(child->annotations, &image.annotations, err) &&
           keep(gather, &image, err);
}

static bool add_text(struct gather *gather, struct source *source, const struct buf *text,
                     const char *media_type, const struct index_child *child, int depth,
                     struct err *err);

static bool add_child(struct gather *gather, struct source *source, const struct index_child *child,
                      int depth, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);

    switch (child->role) {
    case CHILD_IMAGE:
        break;
    case CHILD_ATTESTATION:
        return add_attestation(gather, source, child, err);
    case CHILD_OTHER:
    case CHILD_UNKNOWN:
        gather->left_out++;
        return true;
    }
    /* One may be named many times, and on every level. */
    if (gather->manifests++ == INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' names more than %d manifests",
                       source->reference->given, INDEX_ENTRIES_MAX);
    return source_manifest_text(source, &child->manifest, &text, err) &&
           add_text(gather, source, &text, child->manifest.media_type, child, depth + 1, err);
}

static bool add_text(struct gather *gather, struct source *source, const struct buf *text,
                     const char *media_type, const struct index_child *child, int depth,
                     struct err *err)
{
    const char *what = source->reference->given;
    autoparts parts = {0};

    if (depth > INDEX_DEPTH_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d",
                       what, INDEX_DEPTH_MAX);
    if (!manifest_parts_parse(text->data, text->len, media_type, what, &parts, err))
        return false;
    if (!parts.is_index)
        return add_image(gather, source, text, &parts, child, err);
    for (size_t i = 0; i < parts.child_count; i++) {
        if (!add_child(gather, source, &parts.children[i], depth, err))
            return false;
    }
    return true;
}

/* The same comes with every answer. */
static void note_warning(void *data, const char *host, const char *text)
{
    struct gather *gather = data;
    autofree char *warning = text_printf("the registry '%s' warns: %s", host, text);

    if (warning && gather->warnings.count < GATHER_WARNINGS_MAX &&
        !strv_contains(&gather->warnings, warning))
        (void)!strv_add(&gather->warnings, warning);
}

/* The type of the top, once it is known to be one. */
static bool note_top(const struct source_top *top, const char *what, struct gather_top *noted,
                     struct err *err)
{
    autoparts parts = {0};

    if (!manifest_parts_parse(top->text.data, top->text.len, top->media_type, what, &parts, err))
        return false;
    noted->media_type = parts.media_type;
    noted->size = top->text.len;
    return true;
}

bool gather_add(struct gather *gather, const struct reference *reference, struct gather_top *top,
                struct err *err)
{
    autotop text = SOURCE_TOP_INIT;
    struct gather_top unused;
    struct source *source;

    top = top ? top : &unused;
    *top = (struct gather_top){0};
    if (gather->source_count == GATHER_SOURCES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "there are more than %d sources",
                       GATHER_SOURCES_MAX);
    source = source_open(reference, NULL, err);
    if (!source)
        return false;
    gather->sources[gather->source_count++] = source;
    source->strict = true;
    source->warn = note_warning;
    source->warn_data = gather;
    return source_top_text(source, &text, top->digest, err) &&
           note_top(&text, reference->given, top, err) &&
           add_text(gather, source, &text.text, text.media_type, NULL, 0, err);
}

void gather_finish(struct gather *gather)
{
    struct index_images *images = &gather->images;
    size_t kept = 0;

    for (size_t i = 0; i < images->count; i++) {
        struct index_image *image = &images->items[i];
        bool needed = !image->attests;

        for (size_t k = 0; k < images->count && !needed; k++)
            needed = !images->items[k].attests &&
                     strcmp(images->items[k].manifest.digest, image->attests) == 0;
        if (needed)
            images->items[kept++] = *image;
        else
            index_image_release(image);
    }
    gather->left_out += images->count - kept;
    images->count = kept;
}
