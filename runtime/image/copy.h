/*
 * Copying images out of any source into a registry: byte for byte, what is there already left
 * alone, children and blobs before what names them. A manifest that is there says nothing of what
 * it names: that is looked for all the same.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_COPY_H
#define STEPCELL_RUNTIME_IMAGE_COPY_H

#include "runtime/image/push.h"
#include "runtime/image/source.h"

/* Makes a manifest of the source, with all that it names, be there. */
bool copy_manifest(struct push *push, struct source *source, const struct descriptor *manifest,
                   struct err *err);

/* Makes all that a manifest names be there, and not the manifest itself. */
bool copy_contents(struct push *push, struct source *source, const struct buf *text,
                   const char *media_type, struct err *err);

#endif
