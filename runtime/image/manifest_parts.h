/*
 * What a manifest or an index is made of (pure), for whoever copies it: also attestations,
 * artifacts and layers that nothing here could run. What runs is read by manifest.h, strictly.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_MANIFEST_PARTS_H
#define STEPCELL_RUNTIME_IMAGE_MANIFEST_PARTS_H

#include "runtime/image/manifest.h"

enum child_role {
    CHILD_IMAGE,       /* or an index of such */
    CHILD_ATTESTATION, /* what a builder says of an image beside it */
    CHILD_OTHER,       /* another artifact */
    CHILD_UNKNOWN      /* of a type that nobody here knows; it has no descriptor */
};

struct index_child {
    enum child_role role;
    struct descriptor manifest;
    /* Borrowed from the text. */
    const json_t *platform, *annotations; /* objects, or NULL */
    const char *attests;                  /* the digest of an attestation's image */
};

struct manifest_parts {
    json_t *json;
    bool is_index;
    bool is_image;            /* its configuration is that of an image */
    const char *media_type;   /* as it says itself, or was announced, or OCI's */
    struct descriptor *blobs; /* the configuration, then what layers a registry has to hold */
    size_t blob_count;
    struct index_child *children;
    size_t child_count;
};

/* `media_type` and `what` as for manifest_parse. Errors are image.corrupt. */
bool manifest_parts_parse(const char *text, size_t len, const char *media_type, const char *what,
                          struct manifest_parts *parts, struct err *err);
void manifest_parts_release(struct manifest_parts *parts);

#define autoparts CLEANUP(manifest_parts_release) struct manifest_parts

#endif
