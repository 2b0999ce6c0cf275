/* Copies in the container `place`: what was shipped with its image. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_COPY_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_COPY_H

#include <stdbool.h>

#include "base/err.h"

/* From here to the end of a file; false with errno. */
bool copy_bytes(int from, int to);

/*
 * What the directory `name` below `from` holds, into the empty directory `to`: files, links and
 * directories, with their modes and times. `depth` is how deep it is already.
 */
bool copy_entries(int from, const char *name, int to, int depth, struct err *err);

#endif
