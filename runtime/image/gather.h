/*
 * Every image that references name, of whatever source: indexes are taken apart, each image's
 * platform is looked up in its configuration, and attestations stay with their images.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_GATHER_H
#define STEPCELL_RUNTIME_IMAGE_GATHER_H

#include "runtime/image/index_make.h"

#define GATHER_SOURCES_MAX  64
#define GATHER_WARNINGS_MAX 8
#define GATHER_BLOBS_MAX    16384

struct gather {
    /* Set before: every blob of an image has to be there, and it is image.not-found otherwise. */
    bool whole;
    struct index_images images; /* none twice */
    size_t manifests, blobs;    /* that were asked for below the references */
    size_t left_out;            /* entries of indexes that are neither an image nor about one */
    struct source *sources[GATHER_SOURCES_MAX];
    size_t source_count;
    struct strv warnings; /* of registries, a sentence each */
};

/* What the reference itself names. */
struct gather_top {
    char digest[DIGEST_TEXT_MAX];
    const char *media_type;
    size_t size;
};

/*
 * Adds what a reference names; it is borrowed, and its source stays open as long as the images.
 * `top` may be NULL; after an error it has a digest when the reference itself is there. A local
 * source must name one image, or one index.
 */
bool gather_add(struct gather *gather, const struct reference *reference, struct gather_top *top,
                struct err *err);

/* Leaves out the attestations of images that are not there. After the last source. */
void gather_finish(struct gather *gather);
void gather_release(struct gather *gather);

#define autogather CLEANUP(gather_release) struct gather

#endif
