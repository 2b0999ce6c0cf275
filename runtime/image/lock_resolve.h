/* What a lock file is made from: a tag's digest, and those of all its platforms. */
#ifndef STEPCELL_RUNTIME_IMAGE_LOCK_RESOLVE_H
#define STEPCELL_RUNTIME_IMAGE_LOCK_RESOLVE_H

#include "base/json.h"
#include "runtime/image/image_config.h"
#include "runtime/image/reference.h"

/*
 * Asks the registry what the reference names now, with every image of an index: an object with
 * `digest`, `media_type`, `size` and `platforms`, owned by the caller. NULL on error; that is
 * image.not-found when the registry knows no such tag, digest, or manifest of a platform.
 */
json_t *lock_resolve(const struct reference *reference, struct err *err);

/* Only the digest, which is what a tag has to be compared by. NULL on error; owned by the caller.
 */
char *lock_resolve_digest(const struct reference *reference, struct err *err);

/* What the configuration of one platform's image says, of its manifest's reference. `image` is the
 * caller's to release in any case. */
bool lock_resolve_image(const struct reference *reference, struct image *image, struct err *err);

#endif
