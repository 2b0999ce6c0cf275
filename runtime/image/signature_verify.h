/*
 * Verifying that an image is signed, at its registry or by what the store has kept of it. Nothing
 * of the image has to be there but the digests by which it runs.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_SIGNATURE_VERIFY_H
#define STEPCELL_RUNTIME_IMAGE_SIGNATURE_VERIFY_H

#include "runtime/image/signature.h"

struct signature_request {
    const struct reference *reference; /* whose repository holds the signatures */
    const char *digest;                /* what the reference names */
    const char *manifest_digest;       /* of the image itself, or NULL; may be the same */
    const struct signature_demand *const *demands;
    size_t demand_count;
};

/*
 * Asks the registry for signatures, by both digests and in both formats, until each demand is met.
 * *signatures, owned by the caller, lists those that meet one, as in a record. image.signature when
 * there are none that do; an answer that the registry does not give is an error of its own.
 */
bool signatures_verify(const struct signature_request *request, json_t **signatures,
                       struct err *err);

/*
 * The same by a record alone, without a question to anybody: believed are its bytes, and nothing
 * that it says of them. NULL without an error when they do not suffice.
 */
json_t *signatures_reverify(const struct signature_request *request, json_t *record);

/* Writes the record: `indexes` are the texts that lead from the digest to the manifest. */
bool signature_record_write(const struct store *store, const char *digest,
                            const char *manifest_digest, const struct strv *indexes,
                            json_t *signatures, struct err *err);

#endif
