/*
 * HTTP: the one door to libcurl.
 *
 * A client is made once and used for any number of requests, one after the other; connections are
 * kept. Redirects are followed by hand: five at most, http and https only, never from https down to
 * http, and what is secret goes to the first origin alone. No cookies, no netrc. The proxies of the
 * environment are used, but for loopback hosts.
 */
#ifndef STEPCELL_RUNTIME_NET_HTTP_H
#define STEPCELL_RUNTIME_NET_HTTP_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_REDIRECTS_MAX     5
#define HTTP_HEADERS_MAX       (256 << 10) /* bytes of all headers of one answer */
#define HTTP_ERROR_BODY_MAX    (64 << 10)  /* bytes of an answer that is no success */
#define HTTP_CONNECT_TIMEOUT_S 15
#define HTTP_STALL_TIMEOUT_S   30 /* slower than HTTP_STALL_BYTES a second for so long is dead */
#define HTTP_STALL_BYTES       1024

struct http;

struct http_request {
    const char *url;
    const char *accept;        /* value of Accept, or NULL */
    const char *authorization; /* value of Authorization, or NULL; only for the origin of `url` */
    bool no_redirects;         /* a redirect is the answer */
    uint64_t body_max;         /* bytes of a successful answer; more is an error */
    /* Takes the body of a successful answer piece by piece; NULL collects it in the response. */
    bool (*body)(void *data, const void *bytes, size_t len, struct err *err);
    void *data;
};

struct http_response {
    long status;
    struct strv headers; /* "Name: value", of the last answer */
    struct buf body;     /* of a success without callback, and the start of any other */
};

/* NULL without memory. */
struct http *http_new(void);
void http_free(struct http *http);

/*
 * GETs. True as soon as the server answered, whatever the status. An error of the connection, of
 * TLS or a time-out is registry.unreachable; a body that is too long is image.corrupt; the
 * callback's errors are handed on.
 */
bool http_get(struct http *http, const struct http_request *request, struct http_response *response,
              struct err *err);
void http_response_release(struct http_response *response);

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
