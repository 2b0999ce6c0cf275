/*
 * SHA-256 digests, as OCI writes them: "sha256:" and 64 lower-case hexadecimal digits (image-spec
 * descriptor.md). A library of its own: who links it loads libcrypto.
 */
#ifndef STEPCELL_BASE_DIGEST_H
#define STEPCELL_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX_LEN  64
#define DIGEST_TEXT_MAX (sizeof("sha256:") + DIGEST_HEX_LEN)

struct digest; /* a running computation */

/* NULL only without memory. */
struct digest *digest_new(void);
void digest_free(struct digest *digest);
void digest_update(struct digest *digest, const void *bytes, size_t len);

/* The digest of all bytes so far; the computation is over and can only be freed. */
void digest_finish(struct digest *digest, char text[DIGEST_TEXT_MAX]);

/* The digest of `len` bytes. */
void digest_of(const void *bytes, size_t len, char text[DIGEST_TEXT_MAX]);

/* HMAC (RFC 2104) with SHA-256; the key has 64 bytes at the most. */
void digest_keyed(const void *key, size_t key_len, const void *bytes, size_t len,
                  char text[DIGEST_TEXT_MAX]);

static inline void cleanup_digest(struct digest **digest)
{
    digest_free(*digest);
}
#define autodigest __attribute__((cleanup(cleanup_digest))) struct digest

#endif
