/* Where the id maps of mounts/ and the layers of runtime/image/ meet. */
#ifndef STEPCELL_SHIM_IMAGE_MAPPED_H
#define STEPCELL_SHIM_IMAGE_MAPPED_H

#include "mounts/idmap.h"
#include "runtime/image/fetch.h"

struct mapped {
    struct idmap map;
    char key[IDMAP_KEY_MAX];
};

/* The map for steps that run as uid:gid. */
bool mapped_for(uid_t uid, gid_t gid, struct mapped *mapped, struct err *err);

/* The map whose layers have this key; false when no step of the caller's has it any more. */
bool mapped_for_key(const char *key, struct mapped *mapped);

/* Whether no step has it any more while its layers still are all the caller's own. */
bool mapped_is_orphan(const char *key);

/* Makes trees for this map; borrows `mapped`. */
struct layer_map mapped_layers(struct mapped *mapped);

/* Removes trees that belong to whichever ids a map of the caller's has. */
extern const struct tree_remover mapped_remover;

#endif
