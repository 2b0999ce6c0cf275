/*
 * Signatures of images: what one is, whose it has to be, and what the store keeps of it. This
 * header is what a warm start needs; signature_verify.h looks for signatures and verifies them.
 *
 * What is kept lies beside the record of an image, as images/HEX/signatures.json: the digest that
 * the reference named, the indexes that lead from it to the image, and each signature with the key
 * that it was verified with. Whoever can write there could change the layers as well, so a store of
 * root's is believed; the store of an ordinary user is not, and everything in the record is
 * verified once more (docs/design/policy.md).
 */
#ifndef STEPCELL_RUNTIME_IMAGE_SIGNATURE_H
#define STEPCELL_RUNTIME_IMAGE_SIGNATURE_H

#include "base/json.h"
#include "runtime/image/store.h"

#define SIGNATURE_KEYS_MAX    16 /* of one demand */
#define SIGNATURE_DEMANDS_MAX 8  /* of one image */

#define SIGNATURE_RECORD        "signatures.json"
#define SIGNATURE_RECORD_SCHEMA "stepcell.signatures/1"

/* A key that a signature may be by. */
struct signature_key {
    char *file; /* as the policy names it */
    char *pem;
    char id[7 + 64 + 1]; /* "sha256:…" of the key in DER */
};

/* What the image's name inside of a signature has to be. */
enum signature_identity {
    IDENTITY_ANY,        /* as cosign itself: the digest decides */
    IDENTITY_REPOSITORY, /* HOST/PATH */
    IDENTITY_EXACT,      /* HOST/PATH:TAG */
};

/* A signature by any of the keys is needed. */
struct signature_demand {
    struct signature_key *keys;
    size_t key_count;
    enum signature_identity identity;
    char *name; /* for the identity, normalised; or NULL */
};

void signature_demand_release(struct signature_demand *demand);

/* The key of the demand with this id, or NULL. */
const struct signature_key *signature_demand_key(const struct signature_demand *demand,
                                                 const char *id);

/*
 * Whether the name inside of a signature ("docker-reference"; NULL where its format has none) is
 * what the demand asks for.
 */
bool signature_names(const struct signature_demand *demand, const char *docker_reference);

/* The record of an image, owned by the caller, or NULL when there is none that can be used. */
json_t *signature_record_read(const struct store *store, const char *manifest_digest);

/*
 * The signature in a list of those of a record that meets the demand, for one of the two digests;
 * borrowed, or NULL. Members: "digest", "key", "format", "docker_reference", "payload",
 * "signature".
 */
json_t *signature_find(json_t *signatures, const struct signature_demand *demand,
                       const char *digest, const char *manifest_digest);

#endif
