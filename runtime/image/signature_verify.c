#include "runtime/image/signature_verify.h"

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/file.h"
#include "runtime/image/referrers.h"
#include "runtime/image/signature_formats.h"
#include "runtime/image/source.h"
#include "runtime/image/store_write.h"

/* What is known while signatures are looked for. */
struct search {
    const struct signature_request *request;
    json_t *found;                   /* those that meet a demand */
    bool met[SIGNATURE_DEMANDS_MAX]; /* of each demand */
    size_t seen;                     /* signatures */
    const char *why;                 /* the last of them does not count */
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot verify signatures");
}

static bool is_done(const struct search *search)
{
    for (size_t i = 0; i < search->request->demand_count; i++) {
        if (!search->met[i])
            return false;
    }
    return true;
}

/* ---- one signature ---- */

static json_t *signature_json(const struct signature *signature, const char *digest,
                              const char *key, const char *docker_reference)
{
    autofree char *payload = base64_encode(signature->payload, signature->payload_len);
    autofree char *der = base64_encode(signature->der, signature->der_len);

    if (!payload || !der)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s}", "digest", digest, "key", key, "format",
                     signature_format_text(signature->format), "docker_reference", docker_reference,
                     "payload", payload, "signature", der);
}

/* Whether it meets the demand, by one of its keys. */
static bool try_demand(struct search *search, const struct signature *signature, const char *digest,
                       const struct signature_demand *demand, bool *met, struct err *err)
{
    for (size_t i = 0; i < demand->key_count && !*met; i++) {
        const struct signature_key *own = &demand->keys[i];
        autopublickey *key = public_key_parse(own->pem, strlen(own->pem), own->file, err);
        autofree char *name = NULL;
        const char *why;

        if (!key)
            return false;
        why = signature_check(signature, key, digest, demand, &name);
        if (why) {
            search->why = why;
            continue;
        }
        if (json_array_append_new(search->found, signature_json(signature, digest, own->id, name)) <
            0)
            return no_memory(err);
        *met = true;
    }
    return true;
}

static bool try_signature(struct search *search, const struct signature *signature,
                          const char *digest, struct err *err)
{
    search->seen++;
    for (size_t i = 0; i < search->request->demand_count; i++) {
        if (!search->met[i] && !try_demand(search, signature, digest, search->request->demands[i],
                                           &search->met[i], err))
            return false;
    }
    return true;
}

/* ---- at the registry ---- */

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    return buf_append(data, bytes, len) || no_memory(err);
}

/* A small blob, with the digest that it has to have. */
static bool read_blob(struct source *source, const struct descriptor *blob, struct buf *text,
                      struct err *err)
{
    const struct source_sink sink = {.write = take_bytes, .data = text};
    char found[DIGEST_TEXT_MAX];

    text->max = SIGNATURE_PAYLOAD_MAX;
    if (!source->ops->blob(source, blob, &sink, err))
        return false;
    digest_of(text->data ? text->data : "", text->len, found);
    return strcmp(found, blob->digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "a signature is not what it should be: '%s' for '%s'",
                   found, blob->digest);
}

/* A blob that is damaged is no signature; another may do. */
static bool is_fatal(const struct err *err)
{
    return err->code != ERR_IMAGE_CORRUPT && err->code != ERR_IMAGE_SIGNATURE &&
           err->code != ERR_IMAGE_NOT_FOUND;
}

static bool read_simple(struct source *source, const struct signature_blob *blob,
                        struct signature *signature, struct err *err)
{
    autobuf text = BUF_INIT(0);

    *signature = (struct signature){.format = SIGNATURE_SIMPLE};
    if (!read_blob(source, &blob->blob, &text, err))
        return false;
    signature->der = base64_decode(blob->signature, &signature->der_len);
    if (!signature->der)
        return err_set(err, ERR_IMAGE_SIGNATURE, "a signature is not in base64");
    signature->payload_len = text.len;
    signature->payload = buf_take(&text);
    return signature->payload || no_memory(err);
}

static bool read_bundle(struct source *source, const struct signature_blob *blob,
                        struct signature *signature, struct err *err)
{
    autobuf text = BUF_INIT(0);

    return read_blob(source, &blob->blob, &text, err) &&
           signature_parse_bundle(text.data ? text.data : "", text.len, signature, err);
}

/* Tries what a manifest names. */
static bool try_manifest(struct search *search, struct source *source, const struct buf *text,
                         enum signature_format format, const char *digest, struct err *err)
{
    autoblobs blobs = {0};

    if (!signature_parse_manifest(text->data, text->len, format, &blobs, err))
        return false;
    for (size_t i = 0; i < blobs.count && !is_done(search); i++) {
        autosignature signature = {0};
        bool ok = format == SIGNATURE_SIMPLE
                      ? read_simple(source, &blobs.items[i], &signature, err)
                      : read_bundle(source, &blobs.items[i], &signature, err);

        if (!ok && is_fatal(err))
            return false;
        if (ok && !try_signature(search, &signature, digest, err))
            return false;
    }
    return true;
}

/* The tag "sha256-HEX.sig". */
static bool search_tag(struct search *search, const char *digest, struct err *err)
{
    const struct reference *of = search->request->reference;
    autofree char *name =
        text_printf("%s/%s:sha256-%s.sig", of->host, of->path, digest_hex(digest));
    autoreference reference = {0};
    autotop top = SOURCE_TOP_INIT;
    autosource *source = NULL;

    if (!name)
        return no_memory(err);
    if (!reference_parse(name, "/", &reference, err))
        return false;
    source = registry_open(&reference, err);
    if (!source)
        return false;
    if (!source->ops->top(source, &top, err))
        return err->code == ERR_IMAGE_NOT_FOUND;
    return try_manifest(search, source, &top.text, SIGNATURE_SIMPLE, digest, err);
}

static bool try_referrer(struct search *search, struct source *source,
                         const struct referrer *referrer, const char *digest, struct err *err)
{
    const struct descriptor manifest = {.digest = referrer->digest, .size = referrer->size};
    autobuf text = BUF_INIT(MANIFEST_MAX);

    return source->ops->manifest(source, &manifest, &text, err) &&
           try_manifest(search, source, &text, SIGNATURE_BUNDLE, digest, err);
}

static bool search_referrers(struct search *search, const char *digest, struct err *err)
{
    autoreferrers referrers = {0};
    autosource *source = NULL;
    size_t tried = 0;

    if (!referrers_list(search->request->reference, digest, NULL, &referrers, err))
        return false;
    for (size_t i = 0; i < referrers.count && !is_done(search); i++) {
        if (!signature_is_bundle_type(referrers.items[i].artifact_type))
            continue;
        if (tried++ == SIGNATURES_MAX)
            break;
        if (!source)
            source = registry_open(search->request->reference, err);
        if (!source)
            return false;
        if (!try_referrer(search, source, &referrers.items[i], digest, err) && is_fatal(err))
            return false;
    }
    return true;
}

static bool search_digest(struct search *search, const char *digest, struct err *err)
{
    return search_tag(search, digest, err) &&
           (is_done(search) || search_referrers(search, digest, err));
}

/* ---- the verdict ---- */

static bool not_signed(const struct search *search, struct err *err)
{
    const struct signature_demand *demand = NULL;
    autobuf keys = BUF_INIT(512);

    for (size_t i = 0; i < search->request->demand_count && !demand; i++) {
        if (!search->met[i])
            demand = search->request->demands[i];
    }
    for (size_t i = 0; demand && i < demand->key_count; i++)
        buf_printf(&keys, "%s'%s'", i ? ", " : "", demand->keys[i].file);
    if (search->seen == 0)
        err_set(err, ERR_IMAGE_SIGNATURE, "image '%s' is not signed: its registry has no signature",
                search->request->reference->name);
    else
        err_set(err, ERR_IMAGE_SIGNATURE,
                "image '%s' is not signed as it has to be: of %zu signatures none counts; the last "
                "%s",
                search->request->reference->name, search->seen, search->why);
    return err_hint(err, "sign '%s' with the key of %s, by 'cosign sign --key'",
                    search->request->digest, keys.data ? keys.data : "the policy");
}

bool signatures_verify(const struct signature_request *request, json_t **signatures,
                       struct err *err)
{
    struct search search = {.request = request, .why = ""};
    autojson *found = json_array();
    const char *other = request->manifest_digest;

    search.found = found;
    if (!found)
        return no_memory(err);
    if (request->reference->transport != TRANSPORT_REGISTRY) {
        err_set(err, ERR_IMAGE_SIGNATURE, "image '%s' cannot be known to be signed",
                request->reference->name);
        return err_hint(err, "signatures are looked for in registries; use the image of one");
    }
    if (!search_digest(&search, request->digest, err))
        return false;
    if (!is_done(&search) && other && strcmp(other, request->digest) != 0 &&
        !search_digest(&search, other, err))
        return false;
    if (!is_done(&search))
        return not_signed(&search, err);
    *signatures = TAKE_PTR(found);
    return true;
}

/* ---- the record ---- */

/* Whether each text is an index that names the next one, and the last one the manifest. */
static bool leads_to(const json_t *indexes, const char *digest, const char *manifest_digest)
{
    char due[DIGEST_TEXT_MAX];
    size_t i;
    json_t *text;

    snprintf(due, sizeof(due), "%s", digest);
    json_array_foreach (indexes, i, text) {
        const char *string = json_string_value(text);
        const json_t *next = json_array_get(indexes, i + 1);
        automanifest manifest = {0};
        char found[DIGEST_TEXT_MAX];
        struct err ignored;
        bool named = false;

        if (!string || i == INDEX_DEPTH_MAX)
            return false;
        digest_of(string, strlen(string), found);
        if (strcmp(found, due) != 0 ||
            !manifest_parse(string, strlen(string), NULL, "an index", &manifest, &ignored) ||
            !manifest.is_index)
            return false;
        if (next)
            digest_of(json_string_value(next) ? json_string_value(next) : "",
                      json_string_length(next), due);
        else
            snprintf(due, sizeof(due), "%s", manifest_digest);
        for (size_t k = 0; k < manifest.entry_count; k++)
            named = named || (!manifest.entries[k].fault &&
                              strcmp(manifest.entries[k].manifest.digest, due) == 0);
        if (!named)
            return false;
    }
    return strcmp(due, manifest_digest) == 0;
}

static bool take_signature(const json_t *kept, struct signature *signature)
{
    const char *payload = json_text(kept, "payload"), *der = json_text(kept, "signature");

    if (!payload || !der || !signature_format_parse(json_text(kept, "format"), &signature->format))
        return false;
    signature->payload = base64_decode(payload, &signature->payload_len);
    signature->der = base64_decode(der, &signature->der_len);
    return signature->payload && signature->der && signature->payload_len <= SIGNATURE_PAYLOAD_MAX;
}

json_t *signatures_reverify(const struct signature_request *request, json_t *record)
{
    const json_t *kept = json_object_get(record, "signatures"), *item;
    const char *digest = json_text(record, "digest");
    bool same = digest && strcmp(digest, request->digest) == 0 &&
                leads_to(json_object_get(record, "indexes"), digest, request->manifest_digest);
    struct search search = {.request = request, .why = ""};
    autojson *found = json_array();
    struct err ignored;
    size_t i;

    search.found = found;
    json_array_foreach (kept, i, item) {
        const char *of = json_text(item, "digest");
        autosignature signature = {0};

        if (!found || !of || i == SIGNATURES_MAX || !take_signature(item, &signature))
            return NULL;
        if (!(same && strcmp(of, request->digest) == 0) &&
            strcmp(of, request->manifest_digest) != 0)
            continue;
        if (!try_signature(&search, &signature, of, &ignored))
            return NULL;
    }
    return is_done(&search) ? TAKE_PTR(found) : NULL;
}

bool signature_record_write(const struct store *store, const char *digest,
                            const char *manifest_digest, const struct strv *indexes,
                            json_t *signatures, struct err *err)
{
    autofree char *path = text_printf("images/%s/" SIGNATURE_RECORD, digest_hex(manifest_digest));
    autofd lock = store_lock(store, "images", LOCK_EX, err);
    json_t *texts = json_array();
    autojson *record = NULL;
    autofree char *page = NULL;

    if (lock < 0) {
        json_decref(texts);
        return false;
    }
    for (size_t i = 0; i < indexes->count; i++)
        json_array_append_new(texts, json_string(indexes->items[i]));
    record =
        json_pack("{s:s, s:s, s:s, s:o, s:O}", "schema", SIGNATURE_RECORD_SCHEMA, "digest", digest,
                  "manifest_digest", manifest_digest, "indexes", texts, "signatures", signatures);
    page = record ? json_dump_page(record) : NULL;
    if (!path || !page)
        return no_memory(err);
    /* Longer than what is read again: verified it is all the same. */
    if (strlen(page) > RECORD_MAX)
        return true;
    return file_replace(store->fd, path, page, strlen(page), 0600, ERR_CONFIG_INVALID, err);
}
