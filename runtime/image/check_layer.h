/* One layer of a source into a check_tree, past the walls that the map stands for. */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_LAYER_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_LAYER_H

#include "runtime/image/check_tree.h"
#include "runtime/image/fetch.h"
#include "runtime/image/source.h"

/*
 * Reads the blob to its end while a child looks into it; when size, digest and diff id are right,
 * the entries are added to the tree. Memory is what it takes; nothing is written to a disk.
 */
bool check_layer_read(struct source *source, const struct layer_map *map, const struct layer *layer,
                      const char *diff_id, struct check_tree *tree, struct err *err);

/* Whether a blob that failed so may be right in another place, which is asked next. */
bool check_elsewhere(struct source *source, const struct err *err);

#endif
