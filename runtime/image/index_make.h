/*
 * Making an index out of images (pure): what each is for, whether they fit together, and the text,
 * which is always the same for the same images (docs/design/manifest.md).
 */
#ifndef STEPCELL_RUNTIME_IMAGE_INDEX_MAKE_H
#define STEPCELL_RUNTIME_IMAGE_INDEX_MAKE_H

#include "runtime/image/manifest.h"
#include "runtime/image/source.h"

#define INDEX_FEATURES_MAX      128 /* bytes of an image's os.features, joined */
#define INDEX_PLATFORM_TEXT_MAX (PLATFORM_TEXT_MAX + INDEX_FEATURES_MAX)

/* An image that becomes an entry, or an attestation about one. */
struct index_image {
    struct descriptor manifest;
    struct source *source;             /* where it is; borrowed */
    char *attests;                     /* the digest of its image; NULL: it is one itself */
    struct platform platform;          /* normalised, to be compared */
    char features[INDEX_FEATURES_MAX]; /* sorted, "a+b"; "" when there are none */
    json_t *written;                   /* the platform of its entry */
    json_t *annotations;               /* or NULL */
};

struct index_images {
    struct index_image *items;
    size_t count;
};

void index_image_release(struct index_image *image);
void index_images_release(struct index_images *images);
#define autoimages CLEANUP(index_images_release) struct index_images

/*
 * Finds out the platform of an image: its configuration's, and where that says nothing what an
 * index has `declared`, which may be NULL. Where they contradict each other it is image.platform.
 */
bool index_image_describe(const char *config, size_t len, const json_t *declared, const char *what,
                          struct index_image *image, struct err *err);

/* The platform in one text: "windows(10.0.20348.2227)/amd64", with "+a" for each feature. */
void index_image_text(const struct index_image *image, char text[INDEX_PLATFORM_TEXT_MAX]);

/* A Windows image that every Windows host would take. */
bool index_image_lacks_version(const struct index_image *image);

/* Whether no two images are for one platform: image.platform names the sources of both. */
bool index_check_unique(const struct index_images *images, struct err *err);

/*
 * Whether the images are for the platforms of "OS/ARCH[/VARIANT],…" and for no others; a version of
 * the system that is given holds for what begins with it. image.platform says what is missing in
 * `what`, and what should not be there.
 */
bool index_check_expected(const struct index_images *images, const char *expected, const char *what,
                          struct err *err);

/* Linux first, then by system, architecture, variant, newest version; attestations at the end. */
void index_sort(struct index_images *images);

/* The text of an index of sorted images, and its type. NULL without memory. */
char *index_make(const struct index_images *images, const char **media_type);

#endif
