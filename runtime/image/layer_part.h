/*
 * A layer on its way: a directory HEX.part beside the name that it gets, which whoever holds the
 * lock of the layer may clear away. It becomes HEX once it is complete.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_LAYER_PART_H
#define STEPCELL_RUNTIME_IMAGE_LAYER_PART_H

#include "runtime/image/fetch.h"

#define PART_SUFFIX ".part"

struct layer_part {
    const struct tree_remover *remover;
    const char *hex;
    char name[DIGEST_TEXT_MAX + sizeof(PART_SUFFIX)];
    int map_fd; /* the directory of the map, not owned */
    int fd;
};

#define LAYER_PART_INIT ((struct layer_part){.fd = -1})

/* What was left there is removed first. The strings and structures are borrowed. */
bool layer_part_begin(struct layer_part *part, const struct store *store,
                      const struct tree_remover *remover, const struct layer_map *map, int map_fd,
                      const char *hex, struct err *err);

/* Removes the part with this name, if there is one; the hint says who can where the caller cannot.
 */
bool layer_part_remove(const struct store *store, const struct tree_remover *remover, int map_fd,
                       const char *map, const char *name, struct err *err);

/*
 * Flushes the tree, and with it the blob that `writer`, if any, has checked; both become visible.
 */
bool layer_part_keep(struct layer_part *part, struct blob_writer *writer, struct err *err);

/* The same, in place of the layer that is there. */
bool layer_part_replace(struct layer_part *part, struct err *err);

/* Removes what was not kept. */
void layer_part_release(struct layer_part *part);

#define autolayerpart CLEANUP(layer_part_release) struct layer_part

/* What unpacks one layer in the ids of the map. */
struct layer_unpack {
    const struct layer_map *map;
    int input, target;
    enum compression compression;
    const char *diff_id;
    bool only_check; /* against the diff id: nothing is written to the target */
};

/* Reads the input in the child, which has nothing but that and the target. */
bool layer_unpack_run(const struct layer_unpack *unpacking, struct err *err);

#endif
