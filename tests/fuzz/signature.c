/* What a registry hands out as signatures: manifests, bundles, and what is signed. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/signature_formats.h"

#define DIGEST "sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00"

/* Of the vector of tests/corpus/signatures. */
static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFNLqFhf4fiN6o/glAuYnq2jYUeL0\n"
                          "vRuLu/z39pmbVwS9ff5AYnlwaP9sxREajdLY9ynM6G1sy6AAmb7Z63TsLg==\n"
                          "-----END PUBLIC KEY-----\n";

static void try_manifest(const char *text, size_t size, enum signature_format format)
{
    autoblobs blobs = {0};
    struct err err = ERR_INIT;

    if (!signature_parse_manifest(text, size, format, &blobs, &err)) {
        FUZZ_SAID(err);
        FUZZ_CHECK(err.code == ERR_IMAGE_SIGNATURE);
        return;
    }
    FUZZ_CHECK(blobs.count <= SIGNATURES_MAX);
    for (size_t i = 0; i < blobs.count; i++)
        FUZZ_CHECK(blobs.items[i].blob.size <= SIGNATURE_PAYLOAD_MAX &&
                   digest_is_valid(blobs.items[i].blob.digest));
}

/* No input is signed by this key: whatever it holds, it does not count. */
static void check(const struct signature *signature)
{
    static const struct signature_demand demand;
    struct err err;
    autopublickey *key = public_key_parse(pem, strlen(pem), "key", &err);
    autofree char *name = NULL;

    FUZZ_CHECK(key);
    FUZZ_CHECK(signature_check(signature, key, DIGEST, &demand, &name));
}

static void try_bundle(const char *text, size_t size)
{
    autosignature signature = {0};
    struct err err = ERR_INIT;

    if (signature_parse_bundle(text, size, &signature, &err))
        check(&signature);
    else
        FUZZ_SAID(err);
}

static void try_key(const char *text, size_t size)
{
    struct err err = ERR_INIT;
    autopublickey *key = public_key_parse(text, size, "key", &err);

    if (!key)
        FUZZ_SAID(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    const char *text = (const char *)data;

    switch (choice % 4) {
    case 0:
        try_manifest(text, size, SIGNATURE_SIMPLE);
        break;
    case 1:
        try_manifest(text, size, SIGNATURE_BUNDLE);
        break;
    case 2:
        try_bundle(text, size);
        break;
    default:
        try_key(text, size);
    }
    return 0;
}
