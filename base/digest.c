#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct digest {
    EVP_MD_CTX *context;
};

struct digest *digest_new(void)
{
    struct digest *digest = calloc(1, sizeof(*digest));

    if (!digest)
        return NULL;
    digest->context = EVP_MD_CTX_new();
    if (!digest->context || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1) {
        digest_free(digest);
        return NULL;
    }
    return digest;
}

void digest_free(struct digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void digest_update(struct digest *digest, const void *bytes, size_t len)
{
    /* Fails only when the context was finished before: a mistake in the program. */
    if (EVP_DigestUpdate(digest->context, bytes, len) != 1)
        abort();
}

static void put_text(const unsigned char *sum, char text[DIGEST_TEXT_MAX])
{
    static const char hex[] = "0123456789abcdef";
    char *p = stpcpy(text, "sha256:");

    for (size_t i = 0; i < DIGEST_HEX_LEN / 2; i++) {
        *p++ = hex[sum[i] >> 4];
        *p++ = hex[sum[i] & 15];
    }
    *p = '\0';
}

void digest_finish(struct digest *digest, char text[DIGEST_TEXT_MAX])
{
    unsigned char sum[EVP_MAX_MD_SIZE];

    if (EVP_DigestFinal_ex(digest->context, sum, NULL) != 1)
        abort();
    put_text(sum, text);
}

void digest_of(const void *bytes, size_t len, char text[DIGEST_TEXT_MAX])
{
    unsigned char sum[EVP_MAX_MD_SIZE];

    if (EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL) != 1)
        abort();
    put_text(sum, text);
}
