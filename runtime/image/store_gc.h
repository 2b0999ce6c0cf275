/*
 * Sizes, last use, and taking away what has not been used for long.
 *
 * An image was last used when its record was: whoever starts a cell or pulls it again sets the
 * modification time of the record. The size of a layer is measured once and kept in the file of its
 * lock.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_GC_H
#define STEPCELL_RUNTIME_IMAGE_STORE_GC_H

#include <time.h>

#include "runtime/image/store_write.h"

struct image_usage {
    uint64_t bytes;   /* of its blobs and its layers for every map, also those that others share */
    time_t last_used; /* 0 when there is no record */
};

struct gc_options {
    bool has_age, has_size, dry_run;
    uint64_t age_s; /* what was not used for so long goes */
    uint64_t
        size_max; /* then what was not used for longest, until so many bytes are left at most */
    /*
     * Told of what goes: "image" with a reference, "blob", "layer" and "record" that none needs, or
     * "unfinished" with a path below the store.
     */
    void (*removed)(void *data, const char *kind, const char *name);
    /* Whether no step will have the id map with this key: its layers go, unless a cell has them. */
    bool (*is_orphan)(void *data, const char *map);
    void *data;
};

struct gc_result {
    uint64_t before, after; /* bytes of blobs and layers */
    size_t busy;            /* references that would have gone, but cells run them */
    struct err left;        /* why a layer could not be removed, or ERR_NONE */
};

bool store_usage(const struct store *store, const struct tree_remover *remover, const char *digest,
                 struct image_usage *usage, struct err *err);

/*
 * Takes away references by age and by size, and in any case what no reference leads to and what a
 * kill left of a record. Nothing that a cell runs, or holds because it is about to run, is touched.
 * What stays because it cannot be removed is a result, and keeps nothing else.
 */
bool store_gc(const struct store *store, const struct tree_remover *remover,
              const struct gc_options *options, struct gc_result *result, struct err *err);

/* Removes the layers that no record names, unless there is a record that cannot be read. With the
 * store's lock held exclusively. */
bool store_drop_unnamed_layers(const struct store *store, const struct tree_remover *remover,
                               struct err *err);

#endif
