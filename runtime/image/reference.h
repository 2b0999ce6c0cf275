/*
 * Image references, as a user writes them (pure).
 *
 *   [HOST[:PORT]/]PATH[:TAG][@DIGEST]    docker's grammar and normalisation: "debian" is
 *                                        "docker.io/library/debian:latest"
 *   oci:DIR[:TAG]                        an OCI image layout
 *   docker-archive:FILE                  what `docker save` writes
 *   oci-archive:FILE                     a tar of an OCI image layout
 *
 * Source of the grammar: distribution/reference; of the name limits: OCI distribution-spec.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_REFERENCE_H
#define STEPCELL_RUNTIME_IMAGE_REFERENCE_H

#include "base/cleanup.h"
#include "base/err.h"

enum transport {
    TRANSPORT_REGISTRY,
    TRANSPORT_OCI,
    TRANSPORT_DOCKER_ARCHIVE,
    TRANSPORT_OCI_ARCHIVE
};

#define REFERENCE_MAX      4096 /* bytes of a reference as written */
#define REFERENCE_NAME_MAX 255  /* bytes of HOST/PATH */
#define REFERENCE_TAG_MAX  128

struct reference {
    enum transport transport;
    char *given;  /* as written */
    char *name;   /* the normalised whole: "docker.io/library/debian:latest", "oci:/abs/dir:tag" */
    char *host;   /* registry: "docker.io", "127.0.0.1:5000"; otherwise NULL */
    char *path;   /* registry: "library/debian"; otherwise the absolute file or directory */
    char *tag;    /* registry: never NULL unless there is a digest; oci: may be NULL */
    char *digest; /* "sha256:…", or NULL; wins over the tag */
};

/* Local paths are made absolute from `cwd`. On success the caller releases `reference`. */
bool reference_parse(const char *text, const char *cwd, struct reference *reference,
                     struct err *err);
void reference_release(struct reference *reference);

/*
 * A host in the one spelling in which hosts are compared: lower case, without the
 * port that HTTPS has anyway, Docker Hub by its name. Owned by the caller; NULL without
 * memory. References keep the spelling that configurations of registries know.
 */
char *reference_host(const char *host);

/*
 * A local reference becomes the one of the real path, so that no link on its way leads elsewhere
 * later; any other stays as it is. image.not_found when there is nothing. Looks at the disk.
 */
bool reference_resolve(struct reference *reference, struct err *err);

/* To an error of a file that is not there: what a ':' in its path would have done. False. */
bool reference_hint(const struct reference *reference, struct err *err);

/* Whether it names a repository of a registry: HOST/PATH, without tag and digest. */
bool reference_is_repository(const char *text);

/* "sha256:" and 64 lower-case hexadecimal digits, nothing else. */
bool digest_is_valid(const char *text);

/* The 64 digits of a valid digest. */
const char *digest_hex(const char *digest);

#define autoreference CLEANUP(reference_release) struct reference

#endif
