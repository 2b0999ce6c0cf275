/*
 * libcrypto's functions of SHA-256 itself: its digests by name (EVP, and SHA256() with them) link
 * all of its providers, 5 MB, into a program that is started for each step. They are deprecated
 * since OpenSSL 3.0, and there.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/digest.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct digest {
    SHA256_CTX context;
};

struct digest *digest_new(void)
{
    struct digest *digest = malloc(sizeof(*digest));

    if (digest)
        SHA256_Init(&digest->context);
    return digest;
}

void digest_free(struct digest *digest)
{
    free(digest);
}

void digest_update(struct digest *digest, const void *bytes, size_t len)
{
    SHA256_Update(&digest->context, bytes, len);
}

static void put_text(const unsigned char *sum, char text[DIGEST_TEXT_MAX])
{
    static const char hex[] = "0123456789abcdef";
    char *p = stpcpy(text, "sha256:");

    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        *p++ = hex[sum[i] >> 4];
        *p++ = hex[sum[i] & 15];
    }
    *p = '\0';
}

void digest_finish(struct digest *digest, char text[DIGEST_TEXT_MAX])
{
    unsigned char sum[SHA256_DIGEST_LENGTH];

    SHA256_Final(sum, &digest->context);
    put_text(sum, text);
}

void digest_of(const void *bytes, size_t len, char text[DIGEST_TEXT_MAX])
{
    struct digest digest;

    SHA256_Init(&digest.context);
    digest_update(&digest, bytes, len);
    digest_finish(&digest, text);
}

/* One of the two passes: the key with each byte changed by `pad`, then the bytes. */
static void keyed_pass(const void *key, size_t key_len, unsigned char pad, const void *bytes,
                       size_t len, unsigned char sum[SHA256_DIGEST_LENGTH])
{
    unsigned char block[SHA256_CBLOCK] = {0};
    SHA256_CTX context;

    memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= pad;
    SHA256_Init(&context);
    SHA256_Update(&context, block, sizeof(block));
    SHA256_Update(&context, bytes, len);
    SHA256_Final(sum, &context);
}

void digest_keyed(const void *key, size_t key_len, const void *bytes, size_t len,
                  char text[DIGEST_TEXT_MAX])
{
    unsigned char sum[SHA256_DIGEST_LENGTH];

    keyed_pass(key, key_len, 0x36, bytes, len, sum);
    keyed_pass(key, key_len, 0x5c, sum, sizeof(sum), sum);
    put_text(sum, text);
}
