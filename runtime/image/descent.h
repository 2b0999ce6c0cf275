/*
 * The way from what a reference names down to the image of one platform, through indexes. An entry
 * that names no platform may lead to any: such entries are tried in their order, and the
 * configuration of the image says which one it is.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_DESCENT_H
#define STEPCELL_RUNTIME_IMAGE_DESCENT_H

#include "runtime/image/manifest.h"

#define DESCENT_MANIFESTS_MAX 64 /* manifests and indexes that are asked for on the way */

/* Where it has got to. */
struct descent_place {
    const struct descent_place *above; /* the index that it is in; NULL at the top */
    const struct index_entry *entry;   /* what that says of it, or NULL */
    size_t depth;                      /* indexes above it */
    struct manifest *manifest;         /* who takes it, or its text, leaves an empty one */
    struct buf *text;
};

struct descent {
    const char *what; /* in messages */
    const struct platform *wanted;
    /* The text that an entry leads to, compared with its digest. */
    bool (*get)(void *data, const struct descriptor *manifest, struct buf *text, struct err *err);
    /* Told of each index before what is in it; or NULL. */
    bool (*index)(void *data, const struct descent_place *place, struct err *err);
    /*
     * Takes an image; or refuses it with image.platform, *own being what it is for, and keeps
     * nothing of it. One whose entry names a platform ends the way in any case.
     */
    bool (*image)(void *data, const struct descent_place *place, struct platform *own,
                  struct err *err);
    void *data;
};

/*
 * Goes down from `text`. image.platform, with all that there is, where nothing is for the platform;
 * image.corrupt also of indexes that lead too deep, or to too much.
 */
bool descend(const struct descent *descent, struct buf *text, const char *media_type,
             struct err *err);

#endif
