/*
 * The source of registry references: manifests and blobs, from mirrors and from the registry
 * itself. A blob comes in one piece to its sink, however many connections that takes
 * (docs/design/registry.md).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "runtime/image/push_answers.h"
#include "runtime/image/registry_client.h"
#include "runtime/image/source.h"
#include "runtime/net/fields.h"

#define PROGRESS_MIN UINT64_C(65536) /* bytes of a try that make it a good one */
#define ACCEPT_TYPES                                                                               \
    MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

struct registry {
    struct source source;
    struct registry_client client;
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a registry");
}

/* Whether an endpoint is to be asked; by tag only those that may say what a tag is. */
static bool is_asked(const struct source *source, const struct endpoint *endpoint, bool by_digest)
{
    return (by_digest || (endpoint->resolve && !(source->strict && endpoint->mirror))) &&
           !__atomic_load_n(&endpoint->broken, __ATOMIC_RELAXED);
}

/* A mirror that is not there is not asked for the next blob again. */
static void mark_broken(struct endpoint *endpoint, const struct err *err)
{
    if (endpoint->mirror && err->code == ERR_REGISTRY_UNREACHABLE)
        __atomic_store_n(&endpoint->broken, true, __ATOMIC_RELAXED);
}

/* ---- manifests ---- */

static bool take_manifest(const struct registry_client *client, const struct endpoint *endpoint,
                          const struct http_response *response, const char *digest,
                          struct buf *text, char **media_type, struct err *err)
{
    const char *data = response->body.data ? response->body.data : "", *type;
    char found[DIGEST_TEXT_MAX];
    size_t from = 0;

    if (digest) {
        digest_of(data, response->body.len, found);
        if (strcmp(found, digest) != 0)
            return err_set(err, ERR_IMAGE_CORRUPT,
                           "'%s' is not what it should be: the registry '%s' answers '%s' for '%s'",
                           client->reference->given, endpoint->host, found, digest);
    }
    type = http_header(response, "Content-Type", &from);
    if (type && media_type) {
        /* "TYPE; charset=utf-8" */
        *media_type = strndup(type, strcspn(type, "; \t"));
        if (!*media_type)
            return no_memory(err);
    }
    return buf_append(text, data, response->body.len) || no_memory(err);
}

static void hand_on_warnings(const struct source *source, const struct endpoint *endpoint,
                             const struct http_response *response)
{
    size_t from = 0;
    const char *value;

    while (source->warn && (value = http_header(response, "Warning", &from))) {
        autofree char *text = warning_text(value);

        if (text)
            source->warn(source->warn_data, endpoint->host, text);
    }
}

/* Any web server answers 404. */
static void doubt_missing(const struct source *source, const struct endpoint *endpoint,
                          const struct http_response *response, struct err *err)
{
    static const char *const codes[] = {"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"};
    char code[PUSH_CODE_MAX];

    if (!source->strict || err->code != ERR_IMAGE_NOT_FOUND)
        return;
    push_error_code(response->body.data ? response->body.data : "", response->body.len, code);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (strcmp(code, codes[i]) == 0)
            return;
    }
    err_set(err, ERR_REGISTRY_UNREACHABLE, "'%s' answers 404 for '%s', and not as a registry does",
            endpoint->host, source->reference->name);
    err_hint(err, "check that it is a registry, and what stands between");
}

/* Docker-Content-Digest is not looked at: what counts is the digest of the bytes. */
static bool get_manifest(struct source *source, const char *tag, const char *digest,
                         struct buf *text, char **media_type, struct err *err)
{
    struct registry_client *client = &((struct registry *)source)->client;

    for (size_t i = 0; i < client->endpoint_count; i++) {
        struct endpoint *endpoint = &client->endpoints[i];
        autofree char *url = text_printf("%s/manifests/%s", endpoint->base, digest ? digest : tag);
        struct http_request request = {
            .url = url, .accept = ACCEPT_TYPES, .body_max = MANIFEST_MAX};
        autoresponse response = {0};

        if (!is_asked(source, endpoint, digest))
            continue;
        if (!url)
            return no_memory(err);
        if (registry_get(client, endpoint, &request, &response, err) &&
            take_manifest(client, endpoint, &response, digest, text, media_type, err)) {
            hand_on_warnings(source, endpoint, &response);
            return true;
        }
        doubt_missing(source, endpoint, &response, err);
        mark_broken(endpoint, err);
    }
    return false; /* the registry itself is always asked, and its error stands */
}

static bool registry_top(struct source *source, struct source_top *top, struct err *err)
{
    const struct reference *reference = source->reference;

    if (!get_manifest(source, reference->tag, reference->digest, &top->text, &top->media_type, err))
        return false;
    top->digest = reference->digest ? strdup(reference->digest) : NULL;
    return !reference->digest || top->digest || no_memory(err);
}

static bool registry_manifest(struct source *source, const struct descriptor *manifest,
                              struct buf *text, struct err *err)
{
    return get_manifest(source, NULL, manifest->digest, text, NULL, err);
}

/* ---- blobs ---- */

/* A blob on its way. */
struct transfer {
    const struct descriptor *blob;
    const struct source_sink *sink;
    uint64_t delivered; /* bytes that the sink has */
    uint64_t skip;      /* bytes of this answer that the sink has already */
};

static bool wrong_size(const struct transfer *transfer, const char *why, struct err *err)
{
    err_set(err, ERR_IMAGE_CORRUPT, "'%s' has not %" PRIu64 " bytes: %s", transfer->blob->digest,
            transfer->blob->size, why);
    return err_hint(err, "push the image again, or look for what changes answers on the way");
}

/* The manifest is there, so it is not the image that is unknown. */
static bool missing(const struct registry_client *client, const struct endpoint *endpoint,
                    const struct transfer *transfer, struct err *err)
{
    err_set(err, ERR_IMAGE_CORRUPT, "the registry '%s' lacks '%s', which is a part of '%s'",
            endpoint->host, transfer->blob->digest, client->reference->name);
    return err_hint(err, "push the image again");
}

/* A part begins at the byte that is due, and ends where the blob ends. */
static bool check_part(const struct transfer *transfer, const struct http_response *response,
                       struct err *err)
{
    size_t from = 0;
    const char *value = http_header(response, "Content-Range", &from);
    struct content_range range;

    if (!value || !content_range_parse(value, &range))
        return wrong_size(transfer, "a part of it comes without a range", err);
    if (range.first != transfer->delivered || range.last != transfer->blob->size - 1 ||
        (range.has_size && range.size != transfer->blob->size))
        return wrong_size(transfer, "the registry sends another part than it was asked for", err);
    return true;
}

static bool transfer_begin(void *data, const struct http_response *response, struct err *err)
{
    struct transfer *transfer = data;

    transfer->skip = 0;
    if (response->status == 206 && transfer->delivered == 0)
        return wrong_size(transfer, "the registry sends a part where the whole was asked for", err);
    if (response->status == 206)
        return check_part(transfer, response, err);
    transfer->skip = transfer->delivered; /* the whole once more */
    return true;
}

static bool transfer_body(void *data, const void *bytes, size_t len, struct err *err)
{
    struct transfer *transfer = data;
    size_t known = transfer->skip < len ? (size_t)transfer->skip : len;

    transfer->skip -= known;
    len -= known;
    if (len == 0)
        return true;
    if (len > transfer->blob->size - transfer->delivered)
        return wrong_size(transfer, "the registry sends more", err);
    if (!transfer->sink->write(transfer->sink->data, (const char *)bytes + known, len, err))
        return false;
    transfer->delivered += len;
    return true;
}

/* One try; an answer that ends too early without a broken connection is one that was cut. */
static enum registry_outcome transfer_try(struct registry_client *client, struct endpoint *endpoint,
                                          struct transfer *transfer, struct registry_tries *tries,
                                          struct err *err)
{
    autofree char *url = text_printf("%s/blobs/%s", endpoint->base, transfer->blob->digest);
    struct http_request request = {
        .url = url,
        .offset = transfer->delivered,
        .body_max = transfer->blob->size,
        .begin = transfer_begin,
        .body = transfer_body,
        .data = transfer,
    };
    autoresponse response = {0};
    uint64_t before = transfer->delivered;
    enum registry_outcome outcome;

    if (!url) {
        no_memory(err);
        return REGISTRY_FAILED;
    }
    outcome = registry_try(client, endpoint, &request, &response, tries, err);
    if (transfer->delivered - before >= PROGRESS_MIN)
        tries->used = 0;
    if (response.status == 404)
        missing(client, endpoint, transfer, err);
    if (response.status == 416)
        wrong_size(transfer, "the registry has less of it", err);
    if (outcome != REGISTRY_DONE || transfer->delivered == transfer->blob->size)
        return outcome;
    wrong_size(transfer, "the registry sends less", err);
    return REGISTRY_AGAIN;
}

static bool transfer_from(struct registry_client *client, struct endpoint *endpoint,
                          struct transfer *transfer, struct err *err)
{
    struct registry_tries tries = {0};

    for (;;) {
        switch (transfer_try(client, endpoint, transfer, &tries, err)) {
        case REGISTRY_DONE:
            return true;
        case REGISTRY_FAILED:
            return false;
        case REGISTRY_AGAIN:
            break;
        }
        if (!registry_wait(client, &tries, endpoint, err))
            return false;
    }
}

/* The sink's own failure, a full disk say, is no reason to ask the next endpoint. */
struct guard {
    const struct source_sink *sink;
    bool failed;
};

static bool guard_write(void *data, const void *bytes, size_t len, struct err *err)
{
    struct guard *guard = data;

    guard->failed = !guard->sink->write(guard->sink->data, bytes, len, err);
    return !guard->failed;
}

static bool registry_blob(struct source *source, const struct descriptor *blob,
                          const struct source_sink *sink, struct err *err)
{
    struct registry_client *client = &((struct registry *)source)->client;
    struct guard guard = {.sink = sink};
    const struct source_sink guarded = {.write = guard_write, .data = &guard};
    struct transfer transfer = {.blob = blob, .sink = &guarded};

    for (size_t i = 0; i < client->endpoint_count; i++)
        __atomic_store_n(&client->endpoints[i].gave, false, __ATOMIC_RELAXED);
    for (size_t i = 0; i < client->endpoint_count; i++) {
        struct endpoint *endpoint = &client->endpoints[i];
        uint64_t before = transfer.delivered;
        bool complete;

        if (!is_asked(source, endpoint, true))
            continue;
        complete = transfer_from(client, endpoint, &transfer, err);
        if (guard.failed || transfer.delivered > before)
            __atomic_store_n(&endpoint->gave, true, __ATOMIC_RELAXED);
        if (complete)
            return true;
        if (guard.failed)
            return false;
        mark_broken(endpoint, err);
    }
    return false;
}

static bool registry_has(struct source *source, const struct descriptor *blob, bool *found,
                         struct err *err)
{
    struct registry_client *client = &((struct registry *)source)->client;
    struct endpoint *endpoint = registry_primary(client);
    autofree char *url = text_printf("%s/blobs/%s", endpoint->base, blob->digest);
    struct http_request request = {.url = url, .method = "HEAD", .body_max = MANIFEST_MAX};
    autoresponse response = {0};

    if (!url)
        return no_memory(err);
    *found = registry_get(client, endpoint, &request, &response, err);
    return *found || err->code == ERR_IMAGE_NOT_FOUND;
}

/* Of several mirrors that gave parts of a blob any may be the wrong one. */
static bool registry_elsewhere(struct source *source)
{
    struct registry_client *client = &((struct registry *)source)->client;
    bool found = false;

    for (size_t i = 0; i < client->endpoint_count; i++) {
        struct endpoint *endpoint = &client->endpoints[i];

        if (!endpoint->mirror || !__atomic_exchange_n(&endpoint->gave, false, __ATOMIC_RELAXED))
            continue;
        __atomic_store_n(&endpoint->broken, true, __ATOMIC_RELAXED);
        found = true;
    }
    return found;
}

/* ---- opening ---- */

static void registry_copied(struct source *source)
{
    registry_client_copied(&((struct registry *)source)->client);
}

static void registry_close(struct source *source)
{
    struct registry *registry = (struct registry *)source;

    registry_client_release(&registry->client);
    free(registry);
}

static void registry_heed(struct source *source, bool (*stopped)(void *data), void *data)
{
    struct registry_client *client = &((struct registry *)source)->client;

    client->stop = (struct http_stop){.stopped = stopped, .data = data};
}

static const struct source_ops registry_ops = {
    .top = registry_top,
    .manifest = registry_manifest,
    .blob = registry_blob,
    .has = registry_has,
    .elsewhere = registry_elsewhere,
    .copied = registry_copied,
    .heed = registry_heed,
    .close = registry_close,
};

struct source *registry_open(const struct reference *reference, struct err *err)
{
    struct registry *registry = calloc(1, sizeof(*registry));

    if (!registry) {
        no_memory(err);
        return NULL;
    }
    registry->source = (struct source){.ops = &registry_ops, .reference = reference};
    if (registry_client_init(&registry->client, reference, err))
        return &registry->source;
    free(registry);
    return NULL;
}
