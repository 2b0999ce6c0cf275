#include "base/public_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#define CURVE "prime256v1"

struct public_key {
    EVP_PKEY *pkey;
};

static bool is_on_curve(const EVP_PKEY *pkey)
{
    char name[32];
    size_t len;

    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name),
                                          &len) == 1 &&
           strcmp(name, CURVE) == 0;
}

struct public_key *public_key_parse(const char *pem, size_t len, const char *what, struct err *err)
{
    BIO *bio = len <= PUBLIC_KEY_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    struct public_key *key = malloc(sizeof(*key));

    if (key)
        *key = (struct public_key){.pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL};
    BIO_free(bio);
    if (key && key->pkey && is_on_curve(key->pkey))
        return key;
    public_key_free(key);
    err_set(err, ERR_CONFIG_INVALID, "'%s' is no public key that verifies signatures", what);
    err_hint(err, "it has to be an EC key on P-256 in PEM, as cosign's cosign.pub");
    return NULL;
}

void public_key_free(struct public_key *key)
{
    if (key)
        EVP_PKEY_free(key->pkey);
    free(key);
}

bool public_key_verifies(const struct public_key *key, const void *bytes, size_t len,
                         const void *signature, size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* libcrypto encodes the signature anew and compares: no other DER passes. */
    bool ok = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
              EVP_DigestVerify(context, signature, signature_len, bytes, len) == 1;

    EVP_MD_CTX_free(context);
    return ok;
}
