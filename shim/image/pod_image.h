/*
 * The image of the container `place` of a step in a cluster (docs/design/kubernetes.md): the one
 * static program, and for a step whose directories are shipped a layer for each of them. Always the
 * same bytes for the same content.
 *
 *   pod_image_begin, pod_image_add for each further layer, pod_image_finish, pod_image_push
 */
#ifndef STEPCELL_SHIM_IMAGE_POD_IMAGE_H
#define STEPCELL_SHIM_IMAGE_POD_IMAGE_H

#include "runtime/image/platform.h"
#include "runtime/image/push.h"

#define POD_IMAGE_LAYERS_MAX 65

struct pod_layer {
    int fd;
    struct descriptor blob;
};

struct pod_image {
    struct pod_layer layers[POD_IMAGE_LAYERS_MAX];
    size_t count;
    struct buf config, manifest;
    struct descriptor config_blob;
    char digest[DIGEST_TEXT_MAX]; /* of the manifest */
};

#define POD_IMAGE_INIT ((struct pod_image){.config = BUF_INIT(65536), .manifest = BUF_INIT(65536)})

/* The first layer, with the program. */
bool pod_image_begin(struct pod_image *image, struct err *err);

/* A whole archive, which can be read and is taken over in any case. */
bool pod_image_add(struct pod_image *image, int archive, struct err *err);

/* `mark` makes a manifest of its own of an image that others may have, too; NULL for none. */
bool pod_image_finish(struct pod_image *image, const struct platform *platform, const char *mark,
                      struct err *err);

/* All that the manifest names; `data` is the struct pod_image. As struct publication has it. */
bool pod_image_push(void *data, struct push *push, struct err *err);

void pod_image_release(struct pod_image *image);

#define autopodimage CLEANUP(pod_image_release) struct pod_image

#endif
