/*
 * Gets an image into the store: resolve, fetch blobs, unpack layers, write the record.
 *
 *   struct fetch fetch = FETCH_INIT; set store, reference, platform, policy, remover, progress;
 *   fetch_resolve     what the reference names, down to the configuration of one platform
 *   fetch_layers      the layers, stored and unpacked for one id map; repeat for another map
 *   fetch_finish      record, reference and index.json: from here on others see the image
 *   fetch_release     in any case
 *
 * The store is asked first, unless the policy says otherwise; the source is opened when something
 * is missing. Everything that a source hands out is checked against the digest and size that named
 * it.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_FETCH_H
#define STEPCELL_RUNTIME_IMAGE_FETCH_H

#include <time.h>

#include "runtime/image/manifest.h"
#include "runtime/image/source.h"
#include "runtime/image/store_write.h"

#define FETCH_WORKERS  4 /* layers at a time */
#define FETCH_WARNINGS 8 /* of a registry that are handed on */

enum fetch_policy {
    FETCH_MISSING, /* the source is asked for what the store lacks */
    FETCH_ALWAYS,  /* and what the reference names now */
    FETCH_NEVER,   /* never */
};

enum fetch_phase { FETCH_PHASE_RESOLVE, FETCH_PHASE_PULL, FETCH_PHASE_UNPACK, FETCH_PHASES };

struct fetch_phase_time {
    struct timespec start;
    int64_t ns; /* 0 when it did not happen */
};

/*
 * What a child that works on layers has of the world: a directory, which becomes its root, and
 * descriptors. It can reach nothing else.
 */
struct reach {
    int root;
    const int *descriptors;
    size_t count;
};

/* How trees of one id map are made; namespaces are not this folder's business. */
struct layer_map {
    const char *key;
    bool may_chown;
    /* Gives a new directory to the ids that the map's 0:0 stands for, where the caller has to do
     * so. */
    bool (*prepare)(void *data, int directory, struct err *err);
    /* Runs `function` in a child that has the map and no more than this reach, and hands on what it
     * returns. */
    bool (*run)(void *data, const struct reach *reach,
                bool (*function)(void *argument, struct err *err), void *argument, struct err *err);
    void *data;
};

/* A layer that has become complete. */
struct fetch_layer {
    const char *name;      /* the digest of its blob; what a daemon calls it */
    uint64_t bytes;        /* that were fetched for it */
    struct timespec start; /* CLOCK_REALTIME */
    int64_t ns;            /* that it took, to be fetched and unpacked */
};

/* Told of what goes on; any may be NULL. */
struct fetch_progress {
    void (*begin)(void *data, size_t layers, uint64_t bytes); /* that are missing */
    void (*bytes)(void *data, uint64_t done, uint64_t size);  /* of all layers together */
    /* One more is complete: so many of all. */
    void (*layer)(void *data, const struct fetch_layer *layer, size_t count, size_t layers);
    void (*end)(void *data);
    void (*warning)(void *data, const char *registry, const char *text); /* each once */
    void *data;
};

struct fetch {
    const struct store *store;
    const struct reference *reference;
    const struct reference *name_as; /* the name in the store, where that is another; or NULL */
    const struct platform *platform;
    enum fetch_policy policy;
    const struct tree_remover *remover;
    struct fetch_progress progress;
    int lock; /* of the store: -1, or an opened one that the caller shares */
    /* Results. `image` has passwd and group once fetch_layers was there. */
    struct image_name name;
    struct manifest manifest;
    struct image image;
    struct fetch_phase_time phases[FETCH_PHASES];
    /* Its own. */
    bool has_name;   /* the store knew the reference */
    bool has_record; /* and the image */
    bool has_fingerprint;
    struct store_fingerprint fingerprint;
    struct source *source;
    struct strv warnings; /* that were handed on */
};

#define FETCH_INIT ((struct fetch){.image = IMAGE_INIT, .lock = -1})

bool fetch_resolve(struct fetch *fetch, struct err *err);
bool fetch_layers(struct fetch *fetch, const struct layer_map *map, struct err *err);
bool fetch_finish(struct fetch *fetch, struct err *err);
void fetch_release(struct fetch *fetch);

/* For fetch.c and its other half: opens the source where that has not been done yet. */
bool fetch_source(struct fetch *fetch, struct err *err);

/* And this: whether a blob that failed so may be right in another place, which is asked next. */
bool fetch_elsewhere(struct fetch *fetch, const struct err *err);

#define autofetch CLEANUP(fetch_release) struct fetch

#endif
