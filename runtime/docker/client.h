/*
 * A connection to an engine's daemon: the Engine API of Docker, which Podman speaks too.
 *
 * client_open asks the daemon for its version; every call after that is of the newest version that
 * both sides know. One call after the other; everything that a daemon answers has a limit. A daemon
 * that cannot be reached, does not answer or answers nonsense is engine.unavailable or
 * engine.failed, and the message names the engine and its host.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_CLIENT_H
#define STEPCELL_RUNTIME_DOCKER_CLIENT_H

#include "base/buf.h"
#include "base/json.h"
#include "runtime/docker/answers.h"
#include "runtime/docker/endpoint.h"

#define CLIENT_ANSWER_MAX (8 << 20) /* bytes of one answer */
#define CLIENT_STALL_MS   120000    /* that a daemon that is asked for what it knows is given */

struct client;

/* Both are borrowed for the life of the client. A daemon may say nothing for `stall_ms`. */
bool client_open(const char *engine, const struct endpoint *endpoint, unsigned int stall_ms,
                 struct client **client, struct err *err);
void client_close(struct client *client);

/* Whether nobody else on the way can read what is sent: a socket, TLS, or this host alone. */
bool client_is_private(const struct client *client);

struct client_call {
    const char *method;
    const char *path;       /* behind the version, with its query: "/images/json?all=1" */
    const json_t *content;  /* or NULL */
    const char *auth;       /* the value of X-Registry-Auth, or NULL */
    const char *registries; /* the value of X-Registry-Config, or NULL */
    /* Takes a successful answer piece by piece; NULL: it is collected. */
    bool (*body)(void *data, const void *bytes, size_t len, struct err *err);
    /* Gives a body of `upload_size` bytes, see http.h; or NULL. */
    bool (*upload)(void *data, void *bytes, size_t size, size_t *len, struct err *err);
    uint64_t upload_size;
    void *data;
};

struct client_answer {
    long status;
    json_t *json;    /* NULL when the answer is none */
    struct buf text; /* the answer as it came */
};

/* True with any status that a daemon answered; false when there was no answer. */
bool client_call(struct client *client, const struct client_call *call,
                 struct client_answer *answer, struct err *err);
void client_answer_release(struct client_answer *answer);

/* The error of an answer that is no success: `what` was tried, then the daemon's own message. */
bool client_refused(const struct client *client, const struct client_answer *answer,
                    enum err_code code, const char *what, struct err *err);

/* A part of a path or a value of a query, percent-encoded; owned by the caller. */
char *client_escape(const char *text);

static inline void cleanup_client(struct client **client)
{
    client_close(*client);
}
#define autoclient CLEANUP(cleanup_client) struct client
#define autoanswer CLEANUP(client_answer_release) struct client_answer

#endif
