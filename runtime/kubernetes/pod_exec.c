#include "runtime/kubernetes/pod_exec.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "runtime/kubernetes/rights.h"
#include "runtime/net/url.h"

#define PROTOCOL      "v4.channel.k8s.io"
#define STATUS_MAX    (64 << 10) /* bytes of the last message */
#define TICK_MS       1000
#define SIZE_TEXT_MAX 64 /* bytes of the size of a terminal */

struct pod_exec {
    struct kube_client *client;
    struct websocket *socket;
    struct pod_exec_call call;
    enum pod_stream stream; /* of the message whose pieces come */
    struct buf text;        /* of POD_STATUS */
    bool ended;
    int status;
};

/* ---- what comes ---- */

/* "details.causes" of a command that ended with another status than 0. */
static bool find_exit_code(const json_t *status, int *code)
{
    const json_t *causes = json_object_get(json_object_get(status, "details"), "causes"), *cause;
    uint64_t number;
    size_t i;

    json_array_foreach (causes, i, cause) {
        const char *reason = json_text(cause, "reason"), *message = json_text(cause, "message");

        if (reason && message && strcmp(reason, "ExitCode") == 0 &&
            num_parse(message, UINT8_MAX, &number)) {
            *code = (int)number;
            return true;
        }
    }
    return false;
}

bool pod_exec_parse_status(const char *text, size_t len, int *status, struct err *err)
{
    autojson *json = json_parse(text, len, "the end of a command", ERR_ENGINE_FAILED, err);
    const char *word = json_text(json, "status");
    char message[KUBE_MESSAGE_MAX];

    if (!json)
        return false;
    *status = 0;
    if ((word && strcmp(word, "Success") == 0) || find_exit_code(json, status))
        return true;
    kube_status_message(json, message);
    err_set(err, ERR_ENGINE_FAILED, "the node cannot run a command in the Pod");
    return err_detail(err, "%s", message);
}

static bool take_status(struct pod_exec *exec, const struct ws_piece *piece, struct err *err)
{
    if (!buf_append(&exec->text, piece->bytes, piece->len))
        return err_set(err, ERR_ENGINE_FAILED, "the end of a command is told at too great length");
    if (!piece->last || exec->text.len == 0)
        return true;
    exec->ended = pod_exec_parse_status(exec->text.data, exec->text.len, &exec->status, err);
    return exec->ended;
}

static bool take_piece(void *data, const struct ws_piece *whole, struct err *err)
{
    struct pod_exec *exec = data;
    struct ws_piece piece = *whole;

    if (piece.first)
        exec->stream = piece.len ? (enum pod_stream)piece.bytes[0] : POD_STDIN;
    if (piece.first && piece.len) {
        piece.bytes++;
        piece.len--;
    }
    switch (exec->stream) {
    case POD_STDOUT:
    case POD_STDERR:
        return piece.len == 0 ||
               exec->call.take(exec->call.data, exec->stream, piece.bytes, piece.len, err);
    case POD_STATUS:
        return take_status(exec, &piece, err);
    case POD_STDIN:
    case POD_SIZE:
        break;
    }
    /* Each stream begins with a message without any bytes, whatever its direction. */
    return piece.len == 0 || err_set(err, ERR_ENGINE_FAILED, "the API sends what nobody reads");
}

/* ---- the opening ---- */

static char *exec_path(const struct kube_config *config, const struct pod_exec_call *call)
{
    autobuf path = BUF_INIT(URL_MAX);

    if (!buf_printf(&path, "/api/v1/namespaces/%s/pods/%s/exec?container=%s&stdout=1%s%s",
                    config->space, call->pod, call->container, call->has_stdin ? "&stdin=1" : "",
                    call->has_terminal ? "&tty=1" : "&stderr=1"))
        return NULL;
    for (size_t i = 0; call->command[i]; i++) {
        autofree char *word = url_escape(call->command[i]);

        if (!word || !buf_printf(&path, "&command=%s", word))
            return NULL;
    }
    return buf_take(&path);
}

static bool connect_to(struct pod_exec *exec, const struct kube_config *config, struct err *err)
{
    autofree char *path = exec_path(config, &exec->call);
    autokubeanswer answer = {0};

    if (!path)
        return err_set(err, ERR_ENGINE_FAILED, "the command for the Pod is too long");
    if (!kube_client_open(config, &exec->call.stop, &exec->client, err) ||
        !kube_upgrade(exec->client, path, PROTOCOL, take_piece, exec, &answer, &exec->socket, err))
        return false;
    return exec->socket ||
           kube_refused(exec->client, &answer, "run a command in the Pod of the step", err);
}

bool pod_exec_is_allowed(struct kube_client *client, const struct kube_config *config,
                         const char *what, struct err *err)
{
    /* A WebSocket begins with GET; newer servers ask for the right to create as well. */
    static const char *const verbs[] = {"get", "create"};

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        const struct kube_right right = {verbs[i], "pods", "exec"};
        bool allowed;

        if (!kube_is_allowed(client, config->space, &right, &allowed, err))
            return false;
        if (allowed)
            continue;
        err_set(err, ERR_ENGINE_UNAVAILABLE,
                "the Kubernetes API does not let stepcell %s: '%s' of pods/exec is not allowed",
                what, verbs[i]);
        return err_hint(err, "it needs 'create' and 'get' of pods/exec in the namespace: "
                             "docs/kubernetes.md has the role");
    }
    return true;
}

bool pod_exec_open(const struct kube_config *config, const struct pod_exec_call *call,
                   struct pod_exec **out, struct err *err)
{
    autopodexec *exec = calloc(1, sizeof(*exec));

    if (!exec)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to run a command in a Pod");
    exec->call = *call;
    exec->text = BUF_INIT(STATUS_MAX);
    if (!connect_to(exec, config, err))
        return false;
    *out = TAKE_PTR(exec);
    return true;
}

void pod_exec_close(struct pod_exec *exec)
{
    if (!exec)
        return;
    websocket_close(exec->socket);
    kube_client_close(exec->client);
    buf_release(&exec->text);
    free(exec);
}

/* ---- while it runs ---- */

int pod_exec_fd(const struct pod_exec *exec)
{
    return websocket_fd(exec->socket);
}

short pod_exec_events(const struct pod_exec *exec)
{
    return websocket_events(exec->socket);
}

bool pod_exec_work(struct pod_exec *exec, struct err *err)
{
    bool ok = exec->ended || websocket_work(exec->socket, err);

    if (exec->ended)
        return true;
    if (ok && !websocket_is_closed(exec->socket))
        return true;
    if (ok)
        err_set(err, ERR_REGISTRY_UNREACHABLE, "the connection was closed before the end");
    return kube_unreachable(exec->client, err);
}

bool pod_exec_push(struct pod_exec *exec, struct err *err)
{
    return exec->ended || websocket_push(exec->socket, err) || kube_unreachable(exec->client, err);
}

static bool write_to(struct pod_exec *exec, enum pod_stream stream, const void *bytes, size_t len,
                     struct err *err)
{
    uint8_t message[1 + POD_EXEC_WRITE_MAX];

    message[0] = (uint8_t)stream;
    memcpy(message + 1, bytes, len);
    return websocket_send(exec->socket, message, 1 + len, err) ||
           kube_unreachable(exec->client, err);
}

bool pod_exec_may_write(const struct pod_exec *exec)
{
    return !exec->ended && websocket_may_send(exec->socket);
}

bool pod_exec_write(struct pod_exec *exec, const void *bytes, size_t len, struct err *err)
{
    return write_to(exec, POD_STDIN, bytes, len, err);
}

bool pod_exec_resize(struct pod_exec *exec, unsigned int columns, unsigned int rows,
                     struct err *err)
{
    char text[SIZE_TEXT_MAX];
    int len = snprintf(text, sizeof(text), "{\"Width\":%u,\"Height\":%u}", columns, rows);

    return write_to(exec, POD_SIZE, text, (size_t)len, err);
}

bool pod_exec_has_ended(const struct pod_exec *exec, int *status)
{
    if (exec->ended)
        *status = exec->status;
    return exec->ended;
}

bool pod_exec_wait(struct pod_exec *exec, int *status, struct err *err)
{
    while (!pod_exec_has_ended(exec, status)) {
        struct pollfd polled = {pod_exec_fd(exec), pod_exec_events(exec), 0};

        (void)poll(&polled, 1, TICK_MS);
        if (http_is_stopped(&exec->call.stop))
            return err_set(err, ERR_ENGINE_FAILED, "nobody needs the command any more");
        if (!pod_exec_work(exec, err))
            return false;
    }
    return true;
}
