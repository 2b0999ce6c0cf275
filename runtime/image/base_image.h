/*
 * Which base an image was built on, by layers, and whether that base has moved since: its tag then
 * stands for others (docs/design/build.md).
 */
#ifndef STEPCELL_RUNTIME_IMAGE_BASE_IMAGE_H
#define STEPCELL_RUNTIME_IMAGE_BASE_IMAGE_H

#include "runtime/image/offer.h"

#define LABEL_BASE_NAME   "org.opencontainers.image.base.name"
#define LABEL_BASE_DIGEST "org.opencontainers.image.base.digest"

/* Of several candidates the lowest one counts. */
enum base_status {
    BASE_SAME,  /* the image is on the layers that the base has now */
    BASE_MOVED, /* it is on those of the digest that its label names, and the base has others now */
    BASE_UNKNOWN, /* that could not be found out */
    BASE_OTHER,   /* it is on other layers, and nothing says that it ever was on these */
};

/* Each image of the offer, on every platform that both have. */
struct base_answer {
    enum base_status status;
    bool labelled;                /* the image's label names this base */
    char digest[DIGEST_TEXT_MAX]; /* of the base now; "" while that is unknown */
    char was_on[DIGEST_TEXT_MAX]; /* by the label and its layers; or "" */
    struct strv missing;          /* platforms of the image that the base has not */
    struct err err;               /* a sentence, and where the fix is known a hint */
};

/* Asks the registry of the base. */
void base_look(const struct offer *image, const struct reference *base, struct base_answer *answer);
void base_answer_release(struct base_answer *answer);

/* The name by the image's own label, of the first platform that has one (owned); NULL without, and
 * with err when it could not be read. */
bool base_label(const struct offer *image, char **name, struct err *err);

#endif
