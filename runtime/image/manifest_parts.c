#include "runtime/image/manifest_parts.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/image/reference.h"
#include "runtime/image/store.h"

#define ATTESTATION_TYPE    "vnd.docker.reference.type"
#define ATTESTATION_OF      "vnd.docker.reference.digest"
#define ATTESTATION_IS_ONE  "attestation-manifest"
#define ARTIFACT_LAYERS_MAX 1024 /* of what is no image */

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read a manifest");
}

void manifest_parts_release(struct manifest_parts *parts)
{
    for (size_t i = 0; i < parts->blob_count; i++)
        descriptor_release(&parts->blobs[i]);
    for (size_t i = 0; i < parts->child_count; i++)
        descriptor_release(&parts->children[i].manifest);
    free(parts->blobs);
    free(parts->children);
    json_decref(parts->json);
    *parts = (struct manifest_parts){0};
}

/* Layers that a registry does not hold: whoever pulls gets them by URL. */
static bool is_foreign(const struct descriptor *layer)
{
    return strstr(layer->media_type, ".foreign.") ||
           strstr(layer->media_type, ".nondistributable.");
}

static bool parse_blobs(const char *what, struct manifest_parts *parts, struct err *err)
{
    const json_t *layers = json_object_get(parts->json, "layers"), *layer;
    const char *type;
    size_t i;

    if (!json_is_array(layers) || json_array_size(layers) > ARTIFACT_LAYERS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "'%s' has no list of layers, or one with more than %d", what,
                       ARTIFACT_LAYERS_MAX);
    parts->blobs = calloc(json_array_size(layers) + 1, sizeof(*parts->blobs));
    if (!parts->blobs)
        return no_memory(err);
    parts->blob_count = 1;
    if (!descriptor_parse(json_object_get(parts->json, "config"), what, MANIFEST_MAX,
                          &parts->blobs[0], err))
        return false;
    type = parts->blobs[0].media_type;
    parts->is_image = strcmp(type, MEDIA_OCI_CONFIG) == 0 || strcmp(type, MEDIA_DOCKER_CONFIG) == 0;
    json_array_foreach (layers, i, layer) {
        struct descriptor *blob = &parts->blobs[parts->blob_count++];

        if (!descriptor_parse(layer, what, BLOB_MAX, blob, err))
            return false;
        if (is_foreign(blob)) {
            descriptor_release(blob);
            parts->blob_count--;
        }
    }
    return true;
}

static enum child_role role_of(const json_t *entry, struct index_child *child)
{
    const char *type = json_text(child->annotations, ATTESTATION_TYPE);
    const char *of = json_text(child->annotations, ATTESTATION_OF);
    const char *os = json_text(child->platform, "os");
    const char *arch = json_text(child->platform, "architecture");

    if (manifest_kind_of(json_text(entry, "mediaType")) == MANIFEST_UNKNOWN)
        return CHILD_UNKNOWN;
    if (type && strcmp(type, ATTESTATION_IS_ONE) == 0 && digest_is_valid(of)) {
        child->attests = of;
        return CHILD_ATTESTATION;
    }
    if (type || json_object_get(entry, "artifactType") ||
        (os && arch && strcmp(os, "unknown") == 0 && strcmp(arch, "unknown") == 0))
        return CHILD_OTHER;
    return CHILD_IMAGE;
}

/* An object, or NULL where there is none; anything else is an error. */
static bool take_object(const json_t *entry, const char *key, const char *what,
                        const json_t **object, struct err *err)
{
    *object = json_object_get(entry, key);
    if (json_is_null(*object))
        *object = NULL;
    return !*object || json_is_object(*object) ||
           err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not a valid image: '%s' is no object", what,
                   key);
}

static bool parse_children(const char *what, struct manifest_parts *parts, struct err *err)
{
    const json_t *entries = json_object_get(parts->json, "manifests"), *entry;
    size_t i;

    if (!json_is_array(entries) || json_array_size(entries) > INDEX_ENTRIES_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the index of '%s' has no list of manifests, or one with more than %d", what,
                       INDEX_ENTRIES_MAX);
    parts->children = calloc(json_array_size(entries) + 1, sizeof(*parts->children));
    if (!parts->children)
        return no_memory(err);
    json_array_foreach (entries, i, entry) {
        struct index_child *child = &parts->children[parts->child_count++];

        if (!json_is_object(entry))
            return err_set(err, ERR_IMAGE_CORRUPT,
                           "'%s' is not a valid image: an entry of its index is no object", what);
        if (!take_object(entry, "platform", what, &child->platform, err) ||
            !take_object(entry, "annotations", what, &child->annotations, err))
            return false;
        child->role = role_of(entry, child);
        if (child->role != CHILD_UNKNOWN &&
            !descriptor_parse(entry, what, MANIFEST_MAX, &child->manifest, err))
            return false;
    }
    return true;
}

/* One of the constants, which outlives the text. */
static const char *type_of(const struct manifest_parts *parts, const char *announced)
{
    static const char *const types[] = {MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST, MEDIA_DOCKER_LIST,
                                        MEDIA_DOCKER_MANIFEST};
    const char *own = json_text(parts->json, "mediaType"), *said = own ? own : announced;

    for (size_t i = 0; said && i < ARRAY_SIZE(types); i++) {
        if (strcmp(said, types[i]) == 0)
            return types[i];
    }
    return parts->is_index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
}

bool manifest_parts_parse(const char *text, size_t len, const char *media_type, const char *what,
                          struct manifest_parts *parts, struct err *err)
{
    autoparts parsed = {0};
    enum manifest_kind kind;

    if (len > MANIFEST_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "the manifest of '%s' is larger than 4 MiB", what);
    parsed.json = json_parse(text, len, what, ERR_IMAGE_CORRUPT, err);
    if (!parsed.json)
        return false;
    kind = manifest_kind(parsed.json, media_type, what, err);
    if (kind == MANIFEST_UNKNOWN)
        return false;
    parsed.is_index = kind == MANIFEST_INDEX;
    parsed.media_type = type_of(&parsed, media_type);
    if (!(parsed.is_index ? parse_children : parse_blobs)(what, &parsed, err))
        return false;
    *parts = parsed;
    parsed = (struct manifest_parts){0};
    return true;
}
