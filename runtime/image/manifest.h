/*
 * Manifests and indexes, docker's and OCI's (pure). Texts are untrusted: whatever could be read in
 * two ways (CVE-2021-41190) is refused.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_MANIFEST_H
#define STEPCELL_RUNTIME_IMAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/json.h"
#include "runtime/image/platform.h"

#define MANIFEST_MAX      (4 << 20)             /* bytes of a manifest or an index */
#define INDEX_ENTRIES_MAX 1024                  /* entries of an index */
#define INDEX_DEPTH_MAX   4                     /* indexes, one inside of another */
#define BLOB_MAX          (UINT64_C(128) << 30) /* bytes of a layer as it is stored */

#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER_TAR   "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"

#define ANNOTATION_REF_NAME "org.opencontainers.image.ref.name"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct descriptor {
    char *media_type;
    char *digest; /* valid */
    uint64_t size;
};

struct layer {
    struct descriptor blob;
    enum compression compression;
};

struct index_entry {
    const char *fault; /* why nobody can use it, or NULL; `manifest` is empty then */
    struct descriptor manifest;
    bool has_platform;
    struct platform platform;
    char *ref_name; /* the annotation, or NULL */
};

/* One of the two; the other's members are empty. */
struct manifest {
    bool is_index;
    struct descriptor config;
    struct layer *layers; /* lowest first */
    size_t layer_count;
    struct index_entry
        *entries; /* images and indexes only: attestations, artifacts and unknown types are left
                     out */
    size_t entry_count;
};

/*
 * Parses `text`. `media_type` is what the source called it (Content-Type, or the descriptor's), or
 * NULL; `what` names it in messages. Errors are image.corrupt.
 */
bool manifest_parse(const char *text, size_t len, const char *media_type, const char *what,
                    struct manifest *manifest, struct err *err);
void manifest_release(struct manifest *manifest);

/*
 * The same image in OCI's types, for tools that know no others: *oci is a text of the caller's,
 * always the same for the same `text`, or NULL when there is nothing of docker's in it.
 */
bool manifest_as_oci(const char *text, size_t len, const char *what, char **oci, struct err *err);

/*
 * The entry that serves `wanted` best, of equals the first without a fault; an entry that names no
 * platform comes last. With none the error is image.platform, and lists what there is; with one
 * that has a fault it is image.corrupt.
 */
const struct index_entry *manifest_choose(const struct manifest *index,
                                          const struct platform *wanted, const char *what,
                                          struct err *err);

/*
 * The next that may serve as well as `entry`, which is of manifest_choose, or NULL: only what lies
 * behind entries that name no platform can tell which of them it is.
 */
const struct index_entry *manifest_choose_next(const struct manifest *index,
                                               const struct index_entry *entry);

/* ---- the platforms that there are, where the wanted one is not: a list for the message ---- */

#define OFFERS_MAX 1024 /* bytes of it */

void offers_add(struct buf *offers, const struct platform *platform);
void offers_add_index(struct buf *offers, const struct manifest *index);
/* image.platform: false. */
bool offers_refuse(const struct buf *offers, const struct platform *wanted, const char *what,
                   struct err *err);

/* Whether the entry has no fault. */
bool manifest_entry_check(const struct index_entry *entry, const char *what, struct err *err);

/* ---- for manifest_parts.c ---- */

enum manifest_kind { MANIFEST_UNKNOWN, MANIFEST_IMAGE, MANIFEST_INDEX };

/* What a media type says; it may be NULL. */
enum manifest_kind manifest_kind_of(const char *media_type);

/* As manifest_parse: what a text is, MANIFEST_UNKNOWN with err. */
enum manifest_kind manifest_kind(const json_t *json, const char *media_type, const char *what,
                                 struct err *err);

/* A descriptor of at most `max` bytes. */
bool descriptor_parse(const json_t *json, const char *what, uint64_t max,
                      struct descriptor *descriptor, struct err *err);
void descriptor_release(struct descriptor *descriptor);

#define automanifest CLEANUP(manifest_release) struct manifest

#endif
