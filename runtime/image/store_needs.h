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

/*
 * What the blobs say of an image: its manifest, and the members of `image` that do not need its
 * layers. Both blobs are compared with their digests; false when one is missing or damaged.
 */
bool store_read_image(const struct store *store, const char *digest, struct manifest *manifest,
                      struct image *image, struct err *err);

/*
 * Adds what the image of this manifest needs: what its record says, and what its blobs say, since a
 * record that can be read may be damaged all the same. *known is false when neither can be read.
 */
bool store_add_needs(const struct store *store, const char *digest, bool *known,
                     struct needs *needs, struct err *err);

/*
 * The same for who is about to remove what is not needed: an image whose manifest is damaged is
 * image.corrupt; one of which nobody knows what it needs is store.busy while a cell runs it.
 * Otherwise it needs nothing.
 */
bool store_keep_image(const struct store *store, const char *digest, struct needs *needs,
                      struct err *err);

/* The exclusive lock of an image's record; -1 when a cell has it (*busy), or with errno. */
int store_claim_image(const struct store *store, const char *digest, bool *busy);

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
