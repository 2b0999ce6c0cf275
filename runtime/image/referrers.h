/*
 * What refers to an image: signatures, lists of parts and the like, which name the image's manifest
 * as their subject (OCI distribution-spec 1.1).
 */
#ifndef STEPCELL_RUNTIME_IMAGE_REFERRERS_H
#define STEPCELL_RUNTIME_IMAGE_REFERRERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/image/reference.h"

#define REFERRERS_MAX 10000 /* of one image */

struct referrer {
    char *media_type; /* of its manifest */
    char *digest;     /* valid */
    uint64_t size;
    char *artifact_type; /* "" when the registry says none */
};

struct referrers {
    struct referrer *items;
    size_t count;
};

/*
 * Lists what refers to `digest` in the reference's repository, all of it or, with `artifact_type`,
 * what is of that type. Registries without the API are asked for the tag that stands for it. No
 * referrers are no error. The caller releases `referrers`.
 */
bool referrers_list(const struct reference *reference, const char *digest,
                    const char *artifact_type, struct referrers *referrers, struct err *err);
void referrers_release(struct referrers *referrers);

#define autoreferrers CLEANUP(referrers_release) struct referrers

#endif
