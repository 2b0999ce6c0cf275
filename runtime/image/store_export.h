/* Writes an image of the store as an OCI image layout: into a directory, or as a tar of one. */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_EXPORT_H
#define STEPCELL_RUNTIME_IMAGE_STORE_EXPORT_H

#include "runtime/image/store_write.h"

/*
 * `target` is an "oci:" or "oci-archive:" reference; its tag, or "latest", names the image there.
 * Every blob is hashed on its way out, and one that is damaged is image.corrupt. A layout that is
 * there already gets the image beside its others, unless its index cannot be read; a file that is
 * there is replaced, once the new one is complete.
 */
bool store_export(const struct store *store, const struct image_name *name,
                  const struct platform *platform, const struct reference *target, struct err *err);

#endif
