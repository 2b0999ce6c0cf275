/* Signatures: one of cosign's own, the formats, and the record of the store. */
#include "tests/unit/unit.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/public_key.h"
#include "runtime/image/signature_formats.h"

#include <fcntl.h>

#define VECTOR "tests/corpus/signatures/vector/"
#define DIGEST "sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00"
#define OTHER  "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define NAME   "192.168.64.2:5000/cosign-signed-single-sample"

static char *read_file(const char *name)
{
    struct buf text = BUF_INIT(65536);
    struct err err;

    assert_ok(file_read(AT_FDCWD, name, &text, ERR_CONFIG_INVALID, &err));
    return buf_take(&text);
}

static struct public_key *read_key(const char *name)
{
    autofree char *pem = read_file(name);
    struct err err;
    struct public_key *key = public_key_parse(pem, strlen(pem), name, &err);

    assert_non_null(key);
    return key;
}

static void read_vector(struct signature *signature)
{
    autofree char *text = read_file(VECTOR "sig.b64");

    *signature = (struct signature){.format = SIGNATURE_SIMPLE};
    text[strcspn(text, "\n")] = '\0';
    signature->payload = read_file(VECTOR "payload");
    signature->payload_len = strlen(signature->payload);
    signature->der = base64_decode(text, &signature->der_len);
    assert_non_null(signature->der);
}

static void assert_why(const struct signature *signature, const struct public_key *key,
                       const char *digest, const struct signature_demand *demand, const char *why)
{
    autofree char *name = NULL;
    const char *found = signature_check(signature, key, digest, demand, &name);

    if (!why)
        assert_null(found);
    else
        assert_string_equal(found, why);
}

static void cosigns_own_signature(void **state)
{
    const struct signature_demand any = {0};
    struct signature_demand repository = {.identity = IDENTITY_REPOSITORY, .name = (char *)NAME};
    struct signature_demand exact = {.identity = IDENTITY_EXACT, .name = (char *)NAME ":latest"};
    autopublickey *key = read_key(VECTOR "cosign.pub"), *wrong = read_key(VECTOR "wrong.pub");
    autofree char *manifest = read_file(VECTOR "manifest.json");
    char digest[DIGEST_TEXT_MAX];
    autosignature signature = {0};

    (void)state;
    read_vector(&signature);
    digest_of(manifest, strlen(manifest), digest);
    assert_string_equal(digest, DIGEST);
    assert_why(&signature, key, DIGEST, &any, NULL);
    assert_why(&signature, key, DIGEST, &repository, NULL);
    assert_why(&signature, key, DIGEST, &exact, "is for an image of another name");
    repository.name = (char *)"192.168.64.2:5000/cosign-signed";
    assert_why(&signature, key, DIGEST, &repository, "is for an image of another name");
    assert_why(&signature, wrong, DIGEST, &any, "is by another key");
    assert_why(&signature, key, OTHER, &any, "is for another image");
    /* Every bit of both counts, and so does every byte behind. */
    for (size_t i = 0; i < signature.payload_len; i++) {
        signature.payload[i] ^= 1;
        assert_why(&signature, key, DIGEST, &any, "is by another key");
        signature.payload[i] ^= 1;
    }
    for (size_t i = 0; i < signature.der_len; i++) {
        signature.der[i] ^= 1;
        assert_why(&signature, key, DIGEST, &any, "is by another key");
        signature.der[i] ^= 1;
    }
    signature.der = realloc(signature.der, signature.der_len + 2);
    signature.der[signature.der_len++] = '\0';
    assert_why(&signature, key, DIGEST, &any, "is by another key");
    signature.der_len -= 2;
    assert_why(&signature, key, DIGEST, &any, "is by another key");
    signature.der_len = 0;
    assert_why(&signature, key, DIGEST, &any, "is by another key");
}

static void keys_of_other_kinds_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        /* Ed25519, P-384 */
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        "-----END PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_refused(public_key_parse(texts[i], strlen(texts[i]), "key", &err) != NULL,
                       ERR_CONFIG_INVALID);
}

#define LAYER                                                                                      \
    "{\"mediaType\": \"application/vnd.dev.cosign.simplesigning.v1+json\", \"digest\": \"" DIGEST  \
    "\", \"size\": 1, \"annotations\": {\"dev.cosignproject.cosign/signature\": \"AA==\"}}"
#define MANIFEST_OF(layers) "{\"schemaVersion\": 2, \"layers\": [" layers "]}"

static void manifests_of_signatures(void **state)
{
    static const struct {
        const char *text;
        size_t count; /* SIZE_MAX: refused */
    } table[] = {
        {MANIFEST_OF(""), 0},
        {MANIFEST_OF(LAYER), 1},
        {MANIFEST_OF(LAYER ", " LAYER), 2},
        {MANIFEST_OF("{}"), 0},
        {MANIFEST_OF("1, null, []"), 0},
        {"{\"schemaVersion\": 1, \"layers\": []}", SIZE_MAX},
        {"{\"schemaVersion\": 2}", SIZE_MAX},
        {"{\"schemaVersion\": 2, \"layers\": [], \"manifests\": []}", SIZE_MAX},
        {"{\"schemaVersion\": 2, \"layers\": [], \"layers\": []}", SIZE_MAX},
        {"[]", SIZE_MAX},
        {"", SIZE_MAX},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autoblobs blobs = {0};
        size_t len = strlen(table[i].text);

        if (table[i].count == SIZE_MAX) {
            assert_refused(
                signature_parse_manifest(table[i].text, len, SIGNATURE_SIMPLE, &blobs, &err),
                ERR_IMAGE_SIGNATURE);
            continue;
        }
        assert_ok(signature_parse_manifest(table[i].text, len, SIGNATURE_SIMPLE, &blobs, &err));
        assert_int_equal(blobs.count, table[i].count);
    }
}

static void too_many_signatures_are_refused(void **state)
{
    autobuf text = BUF_INIT(1 << 20);
    autoblobs blobs = {0};
    struct err err;

    (void)state;
    buf_append_text(&text, "{\"schemaVersion\": 2, \"layers\": [" LAYER);
    for (size_t i = 0; i < SIGNATURES_MAX; i++)
        buf_append_text(&text, ", " LAYER);
    buf_append_text(&text, "]}");
    assert_refused(signature_parse_manifest(text.data, text.len, SIGNATURE_SIMPLE, &blobs, &err),
                   ERR_IMAGE_SIGNATURE);
}

#define TYPE           "\"mediaType\": \"application/vnd.dev.sigstore.bundle.v0.3+json\""
#define ENVELOPE(rest) "{" TYPE ", \"dsseEnvelope\": {" rest "}}"
#define PAYLOAD        "\"payload\": \"e30=\", \"payloadType\": \"application/vnd.in-toto+json\""

static void bundles(void **state)
{
    static const char good[] = ENVELOPE(PAYLOAD ", \"signatures\": [{\"sig\": \"AA==\"}]");
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{" TYPE "}",
        ENVELOPE(""),
        ENVELOPE(PAYLOAD),
        ENVELOPE(PAYLOAD ", \"signatures\": []"),
        ENVELOPE(PAYLOAD ", \"signatures\": [{}]"),
        ENVELOPE(PAYLOAD ", \"signatures\": [{\"sig\": \"*\"}]"),
        ENVELOPE(PAYLOAD ", \"signatures\": [{\"sig\": \"AA==\"}, {\"sig\": \"AA==\"}]"),
        ENVELOPE("\"payload\": \"e30=\", \"payloadType\": \"text\", \"signatures\": [{\"sig\": "
                 "\"AA==\"}]"),
        "{\"mediaType\": \"application/json\", \"dsseEnvelope\": {" PAYLOAD
        ", \"signatures\": [{\"sig\": \"AA==\"}]}}",
    };
    autosignature signature = {0};
    struct err err;

    (void)state;
    assert_ok(signature_parse_bundle(good, strlen(good), &signature, &err));
    assert_int_equal(signature.format, SIGNATURE_BUNDLE);
    assert_string_equal(signature.payload, "{}");
    for (size_t i = 0; i < COUNT(bad); i++) {
        autosignature none = {0};

        assert_refused(signature_parse_bundle(bad[i], strlen(bad[i]), &none, &err),
                       ERR_IMAGE_SIGNATURE);
    }
}

/* What a record says of a digest counts for that digest, that key and that name. */
static void signatures_of_a_record(void **state)
{
    struct signature_key key = {.id = DIGEST};
    struct signature_demand demand = {.keys = &key, .key_count = 1};
    autojson *list = json_pack("[{s:s, s:s, s:s}]", "digest", OTHER, "key", DIGEST,
                               "docker_reference", "debian");

    (void)state;
    assert_non_null(signature_find(list, &demand, OTHER, DIGEST));
    assert_non_null(signature_find(list, &demand, DIGEST, OTHER));
    assert_null(signature_find(list, &demand, DIGEST, DIGEST));
    assert_null(signature_find(list, &demand, NULL, NULL));
    demand.identity = IDENTITY_REPOSITORY;
    demand.name = (char *)"docker.io/library/debian";
    assert_non_null(signature_find(list, &demand, OTHER, NULL));
    demand.name = (char *)"docker.io/library/debian2";
    assert_null(signature_find(list, &demand, OTHER, NULL));
    demand.identity = IDENTITY_EXACT;
    demand.name = (char *)"docker.io/library/debian:latest";
    assert_null(signature_find(list, &demand, OTHER, NULL));
    demand.identity = IDENTITY_ANY;
    strcpy(key.id, OTHER);
    assert_null(signature_find(list, &demand, OTHER, NULL));
    assert_null(signature_find(NULL, &demand, OTHER, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosigns_own_signature),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(manifests_of_signatures),
        cmocka_unit_test(too_many_signatures_are_refused),
        cmocka_unit_test(bundles),
        cmocka_unit_test(signatures_of_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
