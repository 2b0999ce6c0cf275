/*
 * A registry as one image sees it: the endpoints that may have it (mirrors, then the registry
 * itself), challenges, tokens, retries. Above it are the source (registry.c), tags and referrers.
 *
 * Any number of threads may send requests at once; each borrows an HTTP client, and one of them at
 * a time answers a challenge for all.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_REGISTRY_CLIENT_H
#define STEPCELL_RUNTIME_IMAGE_REGISTRY_CLIENT_H

#include <pthread.h>

#include "runtime/image/credentials.h"
#include "runtime/image/reference.h"
#include "runtime/image/registry_config.h"
#include "runtime/net/challenge.h"
#include "runtime/net/http.h"

#define REGISTRY_TRIES        5          /* of one request */
#define REGISTRY_MIRROR_TRIES 2          /* before the next endpoint is asked */
#define REGISTRY_PAUSE_MS     200        /* before the second try, doubled for each further one */
#define REGISTRY_PAUSE_MAX_MS 60000      /* of Retry-After; asked to wait longer, a request fails */
#define REGISTRY_IDLE_MAX     16         /* HTTP clients that are kept */
#define REGISTRY_TOKEN_MAX    (64 << 10) /* bytes of a token server's answer */

struct endpoint {
    char *host; /* as references and credentials name it: "docker.io", "127.0.0.1:5000" */
    char *path; /* of the repository there */
    char *base; /* "https://HOST/v2/PATH" */
    bool mirror;
    bool resolve;  /* tags may be asked of it */
    bool insecure; /* plain HTTP */
    /* Under the lock of challenges. */
    bool looked_up; /* the credentials are known */
    struct credentials credentials;
    char *authorization;     /* what the endpoint is offered, or NULL */
    unsigned int generation; /* of `authorization` */
    /* Written once, by any thread. */
    bool broken; /* a mirror that is not there, or gave a wrong blob */
    bool gave;   /* bytes of the last blob, of whichever thread */
};

struct registry_client {
    const struct reference *reference; /* borrowed */
    struct registry_config config;
    bool pushes;           /* tokens are asked for with the right to push */
    bool deletes;          /* and to delete */
    unsigned int stall_ms; /* without a byte, unless a configuration says otherwise; or 0 */
    struct http_stop stop; /* before the first request */
    struct endpoint endpoints[REGISTRY_MIRRORS_MAX + 1];
    size_t endpoint_count; /* the last one is the registry itself */
    pthread_mutex_t challenge_lock, idle_lock;
    struct http *idle[REGISTRY_IDLE_MAX];
    size_t idle_count;
};

bool registry_client_init(struct registry_client *client, const struct reference *reference,
                          struct err *err);
void registry_client_release(struct registry_client *client);

/*
 * In a copy of the process: connections are the original's, and are not even closed here, since
 * that would end them. Endpoints, credentials and tokens stay.
 */
void registry_client_copied(struct registry_client *client);

/* The registry itself. */
struct endpoint *registry_primary(struct registry_client *client);

enum registry_outcome {
    REGISTRY_DONE,
    REGISTRY_AGAIN, /* it failed in a way that another try may mend */
    REGISTRY_FAILED
};

/* What is left of a request's tries. */
struct registry_tries {
    int used;
    int64_t since;    /* by clock_now; HTTP_ANSWER_TIMEOUT_S later there are no more. 0: no end */
    int64_t deadline; /* of the try that goes on, with its redirects and the token that it needs */
    long refused;     /* the status, of the registry or its token server, that err tells of; or 0 */
    bool has_after;
    uint64_t after_ms; /* what the last answer asked to wait */
};

/*
 * One try, with whatever challenge there is answered: done when the status is 200, or 206 for a
 * part, or any success of a request with a method. Otherwise err is set, and response->status and
 * the beginning of the body too if it tells of an answer, and not of why a challenge cannot be met;
 * nothing else of it is kept.
 */
enum registry_outcome registry_try(struct registry_client *client, struct endpoint *endpoint,
                                   struct http_request *request, struct http_response *response,
                                   struct registry_tries *tries, struct err *err);

/* Waits before the next try; false when there is none, and err stays what it was. */
bool registry_wait(const struct registry_client *client, struct registry_tries *tries,
                   const struct endpoint *endpoint, struct err *err);

/* registry_try as often as it may help. */
bool registry_get(struct registry_client *client, struct endpoint *endpoint,
                  struct http_request *request, struct http_response *response, struct err *err);

/* ---- between the client and registry_token.c ---- */

/*
 * Answers the challenges of a 401 that was sent to `endpoint`: sets its authorization. Called with
 * the lock of challenges.
 */
enum registry_outcome registry_authorize(struct registry_client *client, struct endpoint *endpoint,
                                         const struct http_response *response,
                                         struct registry_tries *tries, struct err *err);

struct http *registry_borrow(struct registry_client *client, struct err *err);
void registry_return(struct registry_client *client, struct http *http);

/* The error of a status that is no success, and whether another try may bring another. */
enum registry_outcome registry_refused(const struct registry_client *client,
                                       const struct endpoint *endpoint,
                                       const struct http_response *response,
                                       struct registry_tries *tries, struct err *err);

/* Completes the error of a request that got no answer. */
void registry_unanswered(const struct registry_client *client, const struct endpoint *endpoint,
                         struct err *err);

#endif
