/*
 * A directory of the store for work that needs one: "tmp/NAME", guarded by the lock "NAME". Whoever
 * made it removes it; what a killed process leaves, store_sweep does.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_PLACE_H
#define STEPCELL_RUNTIME_IMAGE_STORE_PLACE_H

#include "runtime/image/store_write.h"

#define PLACE_NAME_MAX 64

struct place {
    const struct store *store;          /* borrowed */
    const struct tree_remover *remover; /* for what belongs to other ids of the caller's */
    char name[PLACE_NAME_MAX];
    char *path; /* absolute; NULL until it is made */
    int lock;
};

#define PLACE_INIT ((struct place){.lock = -1})

/* `kind` is what its name begins with. */
bool place_make(const struct store *store, const struct tree_remover *remover, const char *kind,
                struct place *place, struct err *err);
void place_remove(struct place *place);

/* Removes "tmp/NAME", whose lock the caller has, and a lock that only this place had. */
bool place_clear(const struct store *store, const struct tree_remover *remover, const char *name,
                 struct err *err);

#define autoplace CLEANUP(place_remove) struct place

#endif
