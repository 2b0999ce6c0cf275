/*
 * What is copied and put together: a text as a manifest with its parts, its entries' platforms as those of
 * images, and the text itself as a configuration. The first byte chooses what the source called it.
 */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/index_make.h"
#include "runtime/image/manifest_parts.h"

static const struct reference reference = {.given = "a source"};
static struct source source = {.reference = &reference};

static void check_parts(const struct manifest_parts *parts)
{
    FUZZ_CHECK(parts->media_type && (!parts->is_index || parts->blob_count == 0));
    FUZZ_CHECK(parts->is_index || (parts->child_count == 0 && parts->blob_count > 0));
    for (size_t i = 0; i < parts->blob_count; i++)
        FUZZ_CHECK(digest_is_valid(parts->blobs[i].digest) && parts->blobs[i].size <= BLOB_MAX);
    for (size_t i = 0; i < parts->child_count; i++) {
        const struct index_child *child = &parts->children[i];

        FUZZ_CHECK(child->role == CHILD_UNKNOWN || digest_is_valid(child->manifest.digest));
        FUZZ_CHECK((child->role == CHILD_ATTESTATION) == (child->attests != NULL));
    }
}

/* What is made is an index that the strict parser reads, with as many images. */
static void check_made(struct index_images *images)
{
    const char *media_type;
    autofree char *text = NULL;
    autoparts parts = {0};
    struct err err = ERR_INIT;

    if (!index_check_unique(images, &err))
        FUZZ_SAID(err);
    if (!index_check_expected(images, "linux/amd64,windows(10.0)/amd64", "a target", &err))
        FUZZ_SAID(err);
    index_sort(images);
    text = index_make(images, &media_type);
    FUZZ_CHECK(text && manifest_parts_parse(text, strlen(text), media_type, "it", &parts, &err));
    FUZZ_CHECK(parts.child_count == images->count && strcmp(parts.media_type, media_type) == 0);
}

static void put_together(const struct manifest_parts *parts)
{
    static const char config[] =
        "{\"os\":\"linux\",\"architecture\":\"amd64\",\"os.version\":\"1\"}";
    autoimages images = {.items = calloc(parts->child_count + 1, sizeof(*images.items))};
    struct err err = ERR_INIT;

    for (size_t i = 0; images.items && i < parts->child_count; i++) {
        struct index_image *image = &images.items[images.count];

        *image = (struct index_image){.source = &source};
        if (parts->children[i].role != CHILD_IMAGE)
            continue;
        images.count++;
        image->manifest = (struct descriptor){
            .media_type = strdup(MEDIA_OCI_MANIFEST),
            .digest = strdup(parts->children[i].manifest.digest),
        };
        if (index_image_describe(config, strlen(config), parts->children[i].platform, "it", image,
                                 &err))
            continue;
        FUZZ_SAID(err);
        index_image_release(image);
        images.count--;
    }
    check_made(&images);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {NULL, MEDIA_OCI_MANIFEST, MEDIA_OCI_INDEX,
                                        MEDIA_DOCKER_LIST, "text/plain"};
    const char *type = types[fuzz_choice(&data, &size) % ARRAY_SIZE(types)];
    CLEANUP(index_image_release) struct index_image image = {.source = &source};
    char text[INDEX_PLATFORM_TEXT_MAX];
    autoparts parts = {0};
    struct err err = ERR_INIT;

    if (manifest_parts_parse((const char *)data, size, type, "a manifest", &parts, &err)) {
        check_parts(&parts);
        put_together(&parts);
    } else {
        FUZZ_SAID(err);
    }
    if (index_image_describe((const char *)data, size, NULL, "a configuration", &image, &err))
        index_image_text(&image, text);
    else
        FUZZ_SAID(err);
    return 0;
}
