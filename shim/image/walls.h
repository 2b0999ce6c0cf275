/*
 * What stands around a child that reads hostile bytes, besides the namespaces that it was born in
 * (docs/design/unpack.md). Put up by the child itself, before the first byte.
 */
#ifndef STEPCELL_SHIM_IMAGE_WALLS_H
#define STEPCELL_SHIM_IMAGE_WALLS_H

#include "runtime/image/fetch.h"

#define WALLS_MEMORY (512 << 20) /* bytes of address space beyond what it is born with */
/* Open files beyond: three for each level of UNPACK_LIMITS.depth, where two trees are compared. */
#define WALLS_DESCRIPTORS 1024
#define WALLS_THREADS     2 /* the child and what inflates beside it (Linux 5.14) */

/*
 * From here on the process has the descriptors of `reach` and no other (0 to 2 are /dev/null), its
 * root is reach->root, and system calls, capabilities and resources are what unpacking takes. There
 * is no way back, so it is for a child of idmap_run. engine.unavailable for a wall that cannot be
 * had.
 */
bool walls_put_up(const struct reach *reach, struct err *err);

#endif
