#include "runtime/image/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/image/reference.h"
#include "runtime/image/store.h"

static const struct {
    const char *media_type;
    enum manifest_kind kind;
} kinds[] = {
    {MEDIA_OCI_MANIFEST, MANIFEST_IMAGE},
    {MEDIA_DOCKER_MANIFEST, MANIFEST_IMAGE},
    {MEDIA_OCI_INDEX, MANIFEST_INDEX},
    {MEDIA_DOCKER_LIST, MANIFEST_INDEX},
};

static const struct {
    const char *media_type;
    enum compression compression;
} layer_types[] = {
    {MEDIA_OCI_LAYER_TAR, COMPRESSION_NONE},
    {MEDIA_OCI_LAYER_TAR "+gzip", COMPRESSION_GZIP},
    {MEDIA_OCI_LAYER_TAR "+zstd", COMPRESSION_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar", COMPRESSION_NONE},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", COMPRESSION_GZIP},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", COMPRESSION_ZSTD},
};

enum manifest_kind manifest_kind_of(const char *media_type)
{
    for (size_t i = 0; media_type && i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(media_type, kinds[i].media_type) == 0)
            return kinds[i].kind;
    }
    return MANIFEST_UNKNOWN;
}

void descriptor_release(struct descriptor *descriptor)
{
    free(descriptor->media_type);
    free(descriptor->digest);
    *descriptor = (struct descriptor){0};
}

void manifest_release(struct manifest *manifest)
{
    descriptor_release(&manifest->config);
    for (size_t i = 0; i < manifest->layer_count; i++)
        descriptor_release(&manifest->layers[i].blob);
    for (size_t i = 0; i < manifest->entry_count; i++) {
        descriptor_release(&manifest->entries[i].manifest);
        free(manifest->entries[i].ref_name);
    }
    free(manifest->layers);
    free(manifest->entries);
    *manifest = (struct manifest){0};
}

static bool corrupt(struct err *err, const char *what, const char *why)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not a valid image: %s", what, why);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read a manifest");
}

/*
 * What the text is. What it says of itself has to agree with what the source says and with its own
 * members; a text that could be taken for both is neither.
 */
enum manifest_kind manifest_kind(const json_t *json, const char *media_type, const char *what,
                                 struct err *err)
{
    const json_t *own_value = json_object_get(json, "mediaType");
    const char *own = json_text(json, "mediaType");
    bool image = json_object_get(json, "config") || json_object_get(json, "layers");
    bool index = json_object_get(json, "manifests");
    enum manifest_kind kind = manifest_kind_of(own ? own : media_type);

    if (!json_is_object(json)) {
        corrupt(err, what, "its manifest is no object");
    } else if (json_object_get(json, "fsLayers") ||
               json_integer_value(json_object_get(json, "schemaVersion")) != 2) {
        corrupt(err, what, "its manifest is not of schema version 2");
        err_hint(err, "push the image again with a current tool");
    } else if (own_value && (!own || kind == MANIFEST_UNKNOWN)) {
        corrupt(err, what, "its manifest has an unknown media type");
    } else if (own && manifest_kind_of(media_type) != MANIFEST_UNKNOWN &&
               strcmp(own, media_type) != 0) {
        corrupt(err, what, "its manifest has another media type than it was announced with");
    } else if (image == index) {
        corrupt(err, what, "its manifest is neither an image's nor an index, or both");
    } else if (kind != MANIFEST_UNKNOWN && (kind == MANIFEST_INDEX) != index) {
        corrupt(err, what, "the members of its manifest do not fit its media type");
    } else {
        return index ? MANIFEST_INDEX : MANIFEST_IMAGE;
    }
    return MANIFEST_UNKNOWN;
}

/* What is wrong with a descriptor, or NULL. */
static const char *fault_of(const json_t *json, uint64_t max)
{
    const json_t *size = json_object_get(json, "size");

    if (!json_text(json, "mediaType") || !digest_is_valid(json_text(json, "digest")))
        return "a descriptor lacks its media type or a sha256 digest";
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        (uint64_t)json_integer_value(size) > max)
        return "the size in a descriptor is missing or too large";
    return NULL;
}

static bool copy_descriptor(const json_t *json, struct descriptor *descriptor, struct err *err)
{
    descriptor->size = (uint64_t)json_integer_value(json_object_get(json, "size"));
    descriptor->media_type = strdup(json_text(json, "mediaType"));
    descriptor->digest = strdup(json_text(json, "digest"));
    return (descriptor->media_type && descriptor->digest) || no_memory(err);
}

bool descriptor_parse(const json_t *json, const char *what, uint64_t max,
                      struct descriptor *descriptor, struct err *err)
{
    const char *fault = fault_of(json, max);

    return fault ? corrupt(err, what, fault) : copy_descriptor(json, descriptor, err);
}

static bool parse_layer(const json_t *json, const char *what, struct layer *layer, struct err *err)
{
    if (!descriptor_parse(json, what, BLOB_MAX, &layer->blob, err))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(layer_types); i++) {
        if (strcmp(layer->blob.media_type, layer_types[i].media_type) == 0) {
            layer->compression = layer_types[i].compression;
            return true;
        }
    }
    return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has a layer of the unknown type '%s'", what,
                   layer->blob.media_type);
}

static bool parse_image(const json_t *json, const char *what, struct manifest *manifest,
                        struct err *err)
{
    const json_t *layers = json_object_get(json, "layers"), *layer;
    size_t i;

    if (!descriptor_parse(json_object_get(json, "config"), what, MANIFEST_MAX, &manifest->config,
                          err))
        return false;
    if (strcmp(manifest->config.media_type, MEDIA_OCI_CONFIG) != 0 &&
        strcmp(manifest->config.media_type, MEDIA_DOCKER_CONFIG) != 0)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not an image but an artifact of type '%s'",
                       what, manifest->config.media_type);
    if (!json_is_array(layers) || json_array_size(layers) > IMAGE_LAYERS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "'%s' has no list of layers, or one with more than %d", what,
                       IMAGE_LAYERS_MAX);
    manifest->layers = calloc(json_array_size(layers) + 1, sizeof(*manifest->layers));
    if (!manifest->layers)
        return no_memory(err);
    json_array_foreach (layers, i, layer) {
        manifest->layer_count = i + 1;
        if (!parse_layer(layer, what, &manifest->layers[i], err))
            return false;
    }
    return true;
}

/* Copies a part of a platform; absent, or null, is "". */
static bool take_part(const json_t *json, const char *key, char part[PLATFORM_PART_MAX])
{
    const json_t *value = json_object_get(json, key);

    if (!value || json_is_null(value))
        return true;
    return json_is_string(value) &&
           platform_take_part(json_string_value(value), json_string_length(value), part);
}

static bool parse_platform(const json_t *json, struct platform *platform)
{
    if (!take_part(json, "os", platform->os) || !take_part(json, "architecture", platform->arch) ||
        !take_part(json, "variant", platform->variant) ||
        !take_part(json, "os.version", platform->os_version))
        return false;
    platform_normalise(platform);
    return true;
}

/* BuildKit's attestations lie in an index beside the images that they are about. */
static bool is_attestation(const json_t *json, const struct platform *platform)
{
    return json_object_get(json_object_get(json, "annotations"), "vnd.docker.reference.type") ||
           (strcmp(platform->os, "unknown") == 0 && strcmp(platform->arch, "unknown") == 0);
}

/* What is odd about an entry does not matter to those who choose another. */
static bool parse_entry(const json_t *json, const char *what, struct manifest *manifest,
                        struct err *err)
{
    struct index_entry *entry = &manifest->entries[manifest->entry_count];
    const json_t *platform = json_object_get(json, "platform");
    const char *name = json_text(json_object_get(json, "annotations"), ANNOTATION_REF_NAME);

    /* image-spec: an entry of an unknown type is no error. */
    if (manifest_kind_of(json_text(json, "mediaType")) == MANIFEST_UNKNOWN)
        return json_is_object(json) || corrupt(err, what, "an entry of its index is no object");
    entry->fault = fault_of(json, MANIFEST_MAX);
    if (platform && !parse_platform(platform, &entry->platform)) {
        entry->platform = (struct platform){0};
        entry->fault = "a platform in its index is not valid";
    }
    entry->has_platform = entry->platform.os[0] && entry->platform.arch[0];
    if (is_attestation(json, &entry->platform) ||
        (json_object_get(json, "artifactType") && !entry->has_platform)) {
        *entry = (struct index_entry){0};
        return true;
    }
    manifest->entry_count++;
    if (!entry->fault && !copy_descriptor(json, &entry->manifest, err))
        return false;
    entry->ref_name = name ? strdup(name) : NULL;
    return !name || entry->ref_name || no_memory(err);
}

static bool parse_index(const json_t *json, const char *what, struct manifest *manifest,
                        struct err *err)
{
    const json_t *entries = json_object_get(json, "manifests"), *entry;
    size_t i;

    if (!json_is_array(entries) || json_array_size(entries) > INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the index of '%s' has no list of manifests, or one with more than %d", what,
                       INDEX_ENTRIES_MAX);
    manifest->is_index = true;
    manifest->entries = calloc(json_array_size(entries) + 1, sizeof(*manifest->entries));
    if (!manifest->entries)
        return no_memory(err);
    json_array_foreach (entries, i, entry) {
        if (!parse_entry(entry, what, manifest, err))
            return false;
    }
    return true;
}

bool manifest_parse(const char *text, size_t len, const char *media_type, const char *what,
                    struct manifest *manifest, struct err *err)
{
    automanifest parsed = {0};
    autojson *json = NULL;
    enum manifest_kind kind;

    if (len > MANIFEST_MAX)
        return corrupt(err, what, "its manifest is larger than 4 MiB");
    json = json_parse(text, len, what, ERR_IMAGE_CORRUPT, err);
    if (!json)
        return false;
    kind = manifest_kind(json, media_type, what, err);
    if (kind == MANIFEST_UNKNOWN)
        return false;
    if (!(kind == MANIFEST_INDEX ? parse_index : parse_image)(json, what, &parsed, err))
        return false;
    *manifest = parsed;
    parsed = (struct manifest){0};
    return true;
}

void offers_add(struct buf *offers, const struct platform *platform)
{
    char text[PLATFORM_TEXT_MAX];

    platform_text(platform, text);
    /* A list that is too long is cut: buf_printf then adds nothing. */
    buf_printf(offers, "%s%s", offers->len ? ", " : "", text);
}

void offers_add_index(struct buf *offers, const struct manifest *index)
{
    for (size_t i = 0; i < index->entry_count; i++) {
        if (index->entries[i].has_platform)
            offers_add(offers, &index->entries[i].platform);
    }
}

bool offers_refuse(const struct buf *offers, const struct platform *wanted, const char *what,
                   struct err *err)
{
    char text[PLATFORM_TEXT_MAX];

    platform_text(wanted, text);
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' has no image for %s: it offers %s", what, text,
            offers->len ? offers->data : "none");
    return err_hint(
        err, "choose an image that is built for %s, or another platform with --platform", text);
}

bool manifest_entry_check(const struct index_entry *entry, const char *what, struct err *err)
{
    return !entry->fault || corrupt(err, what, entry->fault);
}

static const struct index_entry *unnamed_from(const struct manifest *index,
                                              const struct index_entry *entry)
{
    for (; entry < index->entries + index->entry_count; entry++) {
        if (!entry->has_platform && !entry->fault)
            return entry;
    }
    return NULL;
}

const struct index_entry *manifest_choose(const struct manifest *index,
                                          const struct platform *wanted, const char *what,
                                          struct err *err)
{
    const struct index_entry *best = NULL;
    autobuf offers = BUF_INIT(OFFERS_MAX);
    int best_rank = -1;

    for (size_t i = 0; i < index->entry_count; i++) {
        const struct index_entry *entry = &index->entries[i];
        int rank = entry->has_platform ? platform_rank(wanted, &entry->platform) : -1;

        if (rank >= 0 &&
            (!best || rank < best_rank || (rank == best_rank && best->fault && !entry->fault))) {
            best = entry;
            best_rank = rank;
        }
    }
    if (!best)
        best = unnamed_from(index, index->entries);
    if (best)
        return manifest_entry_check(best, what, err) ? best : NULL;
    offers_add_index(&offers, index);
    offers_refuse(&offers, wanted, what, err);
    return NULL;
}

const struct index_entry *manifest_choose_next(const struct manifest *index,
                                               const struct index_entry *entry)
{
    return entry->has_platform ? NULL : unnamed_from(index, entry + 1);
}

/* ---- the same in OCI's types ---- */

static const char *oci_type(const char *type)
{
    if (strcmp(type, MEDIA_DOCKER_MANIFEST) == 0)
        return MEDIA_OCI_MANIFEST;
    if (strcmp(type, MEDIA_DOCKER_CONFIG) == 0)
        return MEDIA_OCI_CONFIG;
    for (size_t i = 0; i < ARRAY_SIZE(layer_types); i++) {
        if (strcmp(type, layer_types[i].media_type) != 0)
            continue;
        /* OCI's come first in the table. */
        for (size_t k = 0; k < i; k++) {
            if (layer_types[k].compression == layer_types[i].compression)
                return layer_types[k].media_type;
        }
    }
    return type;
}

/* False without memory. */
static bool set_oci_type(json_t *object, bool *changed)
{
    const char *type = json_text(object, "mediaType"), *oci = type ? oci_type(type) : NULL;

    if (!type || strcmp(type, oci) == 0)
        return true;
    *changed = true;
    return json_object_set_new(object, "mediaType", json_string(oci)) == 0;
}

bool manifest_as_oci(const char *text, size_t len, const char *what, char **oci, struct err *err)
{
    autojson *json = json_parse(text, len, what, ERR_IMAGE_CORRUPT, err);
    json_t *layer;
    bool changed = false, ok = json;
    size_t i;

    *oci = NULL;
    if (!json)
        return false;
    ok = set_oci_type(json, &changed) && set_oci_type(json_object_get(json, "config"), &changed);
    json_array_foreach (json_object_get(json, "layers"), i, layer)
        ok = ok && set_oci_type(layer, &changed);
    if (ok && changed)
        *oci = json_dump_line(json);
    return (ok && (!changed || *oci)) || no_memory(err);
}
