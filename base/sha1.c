/* By SHA-1 itself, as base/digest.c does with SHA-256. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/sha1.h"

#include <openssl/sha.h>

void sha1_of(const void *bytes, size_t len, uint8_t sum[SHA1_SIZE])
{
    SHA_CTX context;

    SHA1_Init(&context);
    SHA1_Update(&context, bytes, len);
    SHA1_Final(sum, &context);
}
