/*
 * The source of registry references: the pulling half of the OCI distribution-spec, with the token
 * servers of docker's. The first request goes out without credentials; what it is challenged with
 * says which kind is wanted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "runtime/image/credentials.h"
#include "runtime/image/source.h"
#include "runtime/net/challenge.h"
#include "runtime/net/http.h"
#include "runtime/net/url.h"

#define TOKEN_MAX    (64 << 10) /* bytes of a token server's answer */
#define HUB_HOST     "docker.io"
#define HUB_API_HOST "registry-1.docker.io"
#define ACCEPT_TYPES                                                                               \
    MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

struct registry {
    struct source source;
    struct http *http;
    char *base; /* "https://HOST/v2/PATH" */
    struct credentials credentials;
    char *authorization; /* what the registry accepted or will be offered, or NULL */
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a registry");
}

static void forget_authorization(struct registry *registry)
{
    if (registry->authorization)
        explicit_bzero(registry->authorization, strlen(registry->authorization));
    free(registry->authorization);
    registry->authorization = NULL;
}

/* ---- statuses ---- */

static void auth_hint(const struct registry *registry, struct err *err)
{
    const char *host = registry->source.reference->host;

    if (registry->credentials.helper && !registry->credentials.basic)
        err_hint(err,
                 "the credential helper '%s' is configured but not supported; "
                 "keep the credentials in 'auths' of the file itself",
                 registry->credentials.helper);
    else
        err_hint(err, "check the name, and log in with: docker login %s", host);
}

static bool status_error(const struct registry *registry, const struct http_response *response,
                         struct err *err)
{
    const struct reference *reference = registry->source.reference;
    size_t from = 0;
    const char *wait;

    switch (response->status) {
    case 401:
    case 403:
        err_set(err, ERR_REGISTRY_AUTH, "the registry '%s' refuses access to '%s'", reference->host,
                reference->name);
        auth_hint(registry, err);
        return false;
    case 404:
        err_set(err, ERR_IMAGE_NOT_FOUND, "the registry '%s' has no '%s'", reference->host,
                reference->name);
        return err_hint(err, "check the name, the tag and the digest");
    case 429:
        wait = http_header(response, "Retry-After", &from);
        err_set(err, ERR_REGISTRY_RATE_LIMITED, "the registry '%s' limits requests, also for '%s'",
                reference->host, reference->name);
        return err_hint(err, "log in, or try again later%s%.40s", wait ? ": Retry-After is " : "",
                        wait ? wait : "");
    default:
        err_set(err, ERR_REGISTRY_UNREACHABLE, "the registry '%s' answers %ld for '%s'",
                reference->host, response->status, reference->name);
        return err_hint(err, "try again later, or ask the registry's administrator");
    }
}

static bool failed(const struct registry *registry, struct err *err)
{
    const struct reference *reference = registry->source.reference;

    err_context(err, "cannot get '%s' from the registry '%s'", reference->name, reference->host);
    if (err->code == ERR_REGISTRY_UNREACHABLE && !err->hint[0])
        err_hint(err, "check the network, the proxy variables and that '%s' is a registry",
                 reference->host);
    return false;
}

/* ---- authorization ---- */

/*
 * Credentials go to the token server that the registry names, so it must not name just any: https,
 * no address inside this network unless the registry is there itself; plain http among loopback
 * hosts.
 */
static bool realm_is_safe(const struct registry *registry, const struct url *realm)
{
    const char *host = registry->source.reference->host;
    autourl base = {0};

    if (!realm->https)
        return host_is_loopback(host) && host_is_loopback(realm->host);
    if (!host_is_private(realm->host) || host_is_loopback(host))
        return true;
    return url_parse(registry->base, NULL, &base) && strcmp(base.host, realm->host) == 0;
}

/* REALM?service=S&scope=repository:PATH:pull */
static char *token_url(const struct registry *registry, const struct challenge *challenge,
                       const char *realm)
{
    autofree char *own = text_printf("repository:%s:pull", registry->source.reference->path);
    autofree char *scope = url_escape(challenge->scope ? challenge->scope : own ? own : "");
    autofree char *service = url_escape(challenge->service ? challenge->service : "");

    if (!own || !scope || !service)
        return NULL;
    return text_printf("%s%c%s%s%sscope=%s", realm, strchr(realm, '?') ? '&' : '?',
                       *service ? "service=" : "", service, *service ? "&" : "", scope);
}

static bool take_token(struct registry *registry, const struct http_response *response,
                       struct err *err)
{
    autojson *json =
        json_parse(response->body.data, response->body.len, "token", ERR_REGISTRY_AUTH, err);
    const char *token = json_text(json, "token");

    if (!token)
        token = json_text(json, "access_token");
    if (!token || !*token)
        return err_set(err, ERR_REGISTRY_AUTH,
                       "the token server of the registry '%s' answers without a token",
                       registry->source.reference->host);
    registry->authorization = text_printf("Bearer %s", token);
    return registry->authorization || no_memory(err);
}

static bool get_token(struct registry *registry, const struct challenge *challenge, struct err *err)
{
    const char *basic = registry->credentials.basic;
    autofree char *authorization = basic ? text_printf("Basic %s", basic) : NULL;
    autofree char *url = NULL;
    autoresponse response = {0};
    autourl realm = {0};
    bool ok;

    if (!url_parse(challenge->realm, NULL, &realm) || !realm_is_safe(registry, &realm)) {
        err_set(err, ERR_REGISTRY_AUTH, "the registry '%s' names the token server '%.200s'",
                registry->source.reference->host, challenge->realm);
        return err_hint(err, "credentials are sent to https servers outside this network only");
    }
    url = token_url(registry, challenge, realm.text);
    if (!url || (basic && !authorization))
        return no_memory(err);
    ok = http_get(registry->http,
                  &(struct http_request){.url = url,
                                         .accept = "application/json",
                                         .authorization = authorization,
                                         .no_redirects = true,
                                         .body_max = TOKEN_MAX},
                  &response, err);
    if (authorization)
        explicit_bzero(authorization, strlen(authorization));
    if (!ok)
        return failed(registry, err);
    return response.status == 200 ? take_token(registry, &response, err)
                                  : status_error(registry, &response, err);
}

/* Answers the challenges of a 401. */
static bool authorize(struct registry *registry, const struct http_response *response,
                      struct err *err)
{
    autochallenge challenge = {0};
    size_t from = 0;
    const char *header;

    while ((header = http_header(response, "WWW-Authenticate", &from))) {
        if (!challenge_parse(header, &challenge))
            return no_memory(err);
    }
    forget_authorization(registry);
    if (challenge.bearer)
        return get_token(registry, &challenge, err);
    if (!challenge.basic || !registry->credentials.basic)
        return status_error(registry, response, err);
    registry->authorization = text_printf("Basic %s", registry->credentials.basic);
    return registry->authorization || no_memory(err);
}

/* ---- requests ---- */

/* GETs; a challenge is answered once, so that a refusal is a refusal. */
static bool get(struct registry *registry, struct http_request *request,
                struct http_response *response, struct err *err)
{
    for (bool challenged = false;; challenged = true) {
        autoresponse answer = {0};

        request->authorization = registry->authorization;
        if (!http_get(registry->http, request, &answer, err))
            return failed(registry, err);
        if (answer.status == 200) {
            *response = answer;
            answer = (struct http_response){0};
            return true;
        }
        if (answer.status != 401 || challenged)
            return status_error(registry, &answer, err);
        if (!authorize(registry, &answer, err))
            return false;
    }
}

static bool get_manifest(struct registry *registry, const char *name, struct buf *text,
                         char **media_type, struct err *err)
{
    autofree char *url = text_printf("%s/manifests/%s", registry->base, name);
    struct http_request request = {.url = url, .accept = ACCEPT_TYPES, .body_max = MANIFEST_MAX};
    autoresponse response = {0};
    size_t from = 0;
    const char *type;

    if (!url)
        return no_memory(err);
    if (!get(registry, &request, &response, err))
        return false;
    type = http_header(&response, "Content-Type", &from);
    if (type && media_type) {
        /* "TYPE; charset=utf-8" */
        *media_type = strndup(type, strcspn(type, "; \t"));
        if (!*media_type)
            return no_memory(err);
    }
    return buf_append(text, response.body.data ? response.body.data : "", response.body.len) ||
           no_memory(err);
}

/* Docker-Content-Digest is not looked at: what counts is the digest of the bytes. */
static bool registry_top(struct source *source, struct source_top *top, struct err *err)
{
    const struct reference *reference = source->reference;

    if (!get_manifest((struct registry *)source,
                      reference->digest ? reference->digest : reference->tag, &top->text,
                      &top->media_type, err))
        return false;
    top->digest = reference->digest ? strdup(reference->digest) : NULL;
    return !reference->digest || top->digest || no_memory(err);
}

static bool registry_manifest(struct source *source, const struct descriptor *manifest,
                              struct buf *text, struct err *err)
{
    return get_manifest((struct registry *)source, manifest->digest, text, NULL, err);
}

static bool registry_blob(struct source *source, const struct descriptor *blob,
                          const struct source_sink *sink, struct err *err)
{
    struct registry *registry = (struct registry *)source;
    autofree char *url = text_printf("%s/blobs/%s", registry->base, blob->digest);
    struct http_request request = {
        .url = url, .body_max = blob->size, .body = sink->write, .data = sink->data};
    autoresponse response = {0};

    return url ? get(registry, &request, &response, err) : no_memory(err);
}

static void registry_close(struct source *source)
{
    struct registry *registry = (struct registry *)source;

    forget_authorization(registry);
    credentials_release(&registry->credentials);
    http_free(registry->http);
    free(registry->base);
    free(registry);
}

static const struct source_ops registry_ops = {
    .top = registry_top,
    .manifest = registry_manifest,
    .blob = registry_blob,
    .close = registry_close,
};

struct source *registry_open(const struct reference *reference, struct err *err)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    const char *host = reference->host;

    if (!registry) {
        no_memory(err);
        return NULL;
    }
    registry->source = (struct source){.ops = &registry_ops, .reference = reference};
    registry->http = http_new();
    registry->base =
        text_printf("%s://%s/v2/%s", host_is_loopback(host) ? "http" : "https",
                    strcmp(host, HUB_HOST) == 0 ? HUB_API_HOST : host, reference->path);
    if (!registry->http || !registry->base)
        no_memory(err);
    else if (credentials_find(reference, &registry->credentials, err))
        return &registry->source;
    registry_close(&registry->source);
    return NULL;
}
