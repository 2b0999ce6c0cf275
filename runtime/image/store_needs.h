/* What images need of the store: shared by those who remove, collect and verify. */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_NEEDS_H
#define STEPCELL_RUNTIME_IMAGE_STORE_NEEDS_H

#include "runtime/image/store_write.h"

/*
 * Calls `visit` for each entry of the directory `path` below the store, until one call fails; a
 * missing directory has none.
 */
bool store_each(const struct store *store, const char *path,
                bool (*visit)(void *data, const char *path, const char *name, struct err *err),
                void *data, struct err *err);

/* The same for the file of each reference, with its path below the store. */
bool store_each_reference(const struct store *store,
                          bool (*visit)(void *data, const char *path, const char *name,
                                        struct err *err),
                          void *data, struct err *err);

/* Digests of blobs and diff ids of layers. */
struct needs {
    struct strv blobs, layers;
};

void needs_release(struct needs *needs);
#define autoneeds CLEANUP(needs_release) struct needs

/* Adds what an image needs; of one whose manifest is gone, what its record knows. */
bool store_add_needs(const struct store *store, const struct image *image, struct needs *needs,
                     struct err *err);

/* Removes images/HEX: no cell finds the image any more. */
bool store_remove_record(const struct store *store, const char *digest, struct err *err);

/*
 * Both with the store's lock held exclusively, so that nobody waits for a lock that goes with them.
 * A layer that is being removed has a name that ends in ".part", and is none any more whatever
 * happens.
 */
bool store_remove_blob(const struct store *store, const char *hex, struct err *err);
bool store_remove_layer(const struct store *store, const struct tree_remover *remover, int map_fd,
                        const char *map, const char *hex, struct err *err);

#endif
