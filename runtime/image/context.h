/*
 * The context of a build as a tar archive: what a daemon is sent. Links are not followed; what is
 * no file, directory or link is left out, and so is what .dockerignore names. Everything belongs to
 * root, in an order that is always the same.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CONTEXT_H
#define STEPCELL_RUNTIME_IMAGE_CONTEXT_H

#include "base/err.h"

/* `file`, the name of the Containerfile below the directory, is always in it. */
bool context_write(const char *directory, const char *file, int archive, struct err *err);

#endif
