/*
 * cosign's two formats of signatures with keys (pure but for libcrypto). All texts are a
 * registry's, and untrusted.
 *
 *   simple   the tag "sha256-HEX.sig": a manifest whose layers are payloads that name the digest,
 *            each with its signature in an annotation
 *   bundle   a referrer of the image: a manifest with one layer, a bundle whose DSSE envelope holds
 *            an in-toto statement about the digest
 */
#ifndef STEPCELL_RUNTIME_IMAGE_SIGNATURE_FORMATS_H
#define STEPCELL_RUNTIME_IMAGE_SIGNATURE_FORMATS_H

#include "base/public_key.h"
#include "runtime/image/manifest.h"
#include "runtime/image/signature.h"

#define SIGNATURES_MAX        64        /* that are looked at, of each format for each digest */
#define SIGNATURE_PAYLOAD_MAX (1 << 20) /* bytes of a payload or a bundle */

enum signature_format { SIGNATURE_SIMPLE, SIGNATURE_BUNDLE };

/* "simple" or "bundle", and back; false for another word. */
const char *signature_format_text(enum signature_format format);
bool signature_format_parse(const char *text, enum signature_format *format);

/* Whether a referrer of this type is a bundle. */
bool signature_is_bundle_type(const char *artifact_type);

/* A blob that may be a signature. */
struct signature_blob {
    struct descriptor blob;
    char *signature; /* base64; simple only */
};

struct signature_blobs {
    struct signature_blob *items;
    size_t count;
};

void signature_blobs_release(struct signature_blobs *blobs);

/*
 * The signatures that a manifest names; layers of other kinds are passed over. image.signature when
 * it is none, or names more than SIGNATURES_MAX.
 */
bool signature_parse_manifest(const char *text, size_t len, enum signature_format format,
                              struct signature_blobs *blobs, struct err *err);

struct signature {
    enum signature_format format;
    char *payload; /* what is signed; of a bundle the statement */
    size_t payload_len;
    char *der;
    size_t der_len;
};

void signature_release(struct signature *signature);

/* Out of the text of a bundle. */
bool signature_parse_bundle(const char *text, size_t len, struct signature *signature,
                            struct err *err);

/*
 * Whether the key has signed just this digest, under a name that the demand accepts: NULL, or what
 * is wrong, as the end of a sentence about the signature. *docker_reference, the caller's, is the
 * name inside of it, or NULL where there is none.
 */
const char *signature_check(const struct signature *signature, const struct public_key *key,
                            const char *digest, const struct signature_demand *demand,
                            char **docker_reference);

#define autoblobs     CLEANUP(signature_blobs_release) struct signature_blobs
#define autosignature CLEANUP(signature_release) struct signature

#endif
