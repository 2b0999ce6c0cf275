/*
 * A WebSocket (RFC 6455) of a client, on a connection that the door to libcurl has made.
 *
 * Nothing waits but the opening: whoever has one polls websocket_fd for websocket_events, and calls
 * websocket_work. Pings are answered here. A connection that ends without the server's word that it
 * closes is an error.
 */
#ifndef STEPCELL_RUNTIME_NET_WEBSOCKET_H
#define STEPCELL_RUNTIME_NET_WEBSOCKET_H

#include "runtime/net/http.h"
#include "runtime/net/ws_frames.h"

#define WEBSOCKET_SEND_MAX (32 << 10) /* bytes of a message that is sent */
#define WEBSOCKET_OPEN_MS  60000      /* for the answer of a server */

struct websocket;

/*
 * GETs request->url, of which url, authorization, headers and deadline count, with the protocol
 * `protocol`. True with whatever status the server answers; *socket is NULL unless it is 101. Else
 * the response has what it says, where that is not longer than HTTP_ERROR_BODY_MAX. `http` is the
 * socket's as long as it lives, and the caller's to free after it; `take` gets what comes.
 */
bool websocket_open(struct http *http, const struct http_request *request, const char *protocol,
                    bool (*take)(void *data, const struct ws_piece *piece, struct err *err),
                    void *data, struct http_response *response, struct websocket **socket,
                    struct err *err);
void websocket_close(struct websocket *socket);

int websocket_fd(const struct websocket *socket);
short websocket_events(const struct websocket *socket);

/* Whether a message can be sent: the one before is under way. */
bool websocket_may_send(const struct websocket *socket);

/* Takes a whole message of WEBSOCKET_SEND_MAX bytes at the most, if it may be sent. */
bool websocket_send(struct websocket *socket, const void *bytes, size_t len, struct err *err);

/* Sends and takes what there is. False when the connection is broken, or as `take` says. */
bool websocket_work(struct websocket *socket, struct err *err);

/* Sends what there is, and takes nothing: for who has no room for what comes. */
bool websocket_push(struct websocket *socket, struct err *err);

/* Whether the server has closed it. */
bool websocket_is_closed(const struct websocket *socket);

/*
 * The head of an answer: status line and headers, as far as its end (pure). The bytes of it, 0 when
 * its end has not come, -1 when it is none.
 */
ssize_t websocket_parse_head(const char *text, size_t len, struct http_response *response);

/* The Sec-WebSocket-Accept that a key wants (RFC 6455, 4.2.2; pure). Owned by the caller; NULL
 * without memory. */
char *websocket_accept_of(const char *key);

static inline void cleanup_websocket(struct websocket **socket)
{
    websocket_close(*socket);
}
#define autowebsocket CLEANUP(cleanup_websocket) struct websocket

#endif
