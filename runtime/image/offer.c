#include "runtime/image/offer.h"

#include <string.h>

#include "runtime/image/image_config.h"
#include "runtime/image/version.h"

void offer_release(struct offer *offer)
{
    gather_release(&offer->gather);
}

bool offer_load(const struct reference *reference, struct offer *offer, struct err *err)
{
    struct index_images *images = &offer->gather.images;

    offer->reference = reference;
    if (!gather_add(&offer->gather, reference, &offer->top, err))
        return false;
    /* Attestations come behind images. */
    index_sort(images);
    while (images->count > 0 && images->items[images->count - 1].attests)
        index_image_release(&images->items[--images->count]);
    return images->count > 0 ||
           err_set(err, ERR_IMAGE_PLATFORM, "'%s' has an image for no platform", reference->given);
}

bool platform_same_processor(const struct platform *a, const struct platform *b)
{
    return strcmp(a->os, b->os) == 0 && strcmp(a->arch, b->arch) == 0 &&
           strcmp(a->variant, b->variant) == 0;
}

/* "10.0.20348" of "10.0.20348.2113": the build, which is what a host can run. */
static size_t build_length(const char *version)
{
    size_t len = 0;

    for (int dots = 0; version[len] && (version[len] != '.' || ++dots < 3);)
        len++;
    return len;
}

bool platform_same_build(const struct platform *a, const struct platform *b)
{
    size_t len = build_length(a->os_version);

    return len == build_length(b->os_version) && memcmp(a->os_version, b->os_version, len) == 0;
}

bool platform_is_older(const struct platform *a, const struct platform *b)
{
    static const struct version_rules rules = {.scheme = VERSION_LOOSE};

    return *b->os_version &&
           (!*a->os_version || version_compare(&rules, a->os_version, b->os_version) < 0);
}

const struct index_image *offer_find(const struct offer *offer, const struct platform *platform)
{
    const struct index_image *found = NULL;

    for (size_t i = 0; i < offer->gather.images.count; i++) {
        const struct index_image *variant = &offer->gather.images.items[i];

        if (!platform_same_processor(&variant->platform, platform))
            continue;
        if (platform_same_build(&variant->platform, platform))
            return variant;
        if (!found || platform_is_older(&found->platform, &variant->platform))
            found = variant;
    }
    return found;
}

bool offer_read(const struct offer *offer, const struct index_image *variant,
                struct check_config *config, struct err *err)
{
    const char *what = offer->reference->given;
    autobuf text = BUF_INIT(MANIFEST_MAX), blob = BUF_INIT(CONFIG_MAX);
    automanifest manifest = {0};

    return source_manifest_text(variant->source, &variant->manifest, &text, err) &&
           manifest_parse(text.data, text.len, variant->manifest.media_type, what, &manifest,
                          err) &&
           source_blob_text(variant->source, &manifest.config, &blob, err) &&
           check_config_parse(blob.data ? blob.data : "", blob.len, what, manifest.layer_count,
                              config, err);
}

bool image_is_on(const struct image *image, const struct image *base)
{
    const struct strv *layers = &image->diff_ids, *below = &base->diff_ids;

    if (layers->count < below->count)
        return false;
    for (size_t i = 0; i < below->count; i++) {
        if (strcmp(layers->items[i], below->items[i]) != 0)
            return false;
    }
    return true;
}
