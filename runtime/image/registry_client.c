#include "runtime/image/registry_client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "runtime/image/registry_certs.h"
#include "runtime/image/registry_users.h"
#include "runtime/net/fields.h"

#define HUB_HOST     "docker.io"
#define HUB_API_HOST "registry-1.docker.io"
#define SLICE_NS     (100 * NS_PER_MS) /* of a pause, after which it may end */

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a registry");
}

/* ---- endpoints ---- */

/*
 * Loopback registries speak plain HTTP, unless somebody has given them certificates or says
 * otherwise; others do only when somebody says so.
 */
static bool is_plain(const struct registry_config *config, const char *host)
{
    autofree char *text = text_printf("https://%s/", host);
    autourl url = {0};

    switch (registry_config_plain_http(config, host)) {
    case PLAIN_HTTP_YES:
        return true;
    case PLAIN_HTTP_NO:
        return false;
    case PLAIN_HTTP_UNSET:
        break;
    }
    return host_is_loopback(host) && text && url_parse(text, NULL, &url) &&
           !registry_certs_exist(&url);
}

/* Owns the three texts in any case. */
static bool add_endpoint(struct registry_client *client, char *host, char *path, bool mirror,
                         bool resolve)
{
    struct endpoint *endpoint = &client->endpoints[client->endpoint_count++];

    *endpoint = (struct endpoint){.host = host, .path = path, .mirror = mirror, .resolve = resolve};
    if (!host || !path)
        return false;
    endpoint->insecure = is_plain(&client->config, host);
    endpoint->base = text_printf("%s://%s/v2/%s", endpoint->insecure ? "http" : "https",
                                 strcmp(host, HUB_HOST) == 0 ? HUB_API_HOST : host, path);
    return endpoint->base;
}

static bool add_endpoints(struct registry_client *client)
{
    const struct reference *reference = client->reference;
    struct registry_mirror mirrors[REGISTRY_MIRRORS_MAX] = {0};
    size_t count;
    bool ok = registry_config_mirrors(&client->config, reference->host, mirrors, &count);

    for (size_t i = 0; i < count; i++) {
        struct registry_mirror *mirror = &mirrors[i];
        char *path =
            text_printf("%s%s%s", mirror->prefix, *mirror->prefix ? "/" : "", reference->path);

        ok = ok &&
             add_endpoint(client, TAKE_PTR(mirror->host), TAKE_PTR(path), true, mirror->resolve);
        free(path);
        registry_mirror_release(mirror);
    }
    return ok &&
           add_endpoint(client, strdup(reference->host), strdup(reference->path), false, true);
}

bool registry_client_init(struct registry_client *client, const struct reference *reference,
                          struct err *err)
{
    *client = (struct registry_client){.reference = reference};
    pthread_mutex_init(&client->challenge_lock, NULL);
    pthread_mutex_init(&client->idle_lock, NULL);
    if (registry_config_load(&client->config, err) && (add_endpoints(client) || no_memory(err)))
        return true;
    registry_client_release(client);
    return false;
}

void registry_client_release(struct registry_client *client)
{
    for (size_t i = 0; i < client->endpoint_count; i++) {
        struct endpoint *endpoint = &client->endpoints[i];

        secret_free(endpoint->authorization);
        credentials_release(&endpoint->credentials);
        free(endpoint->host);
        free(endpoint->path);
        free(endpoint->base);
    }
    while (client->idle_count)
        http_free(client->idle[--client->idle_count]);
    registry_config_release(&client->config);
    pthread_mutex_destroy(&client->challenge_lock);
    pthread_mutex_destroy(&client->idle_lock);
}

void registry_client_copied(struct registry_client *client)
{
    client->idle_count = 0;
}

struct endpoint *registry_primary(struct registry_client *client)
{
    return &client->endpoints[client->endpoint_count - 1];
}

/* ---- HTTP clients ---- */

struct http *registry_borrow(struct registry_client *client, struct err *err)
{
    unsigned int stall_ms = registry_config_stall_ms(&client->config);
    const struct http_settings settings = {
        .stall_ms = stall_ms ? stall_ms : client->stall_ms,
        .tls = registry_certs_find,
        .stop = client->stop,
        .proxies_only_tls = !registry_users_configure(),
    };
    struct http *http = NULL;

    pthread_mutex_lock(&client->idle_lock);
    if (client->idle_count)
        http = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->idle_lock);
    if (!http)
        http = http_new(&settings);
    if (!http)
        no_memory(err);
    return http;
}

void registry_return(struct registry_client *client, struct http *http)
{
    pthread_mutex_lock(&client->idle_lock);
    if (client->idle_count < REGISTRY_IDLE_MAX)
        client->idle[client->idle_count++] = TAKE_PTR(http);
    pthread_mutex_unlock(&client->idle_lock);
    http_free(http);
}

/* ---- what goes wrong ---- */

static bool is_temporary(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static void take_after(const struct http_response *response, struct registry_tries *tries)
{
    size_t from = 0;
    const char *value = http_header(response, "Retry-After", &from);

    tries->has_after = value && retry_after_parse(value, time(NULL), &tries->after_ms);
}

enum registry_outcome registry_refused(const struct registry_client *client,
                                       const struct endpoint *endpoint,
                                       const struct http_response *response,
                                       struct registry_tries *tries, struct err *err)
{
    const char *name = client->reference->name, *host = endpoint->host;

    switch (response->status) {
    case 401:
    case 403:
        err_set(err, ERR_REGISTRY_AUTH, "the registry '%s' refuses access to '%s'", host, name);
        err_hint(err, "check the name, and log in with: docker login %s", host);
        break;
    case 404:
        /* Whoever a redirect leads to does not know what the registry has. */
        if (response->redirected) {
            err_set(err, ERR_REGISTRY_UNREACHABLE,
                    "the registry '%s' redirects for '%s' to where nothing is", host, name);
            err_hint(err, "try again later, or ask the registry's administrator");
            break;
        }
        err_set(err, ERR_IMAGE_NOT_FOUND, "the registry '%s' has no '%s'", host, name);
        err_hint(err, "check the name, the tag and the digest");
        break;
    case 407:
        err_set(err, ERR_REGISTRY_UNREACHABLE, "the proxy on the way to '%s' wants a password",
                host);
        err_hint(err, "put it into the proxy variable: http://USER:PASSWORD@HOST:PORT");
        break;
    case 429:
        err_set(err, ERR_REGISTRY_RATE_LIMITED, "the registry '%s' limits requests, also for '%s'",
                host, name);
        err_hint(err, "log in, use a mirror, or try again later");
        break;
    default:
        err_set(err, ERR_REGISTRY_UNREACHABLE, "the registry '%s' answers %ld for '%s'", host,
                response->status, name);
        /* What servers with TLS say to a request without. */
        if (response->status == 400 && endpoint->insecure)
            err_hint(err,
                     "if it speaks https, say so: 'plain_http': false, or a directory in certs.d");
        else
            err_hint(err, "try again later, or ask the registry's administrator");
    }
    tries->refused = response->status;
    take_after(response, tries);
    return is_temporary(response->status) ? REGISTRY_AGAIN : REGISTRY_FAILED;
}

void registry_unanswered(const struct registry_client *client, const struct endpoint *endpoint,
                         struct err *err)
{
    if (client->pushes)
        err_context(err, "cannot push '%s' to the registry '%s'", client->reference->name,
                    endpoint->host);
    else
        err_context(err, "cannot get '%s' from the registry '%s'", client->reference->name,
                    endpoint->host);
    if (err->code == ERR_REGISTRY_UNREACHABLE && !err->hint[0])
        err_hint(err, "check the network, the proxy variables and that '%s' is a registry",
                 endpoint->host);
}

/* False when nobody needs the answer any more. */
static bool pause_for(const struct registry_client *client, uint64_t ms)
{
    int64_t end = clock_now() + (int64_t)ms * NS_PER_MS, left;

    while ((left = end - clock_now()) > 0) {
        struct timespec pause = {.tv_nsec = (long)(left < SLICE_NS ? left : SLICE_NS)};

        if (http_is_stopped(&client->stop))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

bool registry_wait(const struct registry_client *client, struct registry_tries *tries,
                   const struct endpoint *endpoint, struct err *err)
{
    uint64_t ms = (uint64_t)REGISTRY_PAUSE_MS << tries->used;

    if (tries->since && clock_now() - tries->since >= HTTP_ANSWER_TIMEOUT_NS)
        return false;
    if (++tries->used >= (endpoint->mirror ? REGISTRY_MIRROR_TRIES : REGISTRY_TRIES))
        return false;
    if (tries->has_after && tries->after_ms > REGISTRY_PAUSE_MAX_MS) {
        err_hint(err, "it wants no request for %llu s; log in, use a mirror, or try again then",
                 (unsigned long long)tries->after_ms / 1000);
        return false;
    }
    if (tries->has_after && tries->after_ms > ms)
        ms = tries->after_ms;
    tries->has_after = false;
    return pause_for(client, ms);
}

/* ---- requests ---- */

/* A copy of what the endpoint is offered, which another thread may renew at any time. */
static bool copy_authorization(struct registry_client *client, const struct endpoint *endpoint,
                               char **authorization, unsigned int *generation)
{
    bool ok;

    pthread_mutex_lock(&client->challenge_lock);
    *generation = endpoint->generation;
    *authorization = endpoint->authorization ? strdup(endpoint->authorization) : NULL;
    ok = *authorization || !endpoint->authorization;
    pthread_mutex_unlock(&client->challenge_lock);
    return ok;
}

/*
 * Answers a challenge, unless another thread has done so since `generation`; *answered tells
 * whether it was this one, so that what is refused next is refused for good.
 */
static enum registry_outcome answer_challenge(struct registry_client *client,
                                              struct endpoint *endpoint, unsigned int generation,
                                              const struct http_response *response, bool *answered,
                                              struct registry_tries *tries, struct err *err)
{
    enum registry_outcome outcome = REGISTRY_DONE;

    pthread_mutex_lock(&client->challenge_lock);
    *answered = endpoint->generation == generation;
    if (*answered)
        outcome = registry_authorize(client, endpoint, response, tries, err);
    pthread_mutex_unlock(&client->challenge_lock);
    return outcome;
}

/* Sends once, without an answer to a challenge. False when nothing was answered. */
static bool send_once(struct registry_client *client, struct endpoint *endpoint,
                      struct http_request *request, struct http_response *answer,
                      unsigned int *generation, bool *may_retry, struct err *err)
{
    char *authorization = NULL;
    struct http *http = registry_borrow(client, err);
    bool ok = false;

    *may_retry = false;
    if (!http)
        return false;
    if (copy_authorization(client, endpoint, &authorization, generation)) {
        request->authorization = authorization;
        ok = http_send(http, request, answer, err);
        request->authorization = NULL;
        *may_retry = http_may_retry(http);
        if (!ok)
            registry_unanswered(client, endpoint, err);
    } else {
        no_memory(err);
    }
    secret_free(authorization);
    registry_return(client, http);
    return ok;
}

static bool is_done(const struct http_request *request, long status)
{
    if (request->method)
        return status >= 200 && status < 300;
    return status == 200 || (status == 206 && request->offset);
}

enum registry_outcome registry_try(struct registry_client *client, struct endpoint *endpoint,
                                   struct http_request *request, struct http_response *response,
                                   struct registry_tries *tries, struct err *err)
{
    bool answered = false;

    *response = (struct http_response){0};
    tries->deadline = (tries->since ? tries->since : clock_now()) + HTTP_ANSWER_TIMEOUT_NS;
    request->deadline = tries->deadline;
    tries->refused = 0;
    for (;;) {
        autoresponse answer = {0};
        enum registry_outcome outcome;
        unsigned int generation;
        bool may_retry;

        if (!send_once(client, endpoint, request, &answer, &generation, &may_retry, err))
            return may_retry ? REGISTRY_AGAIN : REGISTRY_FAILED;
        if (is_done(request, answer.status)) {
            *response = answer;
            answer = (struct http_response){0};
            return REGISTRY_DONE;
        }
        /* Whoever a redirect leads to must not say where credentials go. */
        if (answer.status != 401 || answered || answer.redirected) {
            response->body = answer.body;
            answer.body = (struct buf){0};
            outcome = registry_refused(client, endpoint, &answer, tries, err);
        } else {
            outcome =
                answer_challenge(client, endpoint, generation, &answer, &answered, tries, err);
        }
        if (outcome != REGISTRY_DONE) {
            response->status = tries->refused;
            return outcome;
        }
    }
}

bool registry_get(struct registry_client *client, struct endpoint *endpoint,
                  struct http_request *request, struct http_response *response, struct err *err)
{
    struct registry_tries tries = {.since = clock_now()};

    for (;;) {
        switch (registry_try(client, endpoint, request, response, &tries, err)) {
        case REGISTRY_DONE:
            return true;
        case REGISTRY_FAILED:
            return false;
        case REGISTRY_AGAIN:
            break;
        }
        if (!registry_wait(client, &tries, endpoint, err))
            return false;
        http_response_release(response);
    }
}
