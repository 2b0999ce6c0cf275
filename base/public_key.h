/*
 * Public keys that verify signatures: ECDSA with P-256 and SHA-256, as cosign makes them. A library
 * of its own, for stepcell-image alone: it needs all of libcrypto.
 */
#ifndef STEPCELL_BASE_PUBLIC_KEY_H
#define STEPCELL_BASE_PUBLIC_KEY_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

#define PUBLIC_KEY_MAX 4096 /* bytes of a key in PEM */

struct public_key;

/*
 * Reads a key in PEM ("-----BEGIN PUBLIC KEY-----"); `what` names it in messages. NULL with
 * config.invalid for anything but an EC key on P-256. The caller frees it.
 */
struct public_key *public_key_parse(const char *pem, size_t len, const char *what, struct err *err);
void public_key_free(struct public_key *key);

/*
 * Whether `signature`, an ECDSA signature in DER and nothing behind it, is the key's for these
 * bytes.
 */
bool public_key_verifies(const struct public_key *key, const void *bytes, size_t len,
                         const void *signature, size_t signature_len);

static inline void cleanup_public_key(struct public_key **key)
{
    public_key_free(*key);
}
#define autopublickey CLEANUP(cleanup_public_key) struct public_key

#endif
