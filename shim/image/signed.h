/*
 * The policy's word on an image that is fetched, in the order of fetching:
 *
 *   signed_begin     before anything is asked for: whether the image is allowed at all
 *   signed_verify    when its digests are known, before anything is unpacked: whether it is signed
 *   signed_finish    when it is in the store: what was verified is kept beside it
 */
#ifndef STEPCELL_SHIM_IMAGE_SIGNED_H
#define STEPCELL_SHIM_IMAGE_SIGNED_H

#include "runtime/image/fetch.h"
#include "runtime/image/signature_verify.h"
#include "shim/policy.h"

struct signed_image {
    struct policy policy;
    struct policy_verdict verdict;
    json_t *signatures; /* as in a record; NULL: none are asked for */
    bool is_new;        /* the record lacks them */
};

void signed_release(struct signed_image *image);

/*
 * `name_as` is the name that it gets in the store, where that is another one; or NULL. Under a
 * policy the reference is resolved: what is judged is what is opened.
 */
bool signed_begin(struct reference *reference, const struct reference *name_as,
                  struct signed_image *image, struct err *err);
bool signed_verify(struct signed_image *image, struct fetch *fetch, struct err *err);
bool signed_finish(const struct signed_image *image, const struct fetch *fetch, struct err *err);

#endif
