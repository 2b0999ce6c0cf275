/*
 * Verifies everything in the store, against the digests that name it: blobs, records, unpacked
 * layers, references and the files of the OCI layout (docs/design/pull.md says what is compared).
 *
 * What is wrong is dealt with where that can be done: a damaged blob or record is removed, and the
 * next pull brings it again, and so is a reference that index.json does not tell; a damaged layer
 * is replaced by one that is unpacked anew, unless a cell uses it; oci-layout, index.json and the
 * other references are written anew. A layer that no record names, of a pull that was killed say,
 * cannot be compared: it is removed, and is no finding.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_VERIFY_H
#define STEPCELL_RUNTIME_IMAGE_STORE_VERIFY_H

#include "runtime/image/fetch.h"

enum finding_remedy { REMEDY_PULL, REMEDY_DONE, REMEDY_AGAIN, REMEDY_COLLECT, REMEDY_ROOT };

struct finding {
    const char *part; /* "blob", "record", "layer", "reference" or "layout" */
    const char *name; /* digest, MAP/HEX, or a file's */
    const char *what; /* is wrong; may hold anything that an image does */
    enum finding_remedy remedy;
};

struct store_check {
    const struct tree_remover *remover;
    /* The map of the caller's with this key; false when there is none any more. */
    bool (*map_for)(void *data, const char *key, struct layer_map *map);
    void (*found)(void *data, const struct finding *finding);
    void *data;
    size_t blobs, layers, findings; /* results */
};

/* True when everything was looked at, whatever was found. */
bool store_verify(const struct store *store, struct store_check *check, struct err *err);

#endif
