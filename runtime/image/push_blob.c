/* One blob on its way into a registry: HEAD, a mount or an upload session, PATCH, PUT. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "runtime/image/push.h"
#include "runtime/image/push_answers.h"

#define PROGRESS_MIN UINT64_C(65536) /* bytes of a try that make it a good one */
#define OCTETS       "application/octet-stream"

struct upload {
    struct push *push;
    const struct descriptor *blob;
    const struct push_blob_source *source;
    struct registry_tries tries;
    int fd;         /* of the bytes, or -1 until they are needed */
    char *session;  /* its URL, or NULL */
    bool asked;     /* it has been asked how far it got, or has just begun */
    bool unmounted; /* the registry does not mount it */
    uint64_t have;  /* bytes that the session has */
    uint64_t best;  /* that any session had */
    uint64_t place; /* of the next byte to read */
};

static void upload_release(struct upload *upload)
{
    close_fd(upload->fd);
    free(upload->session);
}

static enum registry_outcome failed(struct err *err)
{
    err_errno(err, ERR_ENGINE_FAILED, "cannot push");
    return REGISTRY_FAILED;
}

static enum registry_outcome try_request(struct upload *upload, struct http_request *request,
                                         struct http_response *response, struct err *err)
{
    struct registry_client *client = &upload->push->client;
    enum registry_outcome outcome;

    request->body_max = PUSH_ANSWER_MAX;
    outcome =
        registry_try(client, registry_primary(client), request, response, &upload->tries, err);
    if (outcome == REGISTRY_FAILED)
        push_refused(upload->push, response, err);
    return outcome;
}

/* ---- sessions ---- */

/* Where the next request of the session goes; it may stay where it is. */
static enum registry_outcome take_location(struct upload *upload,
                                           const struct http_response *response, struct err *err)
{
    struct push *push = upload->push;
    size_t from = 0;
    const char *location = http_header(response, "Location", &from);

    if (!location && upload->session)
        return REGISTRY_DONE;
    free(upload->session);
    upload->session =
        push_location(registry_primary(&push->client)->base, location ? location : "");
    if (upload->session)
        return REGISTRY_DONE;
    err_set(err, ERR_REGISTRY_UNREACHABLE,
            "the registry '%s' names no place of its own for an upload: '%.200s'",
            push->target->host, location ? location : "");
    err_hint(err, "look at the external URL in the registry's configuration, and at its proxy");
    return REGISTRY_FAILED;
}

static void drop_session(struct upload *upload)
{
    free(TAKE_PTR(upload->session));
    upload->have = 0;
}

/* Whether it is there already: the answer of a PUT may have been lost. */
static enum registry_outcome look(struct upload *upload, bool *present, struct err *err)
{
    autofree char *url = text_printf("%s/blobs/%s", registry_primary(&upload->push->client)->base,
                                     upload->blob->digest);
    struct http_request request = {.url = url, .method = "HEAD"};
    autoresponse response = {0};
    enum registry_outcome outcome;

    if (!url)
        return failed(err);
    outcome = try_request(upload, &request, &response, err);
    *present = outcome == REGISTRY_DONE;
    return outcome == REGISTRY_FAILED && err->code == ERR_IMAGE_NOT_FOUND ? REGISTRY_DONE : outcome;
}

/* Begins a session, unless the registry has the blob in the other repository. */
static enum registry_outcome begin(struct upload *upload, bool *mounted, struct err *err)
{
    const char *base = registry_primary(&upload->push->client)->base;
    const char *mount = upload->unmounted ? NULL : upload->source->mount;
    autofree char *from = url_escape(mount ? mount : "");
    autofree char *url = mount && from ? text_printf("%s/blobs/uploads/?mount=%s&from=%s", base,
                                                     upload->blob->digest, from)
                                       : text_printf("%s/blobs/uploads/", base);
    struct http_request request = {
        .url = url, .method = "POST", .content = "", .content_type = OCTETS};
    autoresponse response = {0};
    enum registry_outcome outcome;
    bool later;

    if (!url || !from)
        return failed(err);
    outcome = try_request(upload, &request, &response, err);
    later = outcome == REGISTRY_AGAIN && (!response.status || response.status == 429);
    if (mount && outcome != REGISTRY_DONE && !later) {
        /* It would only save the sending: who may push here need not be let in there by the same
         * name, and a registry may fail at it. */
        upload->unmounted = true;
        return begin(upload, mounted, err);
    }
    *mounted = outcome == REGISTRY_DONE && mount && response.status == 201;
    if (outcome != REGISTRY_DONE || *mounted)
        return outcome;
    upload->have = 0;
    upload->asked = true;
    return take_location(upload, &response, err);
}

/* How far a session got that broke; one that cannot say it is given up. */
static enum registry_outcome ask(struct upload *upload, struct err *err)
{
    struct http_request request = {.url = upload->session, .method = "GET"};
    autoresponse response = {0};
    enum registry_outcome outcome = try_request(upload, &request, &response, err);
    size_t from = 0;
    const char *range;

    if (outcome == REGISTRY_AGAIN)
        return outcome;
    range = outcome == REGISTRY_DONE ? http_header(&response, "Range", &from) : NULL;
    if (!range || !push_range(range, upload->blob->size, &upload->have)) {
        drop_session(upload);
        return REGISTRY_DONE;
    }
    if (upload->have >= upload->best + PROGRESS_MIN) {
        upload->best = upload->have;
        upload->tries.used = 0;
    }
    upload->asked = true;
    return take_location(upload, &response, err);
}

/* ---- bytes ---- */

static void rewind_upload(void *data)
{
    struct upload *upload = data;

    upload->place = upload->have;
}

static bool read_upload(void *data, void *bytes, size_t size, size_t *len, struct err *err)
{
    struct upload *upload = data;
    uint64_t left = upload->blob->size - upload->place;
    ssize_t n;

    do
        n = pread(upload->fd, bytes, left < size ? (size_t)left : size, (off_t)upload->place);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", upload->blob->digest);
    if (n == 0 && left)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has not %" PRIu64 " bytes",
                       upload->blob->digest, upload->blob->size);
    upload->place += (uint64_t)n;
    *len = (size_t)n;
    return true;
}

/* A session of which the registry knows nothing any more, or something else, is begun anew. */
static enum registry_outcome forget_session(struct upload *upload, long status,
                                            enum registry_outcome outcome)
{
    if (status != 404 && status != 416)
        return outcome;
    drop_session(upload);
    return REGISTRY_AGAIN;
}

static enum registry_outcome send_bytes(struct upload *upload, struct err *err)
{
    autofree char *range =
        text_printf("Content-Range: %" PRIu64 "-%" PRIu64, upload->have, upload->blob->size - 1);
    const char *const headers[] = {range, NULL};
    struct http_request request = {
        .url = upload->session,
        .method = "PATCH",
        .content_type = OCTETS,
        .upload = read_upload,
        .upload_size = upload->blob->size - upload->have,
        .rewind = rewind_upload,
        .data = upload,
        /* Where everything is sent at once there is no part, and some registries know none. */
        .headers = upload->have ? headers : NULL,
    };
    autoresponse response = {0};
    enum registry_outcome outcome;

    if (!range)
        return failed(err);
    outcome = try_request(upload, &request, &response, err);
    if (outcome != REGISTRY_DONE)
        return forget_session(upload, response.status, outcome);
    upload->have = upload->blob->size;
    return take_location(upload, &response, err);
}

static enum registry_outcome finish(struct upload *upload, struct err *err)
{
    autofree char *url =
        text_printf("%s%cdigest=%s", upload->session, strchr(upload->session, '?') ? '&' : '?',
                    upload->blob->digest);
    struct http_request request = {
        .url = url, .method = "PUT", .content = "", .content_type = OCTETS};
    autoresponse response = {0};
    enum registry_outcome outcome;

    if (!url)
        return failed(err);
    outcome = try_request(upload, &request, &response, err);
    if (response.status == 400) {
        err_set(err, ERR_IMAGE_CORRUPT, "the registry '%s' finds that '%s' is something else",
                upload->push->target->host, upload->blob->digest);
        err_hint(err, "run 'stepcell image verify', or look for what changes bytes on the way");
    }
    return forget_session(upload, response.status, outcome);
}

/* ---- all of it ---- */

/* One try; *how is the count that the blob belongs to when it is done. */
static enum registry_outcome try_upload(struct upload *upload, size_t **how, struct err *err)
{
    struct push *push = upload->push;
    enum registry_outcome outcome = REGISTRY_DONE;
    bool there = false, mounted = false;

    *how = &push->sent;
    if (upload->session && !upload->asked)
        outcome = ask(upload, err);
    if (outcome == REGISTRY_DONE && !upload->session) {
        *how = &push->present;
        outcome = look(upload, &there, err);
        if (outcome != REGISTRY_DONE || there)
            return outcome;
        *how = &push->mounted;
        outcome = begin(upload, &mounted, err);
        if (outcome != REGISTRY_DONE || mounted)
            return outcome;
        *how = &push->sent;
    }
    if (outcome != REGISTRY_DONE)
        return outcome;
    upload->asked = false;
    if (upload->fd < 0)
        upload->fd = upload->source->open(upload->source->data, upload->blob, err);
    if (upload->fd < 0)
        return REGISTRY_FAILED;
    if (upload->have < upload->blob->size)
        outcome = send_bytes(upload, err);
    return outcome == REGISTRY_DONE ? finish(upload, err) : outcome;
}

bool push_blob(struct push *push, const struct descriptor *blob,
               const struct push_blob_source *source, struct err *err)
{
    CLEANUP(upload_release)
    struct upload upload = {.push = push, .blob = blob, .source = source, .fd = -1};
    size_t *how;

    for (;;) {
        switch (try_upload(&upload, &how, err)) {
        case REGISTRY_DONE:
            ++*how;
            push->bytes += how == &push->sent ? blob->size : 0;
            return true;
        case REGISTRY_FAILED:
            return false;
        case REGISTRY_AGAIN:
            break;
        }
        if (!registry_wait(&push->client, &upload.tries, registry_primary(&push->client), err))
            return false;
    }
}
