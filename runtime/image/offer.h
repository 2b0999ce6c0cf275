/*
 * What a reference stands for now: an image for each platform, and which of two images was built on
 * the other.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_OFFER_H
#define STEPCELL_RUNTIME_IMAGE_OFFER_H

#include "runtime/image/check_config.h"
#include "runtime/image/gather.h"

struct offer {
    const struct reference *reference; /* borrowed */
    struct gather gather;              /* sorted, without attestations */
    struct gather_top top;
};

/*
 * Every image is read, since an index may say what is not so. `offer->gather.whole` may be set
 * before. image.platform when there is none; to be released in any case.
 */
bool offer_load(const struct reference *reference, struct offer *offer, struct err *err);
void offer_release(struct offer *offer);

/*
 * The image for a platform, or NULL. Where there are several Windows, that of the same build, or
 * else the newest.
 */
const struct index_image *offer_find(const struct offer *offer, const struct platform *platform);

/* Reads the configuration of an image, which is the caller's to release in any case. */
bool offer_read(const struct offer *offer, const struct index_image *variant,
                struct check_config *config, struct err *err);

/* Whether the layers of the image begin with those of the base. */
bool image_is_on(const struct image *image, const struct image *base);

/* "10.0.20348" of two Windows: a host runs what has its own. */
bool platform_same_build(const struct platform *a, const struct platform *b);
bool platform_is_older(const struct platform *a, const struct platform *b);
bool platform_same_processor(const struct platform *a, const struct platform *b);

#define autooffer CLEANUP(offer_release) struct offer

#endif
