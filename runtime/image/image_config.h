/* The configuration of an image (pure): image-spec config.md, read from an untrusted text. */
#ifndef STEPCELL_RUNTIME_IMAGE_IMAGE_CONFIG_H
#define STEPCELL_RUNTIME_IMAGE_IMAGE_CONFIG_H

#include "runtime/image/store.h"

#define CONFIG_MAX (4 << 20) /* bytes of a configuration */

/*
 * Fills the members of `image` that a configuration decides: platform, entrypoint and its history,
 * env, user, workdir, diff_ids. There must be `layers` diff ids. Errors are image.corrupt; `image`
 * is then the caller's to release all the same.
 */
bool image_config_parse(const char *text, size_t len, const char *what, size_t layers,
                        struct image *image, struct err *err);

#endif
