/* Giving tags to a manifest that was made or found here: what a push is in the end. */
#ifndef STEPCELL_RUNTIME_IMAGE_PUBLISH_H
#define STEPCELL_RUNTIME_IMAGE_PUBLISH_H

#include "runtime/image/push.h"

struct publication {
    const struct buf *text;
    const char *media_type;
    const char *digest;
    const struct strv *tags; /* one at least; the first is pushed last, so it stands for all */
    /* Makes all that the manifest names be there. */
    bool (*contents)(void *data, struct push *push, struct err *err);
    void *data;
};

/*
 * Makes all tags stand for the manifest, and all that it names be there; *pushed has those that
 * did not before.
 */
bool publish(struct push *push, const struct publication *publication, struct strv *pushed,
             struct err *err);

#endif
