/*
 * Credentials of a file's `auths`, and the same bytes as what a credential helper answers. What comes
 * out of them goes into a header field.
 */
#include "tests/fuzz/fuzz.h"

#include "base/base64.h"
#include "base/json.h"
#include "runtime/image/credential_helper.h"
#include "runtime/image/credentials.h"

static void look_at(const struct credentials *credentials)
{
    size_t len;
    autofree char *pair = credentials->basic ? base64_decode(credentials->basic, &len) : NULL;

    FUZZ_CHECK(!credentials->basic || (pair && memchr(pair, ':', len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autojson *auths = json_parse((const char *)data, size, "file", ERR_CONFIG_INVALID, &err);

    if (auths) {
        autocredentials credentials = {0};

        if (credentials_from_auths(auths, "r.example", "team/app", "file", &credentials, &err))
            look_at(&credentials);
        else
            FUZZ_SAID(err);
    }
    if (size <= HELPER_ANSWER_MAX) {
        autocredentials credentials = {0};

        if (credentials_from_answer((const char *)data, size, "helper", &credentials, &err))
            look_at(&credentials);
        else
            FUZZ_SAID(err);
    }
    return 0;
}
