/* Single files out of unpacked layers that are not mounted, seen as the overlay would show them. */
#ifndef STEPCELL_RUNTIME_IMAGE_LAYER_FILES_H
#define STEPCELL_RUNTIME_IMAGE_LAYER_FILES_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Reads the file DIRECTORY/NAME, looking from the last of `layers` (descriptors of their roots) to
 * the first. Whiteouts and opaque directories count. Nothing goes through a symbolic link, and only
 * a regular file of at most text->max bytes is read: an image may have anything there
 * (CVE-2024-9676). What is no such file is "", and so is a missing one.
 */
bool layer_file_read(const int *layers, size_t count, const char *directory, const char *name,
                     struct buf *text, struct err *err);

#endif
