#include "runtime/image/push.h"

#include <string.h>

#include "runtime/image/push_answers.h"

#define ACCEPT_TYPES                                                                               \
    MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot push");
}

bool push_open(struct push *push, const struct reference *target, struct err *err)
{
    *push = (struct push){.target = target};
    if (!registry_client_init(&push->client, target, err))
        return false;
    push->client.pushes = true;
    push->client.stall_ms = PUSH_STALL_MS;
    return true;
}

void push_close(struct push *push)
{
    if (push->target)
        registry_client_release(&push->client);
}

/* ---- refusals ---- */

static const struct {
    long status;
    enum err_code code;
    const char *message, *hint;
} refusals[] = {
    {400, ERR_IMAGE_DENIED, "does not take what is pushed to it",
     "look into its log: a rule of it, or a wrong manifest or blob"},
    {401, ERR_REGISTRY_AUTH, "does not let you push",
     "log in as somebody who may: docker login, or auth.json"},
    {403, ERR_REGISTRY_AUTH, "does not let you push",
     "log in as somebody who may: docker login, or auth.json; or ask for the right, or for room"},
    {404, ERR_IMAGE_NOT_FOUND, "has no such repository",
     "create the repository or its project there, or correct the name"},
    {405, ERR_IMAGE_DENIED, "takes no images",
     "it may be read-only, or a cache of another registry: push to that one"},
    {409, ERR_IMAGE_DENIED, "keeps the tag as it is",
     "push another tag, or let tags of this repository be changed"},
    {412, ERR_IMAGE_DENIED, "has a rule against it", "ask the registry's administrator"},
    {413, ERR_IMAGE_DENIED, "finds it too large",
     "raise the limit of bodies of the registry, or of the proxy in front of it"},
};

void push_refused(const struct push *push, const struct http_response *response, struct err *err)
{
    const char *host = push->target->host, *path = push->target->path;
    char code[PUSH_CODE_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        /* A redirect that leads nowhere says nothing of the repository. */
        if (refusals[i].status != response->status ||
            (response->status == 404 && err->code != ERR_IMAGE_NOT_FOUND))
            continue;
        push_error_code(response->body.data ? response->body.data : "", response->body.len, code);
        err_set(err, refusals[i].code, "the registry '%s' %s, for '%s'%s%s%s", host,
                refusals[i].message, path, *code ? " (" : "", code, *code ? ")" : "");
        err_hint(err, "%s", refusals[i].hint);
    }
}

bool push_send(struct push *push, struct http_request *request, struct http_response *response,
               struct err *err)
{
    struct registry_client *client = &push->client;

    request->body_max = request->body_max ? request->body_max : PUSH_ANSWER_MAX;
    if (registry_get(client, registry_primary(client), request, response, err))
        return true;
    push_refused(push, response, err);
    return false;
}

/* ---- manifests ---- */

static char *manifest_url(struct push *push, const char *reference)
{
    return text_printf("%s/manifests/%s", registry_primary(&push->client)->base, reference);
}

/* For registries that answer no HEAD, or not with a digest. */
static bool look_closer(struct push *push, const char *url, bool *found,
                        char digest[DIGEST_TEXT_MAX], struct err *err)
{
    struct http_request request = {.url = url, .accept = ACCEPT_TYPES, .body_max = MANIFEST_MAX};
    autoresponse response = {0};

    *found = push_send(push, &request, &response, err);
    if (*found)
        digest_of(response.body.data ? response.body.data : "", response.body.len, digest);
    return *found || err->code == ERR_IMAGE_NOT_FOUND;
}

bool push_look(struct push *push, const char *reference, bool *found, char digest[DIGEST_TEXT_MAX],
               struct err *err)
{
    autofree char *url = manifest_url(push, reference);
    struct http_request request = {.url = url, .accept = ACCEPT_TYPES, .method = "HEAD"};
    autoresponse response = {0};
    const char *value;
    size_t from = 0;

    if (!url)
        return no_memory(err);
    *found = push_send(push, &request, &response, err);
    if (!*found && response.status != 405)
        return err->code == ERR_IMAGE_NOT_FOUND;
    value = *found ? http_header(&response, "Docker-Content-Digest", &from) : NULL;
    if (!digest_is_valid(value))
        return look_closer(push, url, found, digest, err);
    memcpy(digest, value, DIGEST_TEXT_MAX);
    return true;
}

bool push_manifest(struct push *push, const char *reference, const struct buf *text,
                   const char *media_type, struct err *err)
{
    autofree char *url = manifest_url(push, reference);
    struct http_request request = {.url = url,
                                   .method = "PUT",
                                   .content = text->data,
                                   .content_len = text->len,
                                   .content_type = media_type};
    autoresponse response = {0};

    return url ? push_send(push, &request, &response, err) : no_memory(err);
}

bool push_delete(struct push *push, const char *digest, struct err *err)
{
    autofree char *url = manifest_url(push, digest);
    struct http_request request = {.url = url, .method = "DELETE"};
    autoresponse response = {0};

    push->client.deletes = true;
    return url ? push_send(push, &request, &response, err) : no_memory(err);
}

bool push_tag(struct push *push, const char *tag, const struct buf *text, const char *media_type,
              const char *digest, struct err *err)
{
    char now[DIGEST_TEXT_MAX];
    bool found;

    if (!push_manifest(push, tag, text, media_type, err) || !push_look(push, tag, &found, now, err))
        return false;
    if (found && strcmp(now, digest) == 0)
        return true;
    err_set(err, ERR_IMAGE_CORRUPT, "the tag '%s' of '%s' stands for '%s' after '%s' was pushed",
            tag, push->target->path, found ? now : "nothing", digest);
    return err_hint(err, "somebody else may push the same tag: push again, and look what it is");
}
