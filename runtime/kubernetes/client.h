/*
 * A connection to the API server of a cluster.
 *
 * One call after the other; each thread has a client of its own. Whatever the server answers has a
 * limit. One that cannot be reached is engine.unavailable, and one that refuses is engine.failed or
 * what its status means; the message names the server.
 *
 * Calls that change nothing, and those that may be repeated, are tried again for KUBE_PATIENCE_MS
 * while the server is started again or asks to wait.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_CLIENT_H
#define STEPCELL_RUNTIME_KUBERNETES_CLIENT_H

#include "base/buf.h"
#include "base/json.h"
#include "runtime/kubernetes/kubeconfig.h"
#include "runtime/net/websocket.h"

#define KUBE_ANSWER_MAX  (8 << 20) /* bytes of one answer */
#define KUBE_ANSWER_MS   60000     /* that one may take */
#define KUBE_STALL_MS    30000     /* that a server may say nothing to a call */
#define KUBE_PATIENCE_MS 120000    /* that a server may be away */
#define KUBE_MESSAGE_MAX 800       /* bytes of a server's message that are handed on */

struct kube_client;

/* `config` is borrowed for the life of the client; `stop` is asked about once a second. */
bool kube_client_open(const struct kube_config *config, const struct http_stop *stop,
                      struct kube_client **client, struct err *err);
void kube_client_close(struct kube_client *client);

/* `hears` is told each time a call is about to be tried again, and why. */
void kube_client_on_retry(struct kube_client *client,
                          void (*hears)(void *data, const struct err *why), void *data);

struct kube_call {
    const char *method; /* NULL: GET */
    const char *path;   /* behind the server, with its query */
    const json_t *content;
    const char *content_type; /* NULL: application/json */
    const char *accept;       /* NULL: application/json */
    /* Takes a successful answer piece by piece, for as long as the server likes; NULL: it is
     * collected. */
    bool (*body)(void *data, const void *bytes, size_t len, struct err *err);
    void *data;
    unsigned int stall_ms; /* with `body`: that the server may say nothing; then it ends */
    bool once;             /* not again when the answer was lost */
};

struct kube_answer {
    long status;
    json_t *json;    /* NULL when the answer is none */
    struct buf text; /* the answer as it came */
};

/* True with any status that a server answered; false when there was no answer. */
bool kube_call(struct kube_client *client, const struct kube_call *call, struct kube_answer *answer,
               struct err *err);
void kube_answer_release(struct kube_answer *answer);

/*
 * GETs call->path as a WebSocket with the protocol `protocol` (websocket.h). True with any status;
 * *socket is NULL unless the server has opened it, and then the client is for nothing else, and has
 * to live as long. `take` gets what comes. Tried again while nothing has been asked for.
 */
bool kube_upgrade(struct kube_client *client, const char *path, const char *protocol,
                  bool (*take)(void *data, const struct ws_piece *piece, struct err *err),
                  void *data, struct kube_answer *answer, struct websocket **socket,
                  struct err *err);

/* Makes of an error of the connection one that names the server. Returns false. */
bool kube_unreachable(const struct kube_client *client, struct err *err);

/*
 * The error of an answer that is no success: `what` was tried. The code and the fix are by the
 * server's status, the detail is its own message.
 */
bool kube_refused(const struct kube_client *client, const struct kube_answer *answer,
                  const char *what, struct err *err);

/* "message" of a Status, without control characters; "" when there is none. */
void kube_status_message(const json_t *status, char message[KUBE_MESSAGE_MAX]);

/* Whether a server means that it will answer later, and when; pure. */
bool kube_may_retry(long status);

static inline void cleanup_kube_client(struct kube_client **client)
{
    kube_client_close(*client);
}
#define autokubeclient CLEANUP(cleanup_kube_client) struct kube_client
#define autokubeanswer CLEANUP(kube_answer_release) struct kube_answer

#endif
