#include "runtime/image/signature_formats.h"

#include <string.h>

#include "base/base64.h"
#include "base/buf.h"

#define SIMPLE_MEDIA      "application/vnd.dev.cosign.simplesigning.v1+json"
#define SIMPLE_ANNOTATION "dev.cosignproject.cosign/signature"
#define SIMPLE_TYPE       "cosign container image signature"
#define PAYLOAD_TYPE      "application/vnd.in-toto+json"
#define PREDICATE_SIGN    "https://sigstore.dev/cosign/sign/v1"
#define SUBJECTS_MAX      64
#define DER_MAX           128 /* bytes; of P-256 there are at most 72 */

static const char *const formats[] = {[SIGNATURE_SIMPLE] = "simple", [SIGNATURE_BUNDLE] = "bundle"};

static const char *const bundle_types[] = {
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
};

static const char *const statement_types[] = {
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
};

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; text && i < count; i++) {
        if (strcmp(text, list[i]) == 0)
            return true;
    }
    return false;
}

static bool is_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_text(object, key);

    return text && strcmp(text, expected) == 0;
}

const char *signature_format_text(enum signature_format format)
{
    return formats[format];
}

bool signature_format_parse(const char *text, enum signature_format *format)
{
    for (size_t i = 0; text && i < ARRAY_SIZE(formats); i++) {
        if (strcmp(text, formats[i]) == 0) {
            *format = (enum signature_format)i;
            return true;
        }
    }
    return false;
}

bool signature_is_bundle_type(const char *artifact_type)
{
    return is_one_of(artifact_type, bundle_types, ARRAY_SIZE(bundle_types));
}

static bool invalid(struct err *err, const char *why)
{
    return err_set(err, ERR_IMAGE_SIGNATURE, "what should be a signature is none: %s", why);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read a signature");
}

/* ---- manifests ---- */

void signature_blobs_release(struct signature_blobs *blobs)
{
    for (size_t i = 0; i < blobs->count; i++) {
        free(blobs->items[i].blob.media_type);
        free(blobs->items[i].blob.digest);
        free(blobs->items[i].signature);
    }
    free(blobs->items);
    *blobs = (struct signature_blobs){0};
}

static bool add_blob(struct signature_blobs *blobs, const json_t *layer, const char *signature,
                     struct err *err)
{
    const char *digest = json_text(layer, "digest");
    const json_t *size = json_object_get(layer, "size");
    struct signature_blob *blob;

    if (!digest_is_valid(digest) || !json_is_integer(size) || json_integer_value(size) < 0 ||
        json_integer_value(size) > SIGNATURE_PAYLOAD_MAX)
        return invalid(err, "a descriptor lacks its size or a sha256 digest, or is too large");
    if (blobs->count == SIGNATURES_MAX) {
        err_set(err, ERR_IMAGE_SIGNATURE, "there are more than %d signatures", SIGNATURES_MAX);
        return err_hint(err, "remove those of them that nobody needs from the registry");
    }
    blob = &blobs->items[blobs->count++];
    blob->blob.media_type = strdup(json_text(layer, "mediaType"));
    blob->blob.digest = strdup(digest);
    blob->blob.size = (uint64_t)json_integer_value(size);
    blob->signature = signature ? strdup(signature) : NULL;
    return (blob->blob.media_type && blob->blob.digest && (!signature || blob->signature)) ||
           no_memory(err);
}

bool signature_parse_manifest(const char *text, size_t len, enum signature_format format,
                              struct signature_blobs *blobs, struct err *err)
{
    autojson *manifest =
        json_parse(text, len, "a manifest of signatures", ERR_IMAGE_SIGNATURE, err);
    const json_t *layers = json_object_get(manifest, "layers"), *layer;
    autoblobs read = {0};
    size_t i;

    if (!manifest)
        return false;
    if (json_integer_value(json_object_get(manifest, "schemaVersion")) != 2 ||
        !json_is_array(layers) || json_object_get(manifest, "manifests"))
        return invalid(err, "its manifest is no image's");
    read.items = calloc(SIGNATURES_MAX, sizeof(*read.items));
    if (!read.items)
        return no_memory(err);
    json_array_foreach (layers, i, layer) {
        const char *type = json_text(layer, "mediaType");
        const char *signature = json_text(json_object_get(layer, "annotations"), SIMPLE_ANNOTATION);
        bool is_one = format == SIGNATURE_SIMPLE
                          ? is_text(layer, "mediaType", SIMPLE_MEDIA) && signature
                          : signature_is_bundle_type(type);

        if (is_one && !add_blob(&read, layer, format == SIGNATURE_SIMPLE ? signature : NULL, err))
            return false;
    }
    *blobs = read;
    read = (struct signature_blobs){0};
    return true;
}

/* ---- bundles ---- */

void signature_release(struct signature *signature)
{
    free(signature->payload);
    free(signature->der);
    *signature = (struct signature){0};
}

bool signature_parse_bundle(const char *text, size_t len, struct signature *signature,
                            struct err *err)
{
    autojson *bundle = json_parse(text, len, "a bundle", ERR_IMAGE_SIGNATURE, err);
    const json_t *envelope = json_object_get(bundle, "dsseEnvelope");
    const json_t *signatures = json_object_get(envelope, "signatures");
    const char *payload = json_text(envelope, "payload");
    const char *der = json_text(json_array_get(signatures, 0), "sig");
    autosignature read = {.format = SIGNATURE_BUNDLE};

    if (!bundle)
        return false;
    if (!signature_is_bundle_type(json_text(bundle, "mediaType")))
        return invalid(err, "its bundle is of an unknown type");
    if (!json_is_object(envelope) || json_object_get(bundle, "messageSignature"))
        return invalid(err, "its bundle holds no DSSE envelope, or something else as well");
    if (!is_text(envelope, "payloadType", PAYLOAD_TYPE) || !payload || !der ||
        json_array_size(signatures) != 1)
        return invalid(err, "its envelope is not one statement with one signature");
    read.payload = base64_decode(payload, &read.payload_len);
    read.der = base64_decode(der, &read.der_len);
    if (!read.payload || !read.der)
        return invalid(err, "its envelope is not in base64");
    *signature = read;
    read = (struct signature){0};
    return true;
}

/* ---- what is signed ---- */

/* What DSSE signs: the type and the payload, each with its length in front. */
static bool envelope_bytes(const struct signature *signature, struct buf *bytes)
{
    return buf_printf(bytes, "DSSEv1 %zu %s %zu ", strlen(PAYLOAD_TYPE), PAYLOAD_TYPE,
                      signature->payload_len) &&
           buf_append(bytes, signature->payload, signature->payload_len);
}

static bool is_signed_by(const struct signature *signature, const struct public_key *key)
{
    autobuf bytes = BUF_INIT(SIGNATURE_PAYLOAD_MAX + 128);

    if (signature->der_len > DER_MAX)
        return false;
    if (signature->format == SIGNATURE_SIMPLE)
        return public_key_verifies(key, signature->payload, signature->payload_len, signature->der,
                                   signature->der_len);
    return envelope_bytes(signature, &bytes) &&
           public_key_verifies(key, bytes.data, bytes.len, signature->der, signature->der_len);
}

static const char *check_simple(const json_t *payload, const char *digest,
                                const struct signature_demand *demand, char **docker_reference)
{
    const json_t *critical = json_object_get(payload, "critical");
    const char *name = json_text(json_object_get(critical, "identity"), "docker-reference");

    if (!is_text(critical, "type", SIMPLE_TYPE))
        return "is not one of an image";
    if (!is_text(json_object_get(critical, "image"), "docker-manifest-digest", digest))
        return "is for another image";
    if (!signature_names(demand, name))
        return "is for an image of another name";
    *docker_reference = name ? strdup(name) : NULL;
    return !name || *docker_reference ? NULL : "does not fit into memory";
}

/* A key may also sign what it knows of an image: a list of its parts, say, is no approval. */
static const char *check_statement(const json_t *statement, const char *digest,
                                   const struct signature_demand *demand)
{
    const json_t *subjects = json_object_get(statement, "subject"), *subject;
    size_t i;

    if (!is_one_of(json_text(statement, "_type"), statement_types, ARRAY_SIZE(statement_types)) ||
        !is_text(statement, "predicateType", PREDICATE_SIGN))
        return "is an attestation, and not one of an image";
    if (demand->identity != IDENTITY_ANY)
        return "names no image, as is asked for";
    if (json_array_size(subjects) > SUBJECTS_MAX)
        return "is for too many images";
    json_array_foreach (subjects, i, subject) {
        if (is_text(json_object_get(subject, "digest"), "sha256", digest_hex(digest)))
            return NULL;
    }
    return "is for another image";
}

const char *signature_check(const struct signature *signature, const struct public_key *key,
                            const char *digest, const struct signature_demand *demand,
                            char **docker_reference)
{
    autojson *payload = NULL;
    struct err ignored;

    *docker_reference = NULL;
    /* Nothing in it is read before it is known to be the key's. */
    if (!is_signed_by(signature, key))
        return "is by another key";
    payload = json_parse(signature->payload, signature->payload_len, "a payload",
                         ERR_IMAGE_SIGNATURE, &ignored);
    if (!payload)
        return "is not one of an image";
    return signature->format == SIGNATURE_SIMPLE
               ? check_simple(payload, digest, demand, docker_reference)
               : check_statement(payload, digest, demand);
}
