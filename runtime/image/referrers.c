#include "runtime/image/referrers.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/image/manifest.h"
#include "runtime/image/registry_pages.h"

void referrers_release(struct referrers *referrers)
{
    for (size_t i = 0; i < referrers->count; i++) {
        free(referrers->items[i].media_type);
        free(referrers->items[i].digest);
        free(referrers->items[i].artifact_type);
    }
    free(referrers->items);
    *referrers = (struct referrers){0};
}

struct collection {
    struct referrers found;
    const char *artifact_type; /* NULL: any */
};

static bool add(struct referrers *found, const char *media_type, const char *digest, uint64_t size,
                const char *artifact_type, struct err *err)
{
    struct referrer *items = reallocarray(found->items, found->count + 1, sizeof(*found->items));
    struct referrer *item;

    if (!items)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot list referrers");
    found->items = items;
    item = &items[found->count++];
    *item = (struct referrer){
        .media_type = strdup(media_type),
        .digest = strdup(digest),
        .size = size,
        .artifact_type = strdup(artifact_type),
    };
    return (item->media_type && item->digest && item->artifact_type) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot list referrers");
}

static bool take_entry(struct collection *collection, const json_t *entry, struct err *err)
{
    const char *media_type = json_text(entry, "mediaType"), *digest = json_text(entry, "digest");
    const char *artifact_type = json_text(entry, "artifactType");
    const json_t *size = json_object_get(entry, "size");

    if (!media_type || !digest || !digest_is_valid(digest) || !json_is_integer(size) ||
        json_integer_value(size) < 0)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "a referrer lacks its media type, its size or a sha256 digest");
    if (collection->found.count == REFERRERS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "there are more than %d referrers", REFERRERS_MAX);
    /* A registry may filter, and need not. */
    if (collection->artifact_type &&
        (!artifact_type || strcmp(artifact_type, collection->artifact_type) != 0))
        return true;
    return add(&collection->found, media_type, digest, (uint64_t)json_integer_value(size),
               artifact_type ? artifact_type : "", err);
}

static bool take_page(void *data, const json_t *page, const struct http_response *response,
                      struct err *err)
{
    const json_t *list = json_object_get(page, "manifests"), *entry;
    struct collection *collection = data;
    size_t i;

    (void)response;
    if (!json_is_array(list))
        return err_set(err, ERR_IMAGE_CORRUPT, "a list of referrers is no index");
    json_array_foreach (list, i, entry) {
        if (!take_entry(collection, entry, err))
            return false;
    }
    return true;
}

/* The tag "sha256-HEX" of older registries; a manifest that is no index means none. */
static bool take_tagged(void *data, const json_t *page, const struct http_response *response,
                        struct err *err)
{
    return !json_is_array(json_object_get(page, "manifests")) ||
           take_page(data, page, response, err);
}

static bool list(struct registry_client *client, const char *digest, struct collection *collection,
                 struct err *err)
{
    autofree char *type = collection->artifact_type ? url_escape(collection->artifact_type) : NULL;
    autofree char *query = type ? text_printf("artifactType=%s", type) : NULL;
    autofree char *path = text_printf("referrers/%s", digest);
    autofree char *tagged = text_printf("manifests/sha256-%s", digest_hex(digest));
    struct pages pages = {
        .client = client,
        .path = path,
        .query = query,
        .accept = MEDIA_OCI_INDEX,
        .take = take_page,
        .data = collection,
    };
    long status;

    if (!path || !tagged || (collection->artifact_type && !query))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot list referrers");
    if (pages_get(&pages, &status, err))
        return true;
    if (status != 404)
        return false;
    pages.path = tagged;
    pages.query = NULL;
    pages.take = take_tagged;
    return pages_get(&pages, &status, err) || status == 404;
}

bool referrers_list(const struct reference *reference, const char *digest,
                    const char *artifact_type, struct referrers *referrers, struct err *err)
{
    struct collection collection = {.artifact_type = artifact_type};
    struct registry_client client;
    bool ok;

    if (!registry_client_init(&client, reference, err))
        return false;
    ok = list(&client, digest, &collection, err);
    registry_client_release(&client);
    if (ok)
        *referrers = collection.found;
    else
        referrers_release(&collection.found);
    return ok;
}
