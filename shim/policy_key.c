/* Keys that policies name: their ids, without libcrypto's own reader, which a warm start lacks. */
#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "shim/policy.h"

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"
#define PEM_END   "-----END PUBLIC KEY-----"
#define BLANKS    " \t\r\n"

bool policy_take_key(const char *file, char *pem, struct signature_key *key, struct err *err)
{
    const char *begin = pem + strspn(pem, BLANKS), *end = strstr(begin, PEM_END);
    autofree char *text = NULL, *der = NULL;
    size_t len = 0;

    if (strncmp(begin, PEM_BEGIN, strlen(PEM_BEGIN)) == 0 && end &&
        !end[strlen(PEM_END) + strspn(end + strlen(PEM_END), BLANKS)])
        text = calloc(1, (size_t)(end - begin) + 1);
    for (const char *p = begin + strlen(PEM_BEGIN); text && p < end; p++) {
        if (!strchr(BLANKS, *p))
            text[len++] = *p;
    }
    der = text && len ? base64_decode(text, &len) : NULL;
    if (!der) {
        free(pem);
        err_set(err, ERR_CONFIG_INVALID, "'%s' is no public key in PEM, and nothing else", file);
        return err_hint(err, "it has to begin with '" PEM_BEGIN "', as cosign's cosign.pub");
    }
    *key = (struct signature_key){.file = strdup(file), .pem = pem};
    digest_of(der, len, key->id);
    return key->file || err_set(err, ERR_ENGINE_FAILED, "not enough memory for the policy");
}
