/*
 * HTTP: the one door to libcurl.
 *
 * A client is made once and used for any number of requests, one after the other; connections are
 * kept, HTTP/2 is spoken where a server offers it over TLS. Clients share nothing: each thread may
 * have its own. Redirects are followed by hand: five at most, http and https only, never from https
 * down to http, and what is secret goes to the first origin alone. No cookies, no netrc. Proxies
 * are those of the environment (proxy.h), if the settings allow; none for a client that speaks to a
 * unix socket.
 */
#ifndef STEPCELL_RUNTIME_NET_HTTP_H
#define STEPCELL_RUNTIME_NET_HTTP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/net/url.h"

#define HTTP_RECEIVE_MAX       (256 << 10) /* bytes of a body that are received at once */
#define HTTP_REDIRECTS_MAX     5
#define HTTP_HEADERS_MAX       (256 << 10) /* bytes of all headers of one answer */
#define HTTP_ERROR_BODY_MAX    (64 << 10)  /* bytes of an answer that is no success */
#define HTTP_CONNECT_TIMEOUT_S 15
#define HTTP_STALL_TIMEOUT_MS  30000 /* without a byte either way for so long, it is dead */
#define HTTP_KEEPALIVE_S       30    /* between two looks at whether a silent peer is there */
#define HTTP_ANSWER_TIMEOUT_S  600   /* for an answer that is collected, redirects and all */
#define HTTP_ANSWER_TIMEOUT_NS (HTTP_ANSWER_TIMEOUT_S * 1000 * NS_PER_MS)

struct http;

/* Certificates for one origin: texts in PEM, paths of files. All may be NULL. */
struct http_tls {
    char *authorities; /* certificates of authorities, besides the system's own */
    char *certificate; /* path of the client's certificate */
    char *key;         /* and of its key */
};

void http_tls_release(struct http_tls *tls);
#define autotls CLEANUP(http_tls_release) struct http_tls

/* Asked about once a second whether an exchange has become useless; `stopped` may be NULL. */
struct http_stop {
    bool (*stopped)(void *data);
    void *data;
};

static inline bool http_is_stopped(const struct http_stop *stop)
{
    return stop->stopped && stop->stopped(stop->data);
}

/* For `stopped`: `data` is the int64_t of clock_now() at which it is too late. */
static inline bool http_is_late(void *data)
{
    return clock_now() > *(const int64_t *)data;
}

struct http_settings {
    unsigned int stall_ms; /* 0 stands for HTTP_STALL_TIMEOUT_MS */
    /* Finds the certificates for the origin of an https URL; asked for each hop. May be NULL. */
    bool (*tls)(const struct url *url, struct http_tls *tls, struct err *err);
    /* Instead of `tls`, for every origin: where it has authorities, they alone count, and not the
     * system's. Borrowed for the life of the client. */
    const struct http_tls *own_tls;
    struct http_stop stop;
    /* Where every connection goes, whatever the URL names; NULL: to the host of the URL. Borrowed
     * for the life of the client. */
    const char *unix_socket;
    bool proxies_only_tls; /* http:// goes directly: a proxy could answer whatever it likes */
};

struct http_response {
    long status;
    bool redirected;     /* the answer is another origin's than that of the URL */
    struct strv headers; /* "Name: value", of the last answer */
    struct buf body;     /* of a success without callback, and the start of any other */
};

struct http_request {
    const char *url;
    const char *accept;        /* value of Accept, or NULL */
    const char *authorization; /* value of Authorization, or NULL; only for the origin of `url` */
    const char *form;          /* a form to POST, or NULL; redirects of a POST are never followed */
    uint64_t offset;           /* asks for the bytes from here on, unless 0 */
    bool no_redirects;         /* a redirect is the answer */
    uint64_t body_max;         /* bytes of a successful answer; more is an error */
    /* Of an answer that is collected, by clock_now; 0: HTTP_ANSWER_TIMEOUT_S from now. */
    int64_t deadline;
    /* Takes the body of a successful answer piece by piece; NULL collects it in the response.
     * `begin` comes once before it, also when it is empty, and sees status and headers. */
    bool (*begin)(void *data, const struct http_response *response, struct err *err);
    bool (*body)(void *data, const void *bytes, size_t len, struct err *err);
    void *data;
    /* Instead of a form anything else to POST, not copied; NULL for none. */
    const void *content;
    size_t content_len;
    const char *content_type;
    /* Instead of all these a body of `upload_size` bytes, piece by piece: at most `size` bytes into
     * `bytes`, how many into *len. With `method`. */
    bool (*upload)(void *data, void *bytes, size_t size, size_t *len, struct err *err);
    uint64_t upload_size;
    /* Says that the body is sent from its first byte, each time; NULL: it can be sent once only. */
    void (*rewind)(void *data);
    /* Instead of GET, or of POST where there is something to POST; or NULL. Redirects are followed
     * for HEAD, and not for any other that is named here. */
    const char *method;
    /* Further headers, each "Name: value", ended by NULL, for whoever is asked; or NULL. */
    const char *const *headers;
    /* Asks for nothing: the connection is the caller's, see below. With no_redirects. */
    bool connects;
};

/* `settings` is copied. NULL without memory. */
struct http *http_new(const struct http_settings *settings);
void http_free(struct http *http);

/* Instead of the settings' stall_ms, from the next request on. */
void http_set_stall(struct http *http, unsigned int stall_ms);

/*
 * GETs, POSTs or whatever `method` says. True as soon as the server answered, whatever the status.
 * An error of the connection, of TLS or a time-out is registry.unreachable; a body that is too long
 * is image.corrupt; the callbacks' errors are handed on.
 */
bool http_send(struct http *http, const struct http_request *request,
               struct http_response *response, struct err *err);
void http_response_release(struct http_response *response);

/*
 * After a request that only `connects`, the bytes of its connection, TLS and all; the client is for
 * nothing else then. Neither waits. Sending gives how many bytes were taken, or -1, with errno
 * EAGAIN where the same bytes have to be sent again once the descriptor is ready; receiving 0 when
 * the peer has ended the connection, or -1, with EAGAIN where nothing has come.
 */
ssize_t http_raw_send(struct http *http, const void *bytes, size_t len);
ssize_t http_raw_receive(struct http *http, void *bytes, size_t size);
int http_raw_fd(const struct http *http);

/* Whether what failed last was a connection that may work the next time. */
bool http_may_retry(const struct http *http);

/* The value of the next header `name` from index *from on, which moves behind it; NULL at the end.
 */
const char *http_header(const struct http_response *response, const char *name, size_t *from);

static inline void cleanup_http(struct http **http)
{
    http_free(*http);
}
#define autohttp     CLEANUP(cleanup_http) struct http
#define autoresponse CLEANUP(http_response_release) struct http_response

#endif
