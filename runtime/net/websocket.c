#include "runtime/net/websocket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/sha1.h"
#include "runtime/net/url.h"

#define KEY_SIZE       16
#define RECEIVE_SIZE   (64 << 10)
#define RECEIVES_MAX   16     /* before what waits to be sent has its turn */
#define UNACKED_MS     120000 /* that a peer may leave what was sent without a sign of life */
#define STATUS_DIGITS  3
#define STATUS_UPGRADE 101

struct websocket {
    struct http *http;
    struct ws_reader reader;
    bool (*take)(void *data, const struct ws_piece *piece, struct err *err);
    void *data;
    /* What is under way stays where it is: TLS wants to see the same bytes again. */
    uint8_t out[WS_HEAD_MAX + WEBSOCKET_SEND_MAX];
    size_t out_len, out_sent;
    /* The answer to a ping or to a close, which waits for its turn. */
    uint8_t reply[WS_CONTROL_MAX];
    size_t reply_len;
    enum ws_kind reply_kind; /* WS_CONTINUED: there is none */
    bool closed;
    bool mute; /* the server takes nothing more: what it has said before may still be read */
    uint8_t in[RECEIVE_SIZE];
};

static bool broken(struct err *err, const char *why)
{
    return err_set(err, ERR_REGISTRY_UNREACHABLE, "%s", why);
}

/* ---- the opening ---- */

ssize_t websocket_parse_head(const char *text, size_t len, struct http_response *response)
{
    static const char version[] = "HTTP/1.1 ";
    const char *end = memmem(text, len, "\r\n\r\n", 4), *line, *next;
    char digits[STATUS_DIGITS + 1] = "";
    uint64_t status;

    if (!end)
        return 0;
    if (memchr(text, '\0', (size_t)(end - text)) || strncmp(text, version, strlen(version)) != 0)
        return -1;
    memcpy(digits, text + strlen(version), STATUS_DIGITS);
    if (!num_parse(digits, 999, &status) || status < 100 ||
        !strchr(" \r", text[strlen(version) + STATUS_DIGITS]))
        return -1;
    response->status = (long)status;
    for (line = strstr(text, "\r\n"); line < end; line = next) {
        line += 2;
        next = strstr(line, "\r\n");
        if (!strv_take(&response->headers, strndup(line, (size_t)(next - line))))
            return -1;
    }
    return end + 4 - text;
}

static bool wait_for(struct http *http, short events, int64_t deadline, struct err *err)
{
    struct pollfd polled = {http_raw_fd(http), events, 0};
    int64_t left_ms = (deadline - clock_now()) / NS_PER_MS;

    if (left_ms <= 0)
        return broken(err, "no answer came in time");
    (void)poll(&polled, 1, left_ms < 1000 ? (int)left_ms : 1000);
    return true;
}

static bool send_all(struct http *http, const char *text, int64_t deadline, struct err *err)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = http_raw_send(http, text, len);

        if (n < 0 && errno != EAGAIN)
            return broken(err, "the connection broke");
        if (n < 0 && !wait_for(http, POLLOUT, deadline, err))
            return false;
        text += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return true;
}

/* More of the answer. */
static bool receive(struct http *http, struct buf *buf, int64_t deadline, struct err *err)
{
    char bytes[4096];

    for (;;) {
        ssize_t n = http_raw_receive(http, bytes, sizeof(bytes));

        if (n > 0)
            return buf_append(buf, bytes, (size_t)n) || broken(err, "the answer is too long");
        if (n == 0 || errno != EAGAIN)
            return broken(err, "the connection broke before an answer");
        if (!wait_for(http, POLLIN, deadline, err))
            return false;
    }
}

static char *make_key(void)
{
    uint8_t bytes[KEY_SIZE];

    return getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes)
               ? base64_encode(bytes, sizeof(bytes))
               : NULL;
}

static char *request_text(const struct http_request *request, const char *protocol, const char *key)
{
    autourl url = {0};
    autobuf text = BUF_INIT(URL_MAX + HTTP_HEADERS_MAX);
    const char *authority, *path;

    if (!key || !url_parse(request->url, NULL, &url) ||
        (request->authorization && strpbrk(request->authorization, "\r\n")))
        return NULL;
    authority = strstr(url.text, "://") + 3;
    path = strchr(authority, '/');
    if (!path ||
        !buf_printf(&text,
                    "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: stepcell/" STEPCELL_VERSION
                    "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n",
                    path, (int)(path - authority), authority, key, protocol) ||
        (request->authorization &&
         !buf_printf(&text, "Authorization: %s\r\n", request->authorization)) ||
        !buf_append_text(&text, "\r\n"))
        return NULL;
    return buf_take(&text);
}

/* The text of an answer that is no 101, as far as its length is told. */
static void take_body(struct http *http, struct buf *buf, size_t head, int64_t deadline,
                      struct http_response *response)
{
    size_t from = 0;
    const char *value = http_header(response, "Content-Length", &from);
    uint64_t len;
    struct err ignored;

    if (!value || !num_parse(value, HTTP_ERROR_BODY_MAX, &len))
        return;
    while (buf->len < head + len && receive(http, buf, deadline, &ignored)) {
    }
    response->body = BUF_INIT(HTTP_ERROR_BODY_MAX);
    (void)buf_append(&response->body, buf->data + head,
                     buf->len - head < len ? buf->len - head : len);
}

/* Who gives it is neither a cache nor a server of another protocol (RFC 6455, section 4.1). */
char *websocket_accept_of(const char *key)
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    autofree char *text = text_printf("%s%s", key, suffix);
    uint8_t sum[SHA1_SIZE];

    if (!text)
        return NULL;
    sha1_of(text, strlen(text), sum);
    return base64_encode(sum, sizeof(sum));
}

static bool is_upgraded(const struct http_response *response, const char *protocol, const char *key)
{
    autofree char *expected = websocket_accept_of(key);
    size_t upgrade_from = 0, protocol_from = 0, accept_from = 0;
    const char *upgrade = http_header(response, "Upgrade", &upgrade_from);
    const char *chosen = http_header(response, "Sec-WebSocket-Protocol", &protocol_from);
    const char *accepted = http_header(response, "Sec-WebSocket-Accept", &accept_from);

    return upgrade && strcasecmp(upgrade, "websocket") == 0 && chosen &&
           strcmp(chosen, protocol) == 0 && expected && accepted && strcmp(accepted, expected) == 0;
}

/* False without an answer. What came behind its head is the socket's. */
static bool ask(struct http *http, const struct http_request *request, const char *protocol,
                struct buf *buf, size_t *head, struct http_response *response, struct err *err)
{
    autofree char *key = make_key(), *text = request_text(request, protocol, key);
    ssize_t len = 0;

    if (!text)
        return broken(err, "the request for a WebSocket cannot be made");
    if (!send_all(http, text, request->deadline, err))
        return false;
    while (len == 0) {
        if (!receive(http, buf, request->deadline, err))
            return false;
        len = websocket_parse_head(buf->data, buf->len, response);
    }
    if (len < 0)
        return broken(err, "the answer is no HTTP");
    *head = (size_t)len;
    if (response->status != STATUS_UPGRADE)
        take_body(http, buf, *head, request->deadline, response);
    else if (!is_upgraded(response, protocol, key))
        return broken(err, "the server does not speak the protocol that it was asked for");
    return true;
}

static bool take_piece(void *data, const struct ws_piece *piece, struct err *err);

static struct websocket *make(struct http *http)
{
    struct websocket *socket = calloc(1, sizeof(*socket));
    const unsigned int unacked = UNACKED_MS;

    if (!socket)
        return NULL;
    socket->http = http;
    socket->reader = (struct ws_reader){.take = take_piece, .data = socket};
    (void)setsockopt(http_raw_fd(http), IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof(unacked));
    return socket;
}

bool websocket_open(struct http *http, const struct http_request *request, const char *protocol,
                    bool (*take)(void *data, const struct ws_piece *piece, struct err *err),
                    void *data, struct http_response *response, struct websocket **out,
                    struct err *err)
{
    const struct http_request connects = {
        .url = request->url, .deadline = request->deadline, .no_redirects = true, .connects = true};
    autobuf buf = BUF_INIT(HTTP_HEADERS_MAX + HTTP_ERROR_BODY_MAX);
    autoresponse found = {0};
    autowebsocket *socket = NULL;
    size_t head = 0;

    if (!http_send(http, &connects, &found, err) ||
        !ask(http, request, protocol, &buf, &head, &found, err))
        return false;
    if (found.status == STATUS_UPGRADE) {
        socket = make(http);
        if (!socket)
            return broken(err, "not enough memory for a WebSocket");
        socket->take = take;
        socket->data = data;
        if (!ws_reader_feed(&socket->reader, buf.data + head, buf.len - head, err))
            return false;
    }
    *response = found;
    found = (struct http_response){0};
    *out = TAKE_PTR(socket);
    return true;
}

void websocket_close(struct websocket *socket)
{
    free(socket);
}

/* ---- what is sent ---- */

static bool put(struct websocket *socket, enum ws_kind kind, const void *bytes, size_t len,
                struct err *err)
{
    uint8_t mask[WS_MASK_SIZE];

    if (getrandom(mask, sizeof(mask), 0) != (ssize_t)sizeof(mask))
        return broken(err, "there is no random number");
    socket->out_len = ws_write(kind, bytes, len, mask, socket->out);
    socket->out_sent = 0;
    return true;
}

static bool is_sending(const struct websocket *socket)
{
    return socket->out_sent < socket->out_len;
}

bool websocket_may_send(const struct websocket *socket)
{
    return !is_sending(socket) && socket->reply_kind == WS_CONTINUED && !socket->closed &&
           !socket->mute;
}

static bool flush(struct websocket *socket, struct err *err)
{
    for (;;) {
        while (is_sending(socket)) {
            ssize_t n = http_raw_send(socket->http, socket->out + socket->out_sent,
                                      socket->out_len - socket->out_sent);

            if (n < 0 && errno == EAGAIN)
                return true;
            if (n < 0) {
                socket->mute = true;
                socket->out_len = socket->out_sent = 0;
                break;
            }
            socket->out_sent += (size_t)n;
        }
        if (socket->mute)
            socket->reply_kind = WS_CONTINUED;
        if (socket->reply_kind == WS_CONTINUED)
            return true;
        if (!put(socket, socket->reply_kind, socket->reply, socket->reply_len, err))
            return false;
        socket->reply_kind = WS_CONTINUED;
    }
}

bool websocket_send(struct websocket *socket, const void *bytes, size_t len, struct err *err)
{
    if (!websocket_may_send(socket) || len > WEBSOCKET_SEND_MAX)
        return broken(err, "a message cannot be sent now");
    return put(socket, WS_BINARY, bytes, len, err) && flush(socket, err);
}

/* ---- what comes ---- */

static bool take_piece(void *data, const struct ws_piece *piece, struct err *err)
{
    struct websocket *socket = data;

    if (piece->kind == WS_PONG)
        return true;
    if (piece->kind == WS_PING || piece->kind == WS_CLOSE) {
        socket->closed = piece->kind == WS_CLOSE;
        socket->reply_kind = piece->kind == WS_PING ? WS_PONG : WS_CLOSE;
        /* The status that it closes with; of a reason nothing. */
        socket->reply_len = socket->closed && piece->len > 2 ? 2 : piece->len;
        memcpy(socket->reply, piece->bytes, socket->reply_len);
        return true;
    }
    return socket->take(socket->data, piece, err);
}

bool websocket_work(struct websocket *socket, struct err *err)
{
    for (int i = 0; i < RECEIVES_MAX && !socket->closed; i++) {
        ssize_t n = http_raw_receive(socket->http, socket->in, sizeof(socket->in));

        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return broken(err, "the connection broke");
        if (!ws_reader_feed(&socket->reader, socket->in, (size_t)n, err))
            return false;
    }
    /* Who has closed it need not read any more. */
    return flush(socket, err) || socket->closed;
}

bool websocket_push(struct websocket *socket, struct err *err)
{
    return flush(socket, err);
}

int websocket_fd(const struct websocket *socket)
{
    return http_raw_fd(socket->http);
}

short websocket_events(const struct websocket *socket)
{
    return is_sending(socket) || socket->reply_kind != WS_CONTINUED ? POLLIN | POLLOUT : POLLIN;
}

bool websocket_is_closed(const struct websocket *socket)
{
    return socket->closed;
}
