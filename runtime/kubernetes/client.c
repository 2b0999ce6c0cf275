#include "runtime/kubernetes/client.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/utf8.h"
#include "runtime/kubernetes/plugin.h"
#include "runtime/net/fields.h"

#define PAUSE_MS        100 /* before the second try, doubled for each further one */
#define PAUSE_MAX_MS    5000
#define TOKEN_FRESH_NS  (60000 * NS_PER_MS) /* a token's file is read again after this */
#define EXPIRY_MARGIN_S 10

struct kube_client {
    const struct kube_config *config;
    struct http_settings settings;
    struct http *http;
    char *authorization; /* of the header, or NULL */
    int64_t looked;      /* at the token's file */
    time_t expires;      /* of what a program gave; 0: never */
    bool has_credentials;
    void (*hears)(void *data, const struct err *why); /* of each try that failed; or NULL */
    void *hears_data;
    /* What a program gave as a certificate. */
    struct kube_config own;
    struct http_tls tls;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to speak to the cluster");
}

static bool set_token(struct kube_client *client, const char *token, struct err *err)
{
    free(client->authorization);
    client->authorization = text_printf("Bearer %s", token);
    return client->authorization || no_memory(err);
}

static bool read_token(struct kube_client *client, struct err *err)
{
    autobuf text = BUF_INIT(KUBE_TOKEN_MAX);

    if (client->has_credentials && clock_now() - client->looked < TOKEN_FRESH_NS)
        return true;
    if (!file_read(AT_FDCWD, client->config->token_file, &text, ERR_CONFIG_INVALID, err))
        return err_context(err, "the token of the cluster");
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    if (text.len == 0 || strpbrk(text.data, " \t\r\n"))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' holds no token", client->config->token_file);
    client->looked = clock_now();
    return set_token(client, text.data, err);
}

static bool make_http(struct kube_client *client, struct err *err)
{
    http_free(client->http);
    client->http = http_new(&client->settings);
    return client->http || no_memory(err);
}

static bool ask_plugin(struct kube_client *client, struct err *err)
{
    autopluginanswer answer = {0};

    if (client->has_credentials &&
        (!client->expires || time(NULL) < client->expires - EXPIRY_MARGIN_S))
        return true;
    if (!plugin_run(&client->config->plugin, &answer, err))
        return false;
    client->expires = answer.expires;
    if (answer.token && !set_token(client, answer.token, err))
        return false;
    if (!answer.certificate)
        return true;
    if (!kube_config_set_certificate(&client->own, answer.certificate, strlen(answer.certificate),
                                     answer.key, strlen(answer.key), err))
        return false;
    client->tls.certificate = client->own.tls.certificate;
    client->tls.key = client->own.tls.key;
    return make_http(client, err);
}

static bool refresh(struct kube_client *client, struct err *err)
{
    const struct kube_config *config = client->config;
    bool ok = config->plugin.command                      ? ask_plugin(client, err)
              : config->token_file                        ? read_token(client, err)
              : config->token && !client->has_credentials ? set_token(client, config->token, err)
                                                          : true;

    client->has_credentials = ok;
    return ok;
}

bool kube_client_open(const struct kube_config *config, const struct http_stop *stop,
                      struct kube_client **out, struct err *err)
{
    struct kube_client *client = calloc(1, sizeof(*client));

    if (!client)
        return no_memory(err);
    client->config = config;
    client->own = KUBE_CONFIG_INIT;
    client->tls = config->tls; /* borrowed */
    client->settings = (struct http_settings){.stall_ms = KUBE_STALL_MS,
                                              .own_tls = &client->tls,
                                              .stop = stop ? *stop : (struct http_stop){0}};
    if (!make_http(client, err)) {
        kube_client_close(client);
        return false;
    }
    *out = client;
    return true;
}

void kube_client_close(struct kube_client *client)
{
    if (!client)
        return;
    http_free(client->http);
    kube_config_release(&client->own);
    free(client->authorization);
    free(client);
}

void kube_client_on_retry(struct kube_client *client,
                          void (*hears)(void *data, const struct err *why), void *data)
{
    client->hears = hears;
    client->hears_data = data;
}

bool kube_may_retry(long status)
{
    return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* What the door to libcurl says of registries is true of a server of the API, too. */
bool kube_unreachable(const struct kube_client *client, struct err *err)
{
    if (err->code == ERR_IMAGE_CORRUPT)
        err->code = ERR_ENGINE_FAILED;
    if (err->code != ERR_REGISTRY_UNREACHABLE)
        return false;
    err->code = ERR_ENGINE_UNAVAILABLE;
    err_context(err, "the Kubernetes API at '%s' gives no answer", client->config->server);
    return err_hint(err, "check the server and its certificate-authority in the kubeconfig; "
                         "'kubectl version' asks the same server");
}

/* A connection that is to become a WebSocket. */
struct upgrade {
    const char *protocol;
    bool (*take)(void *data, const struct ws_piece *piece, struct err *err);
    void *data;
    struct websocket *socket;
};

static bool send_once(struct kube_client *client, const struct kube_call *call, const char *content,
                      struct upgrade *upgrade, struct http_response *response, struct err *err)
{
    autofree char *url = text_printf("%s%s", client->config->server, call->path);
    struct http_request request = {
        .url = url,
        .method = call->method,
        .authorization = client->authorization,
        .accept = call->accept ? call->accept : "application/json",
        .no_redirects = true,
        .body_max = call->body ? UINT64_MAX : KUBE_ANSWER_MAX,
        .deadline = call->body ? 0 : clock_now() + KUBE_ANSWER_MS * NS_PER_MS,
        .body = call->body,
        .data = call->data,
        .content = content,
        .content_len = content ? strlen(content) : 0,
        .content_type = !content             ? NULL
                        : call->content_type ? call->content_type
                                             : "application/json",
    };

    if (!url || strlen(url) > URL_MAX)
        return err_set(err, ERR_ENGINE_FAILED, "a request to the cluster cannot be made");
    if (upgrade)
        return websocket_open(client->http, &request, upgrade->protocol, upgrade->take,
                              upgrade->data, response, &upgrade->socket, err);
    return http_send(client->http, &request, response, err);
}

/* How long a server asks to wait, or the next pause. */
static uint64_t next_pause(const struct http_response *response, uint64_t *pause_ms)
{
    size_t from = 0;
    const char *after = http_header(response, "Retry-After", &from);
    uint64_t asked, pause = *pause_ms;

    *pause_ms = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    return after && retry_after_parse(after, time(NULL), &asked) && asked <= KUBE_PATIENCE_MS
               ? asked
               : pause;
}

/* Of a try that failed, and is not the last. */
static void tell_retry(const struct kube_client *client, bool answered, long status,
                       const struct err *err)
{
    struct err why = *err;

    if (!client->hears)
        return;
    if (answered)
        err_set(&why, ERR_ENGINE_UNAVAILABLE, "the Kubernetes API at '%s' answers with status %ld",
                client->config->server, status);
    else
        kube_unreachable(client, &why);
    client->hears(client->hears_data, &why);
}

/* As long as the caller wants to wait. */
static void wait_for_turn(const struct kube_client *client, uint64_t ms)
{
    int64_t until = clock_now() + (int64_t)ms * NS_PER_MS;

    while (clock_now() < until && !http_is_stopped(&client->settings.stop)) {
        int64_t left_ms = (until - clock_now()) / NS_PER_MS + 1;

        clock_sleep(left_ms < PAUSE_MS ? (uint64_t)left_ms : PAUSE_MS);
    }
}

/* A node that cannot do what it is asked for is an answer with the status 500 as well. */
static bool is_final(const struct upgrade *upgrade, const struct http_response *response)
{
    return upgrade && response->status == 500;
}

/* Again and again while that may help. An answer that streams is tried again by who reads it. */
static bool send_patiently(struct kube_client *client, const struct kube_call *call,
                           const char *content, struct upgrade *upgrade,
                           struct http_response *response, struct err *err)
{
    int64_t deadline = clock_now() + KUBE_PATIENCE_MS * NS_PER_MS;
    uint64_t pause_ms = PAUSE_MS, pause;
    bool renewed = false, answered;

    for (;;) {
        *response = (struct http_response){0};
        if (!refresh(client, err))
            return false;
        http_set_stall(client->http, call->stall_ms ? call->stall_ms : KUBE_STALL_MS);
        answered = send_once(client, call, content, upgrade, response, err);
        if (answered && response->status == 401 && !renewed && client->authorization) {
            /* It may have been renewed before its time. */
            renewed = true;
            client->has_credentials = false;
            http_response_release(response);
            continue;
        }
        if (answered
                ? !kube_may_retry(response->status) || call->body || is_final(upgrade, response)
                : !http_may_retry(client->http) || call->body || call->once)
            return answered;
        if (http_is_stopped(&client->settings.stop) || clock_now() > deadline)
            return answered;
        tell_retry(client, answered, response->status, err);
        pause = next_pause(response, &pause_ms);
        http_response_release(response);
        wait_for_turn(client, pause);
    }
}

static void take_answer(struct http_response *response, struct kube_answer *answer)
{
    struct err ignored;

    *answer = (struct kube_answer){.status = response->status, .text = response->body};
    response->body = BUF_INIT(0);
    http_response_release(response);
    if (answer->text.len)
        answer->json = json_parse(answer->text.data, answer->text.len, "the answer of the cluster",
                                  ERR_ENGINE_FAILED, &ignored);
}

bool kube_call(struct kube_client *client, const struct kube_call *call, struct kube_answer *answer,
               struct err *err)
{
    autofree char *content = call->content ? json_dump_line(call->content) : NULL;
    struct http_response response;

    if (call->content && !content)
        return no_memory(err);
    if (!send_patiently(client, call, content, NULL, &response, err))
        return kube_unreachable(client, err);
    take_answer(&response, answer);
    return true;
}

bool kube_upgrade(struct kube_client *client, const char *path, const char *protocol,
                  bool (*take)(void *data, const struct ws_piece *piece, struct err *err),
                  void *data, struct kube_answer *answer, struct websocket **socket,
                  struct err *err)
{
    const struct kube_call call = {.path = path};
    struct upgrade upgrade = {.protocol = protocol, .take = take, .data = data};
    struct http_response response;

    if (!send_patiently(client, &call, NULL, &upgrade, &response, err))
        return kube_unreachable(client, err);
    take_answer(&response, answer);
    *socket = upgrade.socket;
    return true;
}

void kube_answer_release(struct kube_answer *answer)
{
    json_decref(answer->json);
    buf_release(&answer->text);
}

void kube_status_message(const json_t *status, char message[KUBE_MESSAGE_MAX])
{
    const char *text = json_text(status, "message");
    size_t left = text ? strlen(text) : 0, used = 0, len;

    while (left > 0) {
        len = utf8_harmless(text, left);
        if (used + (len ? len : 1) >= KUBE_MESSAGE_MAX)
            break;
        memcpy(message + used, len ? text : " ", len ? len : 1);
        used += len ? len : 1;
        text += len ? len : 1;
        left -= len ? len : 1;
    }
    message[used] = '\0';
}

bool kube_refused(const struct kube_client *client, const struct kube_answer *answer,
                  const char *what, struct err *err)
{
    static const struct {
        long status;
        enum err_code code;
        const char *why, *hint;
    } meanings[] = {
        {401, ERR_ENGINE_UNAVAILABLE, "it does not know who asks",
         "renew the credentials that the kubeconfig names"},
        {403, ERR_ENGINE_UNAVAILABLE, "this user may not",
         "docs/kubernetes.md has the smallest role that suffices; the namespace may be another "
         "one"},
        {404, ERR_ENGINE_UNAVAILABLE, "it is not there",
         "check the namespace: --kubernetes-namespace names another one"},
        {409, ERR_ENGINE_FAILED, "there is one already", "call again in a moment"},
        {413, ERR_OPTION_INVALID, "it is too large",
         "a step for this engine has less than a megabyte of arguments, environment and secrets"},
        {422, ERR_ENGINE_FAILED, "the cluster finds it invalid",
         "--verbose shows what the cluster says of it"},
        {429, ERR_ENGINE_UNAVAILABLE, "it is asked too much", "call again later"},
    };
    char message[KUBE_MESSAGE_MAX];

    kube_status_message(answer->json, message);
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (meanings[i].status != answer->status)
            continue;
        err_set(err, meanings[i].code, "the Kubernetes API at '%s' does not let stepcell %s: %s",
                client->config->server, what, meanings[i].why);
        err_hint(err, "%s", meanings[i].hint);
        return err_detail(err, "%s", message);
    }
    err_set(err, ERR_ENGINE_FAILED,
            "the Kubernetes API at '%s' does not let stepcell %s (status %ld)",
            client->config->server, what, answer->status);
    return err_detail(err, "%s", message);
}
