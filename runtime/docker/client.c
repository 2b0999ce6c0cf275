#include "runtime/docker/client.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "runtime/net/http.h"

#define CA_FILE_MAX (4 << 20) /* bytes */
#define PATH_LIMIT  16384     /* bytes of an URL of ours */

struct client {
    const char *engine;
    const struct endpoint *endpoint;
    struct http *http;
    struct api_version version;
};

/* What a daemon gave is not known: an answer that is cut counts as none. */
static bool no_answer(const struct client *client, struct err *err)
{
    bool full = err->code == ERR_IMAGE_CORRUPT;

    /* A callback's own error has another code. */
    if (err->code != ERR_REGISTRY_UNREACHABLE && !full)
        return false;
    err->code = full ? ERR_ENGINE_FAILED : ERR_ENGINE_UNAVAILABLE;
    err_context(err, "%s at '%s' gives no answer", client->engine, client->endpoint->host);
    return err_hint(err, "see whether the daemon runs and this user may use it; --engine-host "
                         "names another one");
}

/* http.h asks without a place for data of ours: the variables say the same at each hop. */
static bool find_certificates(const struct url *url, struct http_tls *tls, struct err *err)
{
    const struct endpoint_caller caller = endpoint_caller_now();
    autoendpoint endpoint = {0};
    autofree char *host = text_printf("tcp://%s:%u", url->host, url->port);
    autofree char *authority = NULL;
    autobuf text = BUF_INIT(CA_FILE_MAX);

    if (!host || !endpoint_find("docker", host, &caller, &endpoint, err) || !endpoint.certificates)
        return host || err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    authority = text_printf("%s/ca.pem", endpoint.certificates);
    tls->certificate = text_printf("%s/cert.pem", endpoint.certificates);
    tls->key = text_printf("%s/key.pem", endpoint.certificates);
    if (!authority || !tls->certificate || !tls->key)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    if (!file_read(AT_FDCWD, authority, &text, ERR_ENGINE_UNAVAILABLE, err))
        return err_hint(err,
                        "DOCKER_CERT_PATH names the directory of ca.pem, cert.pem and key.pem");
    tls->authorities = buf_take(&text);
    return tls->authorities || err_set(err, ERR_ENGINE_FAILED, "'%s' is empty", authority);
}

static bool negotiate(struct client *client, struct err *err)
{
    autofree char *url = text_printf("%s/_ping", client->endpoint->url);
    const struct http_request request = {.url = url, .body_max = 1024, .no_redirects = true};
    autoresponse response = {0};
    const char *version;
    size_t from = 0;

    if (!url)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    if (!http_send(client->http, &request, &response, err))
        return no_answer(client, err);
    version = http_header(&response, "Api-Version", &from);
    if (response.status != 200 || !version) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "what answers at '%s' is no %s (status %ld)",
                client->endpoint->host, client->engine, response.status);
        return false;
    }
    return api_version_choose(version, &client->version, err) ||
           err_context(err, "%s at '%s'", client->engine, client->endpoint->host);
}

bool client_open(const char *engine, const struct endpoint *endpoint, unsigned int stall_ms,
                 struct client **out, struct err *err)
{
    const struct http_settings settings = {
        .stall_ms = stall_ms,
        .tls = find_certificates,
        .unix_socket = endpoint->unix_socket,
    };
    struct client *client = calloc(1, sizeof(*client));

    if (client) {
        client->engine = engine;
        client->endpoint = endpoint;
        client->http = http_new(&settings);
    }
    if (!client || !client->http) {
        free(client);
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    }
    if (!negotiate(client, err)) {
        client_close(client);
        return false;
    }
    *out = client;
    return true;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    http_free(client->http);
    free(client);
}

bool client_is_private(const struct client *client)
{
    const struct endpoint *endpoint = client->endpoint;
    const char *host = strstr(endpoint->host, "//");

    return endpoint->unix_socket || endpoint->certificates || (host && host_is_loopback(host + 2));
}

bool client_call(struct client *client, const struct client_call *call,
                 struct client_answer *answer, struct err *err)
{
    autofree char *url = text_printf("%s/v%u.%u%s", client->endpoint->url, client->version.major,
                                     client->version.minor, call->path);
    autofree char *content = call->content ? json_dump_line(call->content) : NULL;
    autofree char *auth = call->auth ? text_printf("X-Registry-Auth: %s", call->auth) : NULL;
    autofree char *registries =
        call->registries ? text_printf("X-Registry-Config: %s", call->registries) : NULL;
    const char *const headers[] = {auth ? auth : registries, auth ? registries : NULL, NULL};
    const struct http_request request = {
        .url = url,
        .method = call->method,
        .no_redirects = true,
        .body_max = call->body ? UINT64_MAX : CLIENT_ANSWER_MAX,
        .content = content,
        .content_len = content ? strlen(content) : 0,
        .content_type = content        ? "application/json"
                        : call->upload ? "application/x-tar"
                                       : NULL,
        .body = call->body,
        .upload = call->upload,
        .upload_size = call->upload_size,
        .data = call->data,
        .headers = headers,
    };
    struct http_response response;
    struct err ignored;

    if (!url || strlen(url) > PATH_LIMIT || (call->content && !content) || (call->auth && !auth) ||
        (call->registries && !registries))
        return err_set(err, ERR_ENGINE_FAILED, "a request to %s cannot be made", client->engine);
    if (!http_send(client->http, &request, &response, err))
        return no_answer(client, err);
    *answer = (struct client_answer){.status = response.status, .text = response.body};
    response.body = BUF_INIT(0);
    http_response_release(&response);
    if (answer->text.len)
        answer->json = json_parse(answer->text.data, answer->text.len, "the answer of the engine",
                                  ERR_ENGINE_FAILED, &ignored);
    return true;
}

void client_answer_release(struct client_answer *answer)
{
    json_decref(answer->json);
    buf_release(&answer->text);
}

bool client_refused(const struct client *client, const struct client_answer *answer,
                    enum err_code code, const char *what, struct err *err)
{
    char message[ANSWER_MESSAGE_MAX];

    answer_message(answer->json, message);
    err_set(err, code, "%s cannot %s: it answers with status %ld", client->engine, what,
            answer->status);
    return err_detail(err, "%s", message);
}

char *client_escape(const char *text)
{
    return url_escape(text);
}
