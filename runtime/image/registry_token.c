/* Challenges of registries: docker's token servers with their two protocols, and passwords. */
#include <string.h>

#include "base/json.h"
#include "runtime/image/registry_client.h"
#include "runtime/net/url.h"

#define CLIENT_ID "stepcell"

static enum registry_outcome no_memory(struct err *err)
{
    err_errno(err, ERR_ENGINE_FAILED, "cannot ask a registry");
    return REGISTRY_FAILED;
}

/*
 * Credentials go to the token server that the registry names, so it must not name just any: https,
 * and no address inside this network unless the registry is the same host. Plain http is for
 * loopback registries with loopback servers, and for hosts that may speak it anyhow.
 */
static bool realm_is_safe(const struct registry_client *client, const struct endpoint *endpoint,
                          const struct url *realm)
{
    autofree char *host = text_printf("%s:%u", realm->host, realm->port);
    autourl base = {0};

    if (!host || !url_parse(endpoint->base, NULL, &base))
        return false;
    if (!realm->https) {
        if (!endpoint->insecure)
            return false;
        return (host_is_loopback(base.host) && host_is_loopback(realm->host)) ||
               url_same_origin(&base, realm) ||
               registry_config_plain_http(&client->config, host) == PLAIN_HTTP_YES;
    }
    return !host_is_private(realm->host) || strcmp(base.host, realm->host) == 0 ||
           (host_is_loopback(base.host) && host_is_loopback(realm->host));
}

static bool add_parameter(struct buf *query, const char *name, const char *value)
{
    autofree char *escaped = url_escape(value);

    return escaped && buf_printf(query, "%s%s=%s", query->len ? "&" : "", name, escaped);
}

/*
 * The scopes that were demanded, else the one that is needed. Who is going to push asks for that at
 * once: a registry demands no more than the request at hand needs.
 */
static bool collect_scopes(const struct registry_client *client, const struct endpoint *endpoint,
                           const char *demanded, struct strv *scopes)
{
    char *own = text_printf("repository:%s:pull%s%s", endpoint->path, client->pushes ? ",push" : "",
                            client->deletes ? ",delete" : "");

    demanded = demanded ? demanded + strspn(demanded, " ") : "";
    if (client->pushes || !*demanded) {
        if (!strv_take(scopes, own))
            return false;
    } else {
        free(own);
    }
    for (const char *p = demanded; *p; p += strspn(p, " ")) {
        char *scope = strndup(p, strcspn(p, " "));

        p += strcspn(p, " ");
        if (scope && strv_contains(scopes, scope))
            free(scope);
        else if (!strv_take(scopes, scope))
            return false;
    }
    return true;
}

/*
 * "service=S&scope=X". A form takes all scopes in one parameter, a query one after the other.
 */
static char *token_query(const struct registry_client *client, const struct endpoint *endpoint,
                         const struct challenge *challenge, bool form)
{
    autostrv scopes = {0};
    autobuf query = BUF_INIT(URL_MAX), joined = BUF_INIT(URL_MAX);

    if (!collect_scopes(client, endpoint, challenge->scope, &scopes))
        return NULL;
    if (challenge->service && *challenge->service &&
        !add_parameter(&query, "service", challenge->service))
        return NULL;
    for (size_t i = 0; i < scopes.count; i++) {
        const char *scope = scopes.items[i];

        if (form ? !buf_printf(&joined, "%s%s", i ? " " : "", scope)
                 : !add_parameter(&query, "scope", scope))
            return NULL;
    }
    if (form && !add_parameter(&query, "scope", joined.data))
        return NULL;
    return buf_take(&query);
}

static enum registry_outcome take_token(struct endpoint *endpoint,
                                        const struct http_response *response, struct err *err)
{
    struct err quoting; /* what jansson says of the text could quote a token */
    autojson *json = json_parse(response->body.data ? response->body.data : "", response->body.len,
                                "token", ERR_REGISTRY_AUTH, &quoting);
    const char *token = json_text(json, "token");

    if (!token || !*token)
        token = json_text(json, "access_token");
    if (!token || !*token || token[strcspn(token, " \t\r\n")]) {
        err_set(err, ERR_REGISTRY_AUTH,
                "the token server of the registry '%s' answers without a token", endpoint->host);
        return REGISTRY_FAILED;
    }
    endpoint->authorization = text_printf("Bearer %s", token);
    return endpoint->authorization ? REGISTRY_DONE : no_memory(err);
}

/* Sends a token request; `response` is the answer, whatever its status. */
static enum registry_outcome ask(struct registry_client *client, struct endpoint *endpoint,
                                 const struct http_request *request, struct http_response *response,
                                 struct err *err)
{
    struct http *http = registry_borrow(client, err);
    enum registry_outcome outcome = REGISTRY_DONE;

    if (!http)
        return REGISTRY_FAILED;
    if (!http_send(http, request, response, err)) {
        outcome = http_may_retry(http) ? REGISTRY_AGAIN : REGISTRY_FAILED;
        if (err->code == ERR_IMAGE_CORRUPT) /* too long: it is no image here */
            err->code = ERR_REGISTRY_AUTH;
        err_context(err, "the token server of '%s'", endpoint->host);
        registry_unanswered(client, endpoint, err);
    }
    registry_return(client, http);
    return outcome;
}

/* What means the same of a token server as of its registry. */
static bool is_of_both(long status)
{
    return status == 401 || status == 403 || status == 407 || status == 408 || status == 429 ||
           status >= 500;
}

/* Any other answer, "not found" above all, says nothing of the image. */
static enum registry_outcome no_token(const struct endpoint *endpoint, long status, struct err *err)
{
    err_set(err, ERR_REGISTRY_AUTH, "the token server of the registry '%s' answers %ld",
            endpoint->host, status);
    err_hint(err, "try again later, or ask the registry's administrator");
    return REGISTRY_FAILED;
}

static enum registry_outcome finish(struct registry_client *client, struct endpoint *endpoint,
                                    struct http_response *response, struct registry_tries *tries,
                                    struct err *err)
{
    enum registry_outcome outcome;

    if (response->status == 200)
        outcome = take_token(endpoint, response, err);
    else if (is_of_both(response->status))
        outcome = registry_refused(client, endpoint, response, tries, err);
    else
        outcome = no_token(endpoint, response->status, err);
    if (response->body.data)
        explicit_bzero(response->body.data, response->body.len);
    return outcome;
}

/* The older protocol: a GET, with a password or anonymously. */
static enum registry_outcome get_token(struct registry_client *client, struct endpoint *endpoint,
                                       const struct url *realm, const char *query,
                                       struct registry_tries *tries, struct err *err)
{
    const char *basic = endpoint->credentials.basic;
    char *authorization = basic ? text_printf("Basic %s", basic) : NULL;
    autofree char *url =
        text_printf("%s%c%s", realm->text, strchr(realm->text, '?') ? '&' : '?', query);
    autoresponse response = {0};
    enum registry_outcome outcome = REGISTRY_FAILED;

    if (!url || (basic && !authorization))
        no_memory(err);
    else
        outcome = ask(client, endpoint,
                      &(struct http_request){.url = url,
                                             .accept = "application/json",
                                             .authorization = authorization,
                                             .no_redirects = true,
                                             .deadline = tries->deadline,
                                             .body_max = REGISTRY_TOKEN_MAX},
                      &response, err);
    secret_free(authorization);
    return outcome == REGISTRY_DONE ? finish(client, endpoint, &response, tries, err) : outcome;
}

/* The newer protocol: an identity token is exchanged in a form. */
static enum registry_outcome post_token(struct registry_client *client, struct endpoint *endpoint,
                                        const struct url *realm, const char *query,
                                        struct registry_tries *tries, struct err *err)
{
    char *identity = url_escape(endpoint->credentials.identity);
    char *form = identity ? text_printf("grant_type=refresh_token&client_id=" CLIENT_ID
                                        "&refresh_token=%s&%s",
                                        identity, query)
                          : NULL;
    autoresponse response = {0};
    enum registry_outcome outcome = REGISTRY_FAILED;

    if (form)
        outcome = ask(client, endpoint,
                      &(struct http_request){.url = realm->text,
                                             .accept = "application/json",
                                             .form = form,
                                             .deadline = tries->deadline,
                                             .body_max = REGISTRY_TOKEN_MAX},
                      &response, err);
    else
        no_memory(err);
    secret_free(identity);
    secret_free(form);
    if (outcome != REGISTRY_DONE)
        return outcome;
    /* A server that knows only the older one. */
    if ((response.status == 404 || response.status == 405) && endpoint->credentials.basic)
        return get_token(client, endpoint, realm, query, tries, err);
    return finish(client, endpoint, &response, tries, err);
}

static enum registry_outcome bearer(struct registry_client *client, struct endpoint *endpoint,
                                    const struct challenge *challenge, struct registry_tries *tries,
                                    struct err *err)
{
    bool form = endpoint->credentials.identity;
    autofree char *query = NULL;
    autourl realm = {0};

    if (endpoint->credentials.registry) {
        endpoint->authorization = text_printf("Bearer %s", endpoint->credentials.registry);
        return endpoint->authorization ? REGISTRY_DONE : no_memory(err);
    }
    if (!url_parse(challenge->realm, NULL, &realm) || !realm_is_safe(client, endpoint, &realm)) {
        err_set(err, ERR_REGISTRY_AUTH, "the registry '%s' names the token server '%.200s'",
                endpoint->host, challenge->realm);
        err_hint(err, "credentials are sent to https servers outside this network only");
        return REGISTRY_FAILED;
    }
    query = token_query(client, endpoint, challenge, form);
    if (!query)
        return no_memory(err);
    return form ? post_token(client, endpoint, &realm, query, tries, err)
                : get_token(client, endpoint, &realm, query, tries, err);
}

/* Some servers offer a Bearer without a token server beside the Basic that works. */
static bool is_url(const char *realm)
{
    autourl url = {0};

    return url_parse(realm, NULL, &url);
}

enum registry_outcome registry_authorize(struct registry_client *client, struct endpoint *endpoint,
                                         const struct http_response *response,
                                         struct registry_tries *tries, struct err *err)
{
    autochallenge challenge = {0};
    size_t from = 0;
    const char *header;

    while ((header = http_header(response, "WWW-Authenticate", &from))) {
        if (!challenge_parse(header, &challenge))
            return no_memory(err);
    }
    secret_free(TAKE_PTR(endpoint->authorization));
    endpoint->generation++;
    if (!endpoint->looked_up) {
        if (!credentials_find(endpoint->host, endpoint->path, &endpoint->credentials, err))
            return REGISTRY_FAILED;
        endpoint->looked_up = true;
    }
    if (challenge.bearer && (is_url(challenge.realm) || !challenge.basic))
        return bearer(client, endpoint, &challenge, tries, err);
    if (!challenge.basic || !endpoint->credentials.basic)
        return registry_refused(client, endpoint, response, tries, err);
    endpoint->authorization = text_printf("Basic %s", endpoint->credentials.basic);
    return endpoint->authorization ? REGISTRY_DONE : no_memory(err);
}
