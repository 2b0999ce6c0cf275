#include "runtime/net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "runtime/net/proxy.h"

struct http {
    CURL *easy;
    struct http_settings settings;
    bool may_retry;
    char error[CURL_ERROR_SIZE];
};

/* One exchange: what libcurl's callbacks fill. */
struct exchange {
    struct http *http;
    const struct http_request *request;
    struct http_response response;
    size_t header_bytes;
    uint64_t body_bytes;
    int64_t last_byte; /* when the last one had been taken, or sent */
    int64_t deadline;  /* for all hops; INT64_MAX where only silence ends it */
    curl_off_t sent;
    bool begun;  /* the callback has seen the headers */
    bool failed; /* a callback has set *err */
    struct err *err;
};

struct http *http_new(const struct http_settings *settings)
{
    struct http *http = calloc(1, sizeof(*http));

    if (!http)
        return NULL;
    http->easy = curl_easy_init();
    if (!http->easy) {
        free(http);
        return NULL;
    }
    http->settings = *settings;
    if (http->settings.stall_ms == 0)
        http->settings.stall_ms = HTTP_STALL_TIMEOUT_MS;
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->easy);
    free(http);
}

void http_set_stall(struct http *http, unsigned int stall_ms)
{
    http->settings.stall_ms = stall_ms;
}

void http_tls_release(struct http_tls *tls)
{
    free(tls->authorities);
    free(tls->certificate);
    free(tls->key);
    *tls = (struct http_tls){0};
}

bool http_may_retry(const struct http *http)
{
    return http->may_retry;
}

void http_response_release(struct http_response *response)
{
    strv_release(&response->headers);
    buf_release(&response->body);
}

const char *http_header(const struct http_response *response, const char *name, size_t *from)
{
    size_t len = strlen(name);

    while (*from < response->headers.count) {
        const char *line = response->headers.items[(*from)++];

        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    }
    return NULL;
}

/* Ends the transfer: libcurl takes any other count than the one it gave as an error. */
static size_t fail(struct exchange *exchange)
{
    exchange->failed = true;
    return 0;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
    struct exchange *exchange = data;
    size_t len = size * count, text = len;

    exchange->last_byte = clock_now();
    exchange->header_bytes += len;
    if (exchange->header_bytes > HTTP_HEADERS_MAX) {
        err_set(exchange->err, ERR_REGISTRY_UNREACHABLE, "headers are larger than %d bytes",
                HTTP_HEADERS_MAX);
        return fail(exchange);
    }
    while (text && (bytes[text - 1] == '\r' || bytes[text - 1] == '\n'))
        text--;
    /* "100 Continue" and a proxy's answer come before the answer itself. */
    if (text >= 5 && strncmp(bytes, "HTTP/", 5) == 0)
        strv_release(&exchange->response.headers);
    else if (text && !strv_take(&exchange->response.headers, strndup(bytes, text)))
        return 0;
    return len;
}

static bool is_success(struct exchange *exchange)
{
    long status = 0;

    curl_easy_getinfo(exchange->http->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static bool begin(struct exchange *exchange)
{
    const struct http_request *request = exchange->request;

    if (exchange->begun || !request->begin)
        return true;
    exchange->begun = true;
    curl_easy_getinfo(exchange->http->easy, CURLINFO_RESPONSE_CODE, &exchange->response.status);
    if (request->begin(request->data, &exchange->response, exchange->err))
        return true;
    exchange->failed = true;
    return false;
}

/* A piece of a successful answer. */
static bool take_body(struct exchange *exchange, const char *bytes, size_t len)
{
    const struct http_request *request = exchange->request;

    if (!begin(exchange))
        return false;
    exchange->body_bytes += len;
    if (exchange->body_bytes > request->body_max) {
        err_set(exchange->err, ERR_IMAGE_CORRUPT, "the answer is larger than %llu bytes",
                (unsigned long long)request->body_max);
        exchange->failed = true;
        return false;
    }
    if (!request->body)
        return buf_append(&exchange->response.body, bytes, len);
    exchange->failed = !request->body(request->data, bytes, len, exchange->err);
    return !exchange->failed;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct exchange *exchange = data;
    struct buf *body = &exchange->response.body;
    size_t len = size * count, room;
    bool ok;

    if (is_success(exchange)) {
        ok = take_body(exchange, bytes, len);
    } else {
        room = HTTP_ERROR_BODY_MAX - body->len;
        /* The rest of an endless one is not worth reading. */
        ok = len <= room && buf_append(body, bytes, len);
    }
    exchange->last_byte = clock_now();
    return ok ? len : 0;
}

/* Called at least once a second, also while nothing comes. */
static int on_progress(void *data, curl_off_t total, curl_off_t now, curl_off_t upload_total,
                       curl_off_t upload_now)
{
    struct exchange *exchange = data;
    int64_t stall = exchange->http->settings.stall_ms * NS_PER_MS;

    (void)total, (void)now, (void)upload_total;
    if (upload_now != exchange->sent) {
        exchange->sent = upload_now;
        exchange->last_byte = clock_now();
    }
    return clock_now() - exchange->last_byte > stall ||
           http_is_stopped(&exchange->http->settings.stop);
}

static size_t on_upload(char *bytes, size_t size, size_t count, void *data)
{
    struct exchange *exchange = data;
    size_t len;

    if (exchange->request->upload(exchange->request->data, bytes, size * count, &len,
                                  exchange->err))
        return len;
    exchange->failed = true;
    return CURL_READFUNC_ABORT;
}

static bool is_head(const struct http_request *request)
{
    return request->method && strcmp(request->method, "HEAD") == 0;
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer;

    /* A value from outside must not begin a header of its own. */
    if (strpbrk(line, "\r\n"))
        return false;
    longer = curl_slist_append(*list, line);
    if (!longer)
        return false;
    *list = longer;
    return true;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    autofree char *line = value ? text_printf("%s: %s", name, value) : NULL;

    return !value || (line && add_line(list, line));
}

static void cleanup_slist(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

/* A small answer; all else takes as long as bytes come. */
static bool is_collected(const struct http_request *request)
{
    return !request->body && !request->upload;
}

/* Gives this hop what is left of the time. */
static bool set_timeout(struct exchange *exchange)
{
    int64_t left_ms = (exchange->deadline - clock_now()) / NS_PER_MS;

    if (left_ms <= 0)
        return err_set(exchange->err, ERR_REGISTRY_UNREACHABLE, "no whole answer came in time");
    if (is_collected(exchange->request))
        curl_easy_setopt(exchange->http->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    return true;
}

/* What is sent, and how. */
static void set_content(struct exchange *exchange)
{
    const struct http_request *request = exchange->request;
    CURL *easy = exchange->http->easy;

    if (request->form)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->form);
    if (request->content) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->content_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->content);
    }
    if (request->upload) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload_size);
    }
    /* libcurl cannot rewind it by itself: how much of it arrived is to be asked first. */
    if (request->upload && request->rewind)
        request->rewind(request->data);
    if (is_head(request))
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (request->method)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

/* Of a connection that is not libcurl's any more: one that is dead has to be noticed. */
static void set_connection(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)HTTP_KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)HTTP_KEEPALIVE_S);
}

static void set_options(struct exchange *exchange, const struct url *url, const char *proxy,
                        const struct curl_slist *headers)
{
    CURL *easy = exchange->http->easy;

    curl_easy_reset(easy); /* keeps connections */
    exchange->http->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->http->error);
    curl_easy_setopt(easy, CURLOPT_URL, url->text);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, url->https ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "stepcell/" STEPCELL_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, exchange);
    if (!is_collected(exchange->request))
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HTTP_RECEIVE_MAX);
    if (exchange->request->connects)
        set_connection(easy);
    set_content(exchange);
    if (exchange->http->settings.unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, exchange->http->settings.unix_socket);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); /* decided already */
}

static void use_certificates(CURL *easy, const struct http_tls *tls)
{
    if (tls->authorities) {
        struct curl_blob blob = {tls->authorities, strlen(tls->authorities), CURL_BLOB_COPY};

        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (tls->certificate) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
        /* A key with a passphrase is an error: nobody is asked at a terminal. */
        curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "");
    }
}

/* libcurl compares certificates as well before it uses a connection again. */
static bool set_certificates(struct exchange *exchange, const struct url *url)
{
    const struct http_settings *settings = &exchange->http->settings;
    CURL *easy = exchange->http->easy;
    autotls tls = {0};

    if (!url->https)
        return true;
    if (settings->own_tls) {
        if (settings->own_tls->authorities) {
            curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
            curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        }
        use_certificates(easy, settings->own_tls);
        return true;
    }
    if (!settings->tls)
        return true;
    if (!settings->tls(url, &tls, exchange->err))
        return false;
    use_certificates(easy, &tls);
    return true;
}

/* Says why there was no answer, and whether another try may bring one. */
static bool broken(struct exchange *exchange, const struct url *url, CURLcode code)
{
    struct http *http = exchange->http;
    struct err *err = exchange->err;
    long proxy_status = 0, error = 0;

    curl_easy_getinfo(http->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &error);
    if (http_is_stopped(&http->settings.stop))
        return err_set(err, ERR_ENGINE_FAILED, "nobody needs the answer any more");
    if (code == CURLE_ABORTED_BY_CALLBACK)
        err_set(err, ERR_REGISTRY_UNREACHABLE, "no byte came for %g s",
                http->settings.stall_ms / 1000.0);
    else if (code == CURLE_SEND_FAIL_REWIND) /* what libcurl says is of its own insides */
        err_set(err, ERR_REGISTRY_UNREACHABLE, "the connection broke while a blob was sent");
    else if (http->settings.unix_socket && error) /* libcurl would name host and port of the URL */
        err_set(err, ERR_REGISTRY_UNREACHABLE, "%s", strerror((int)error));
    else
        err_set(err, ERR_REGISTRY_UNREACHABLE, "%s",
                http->error[0] ? http->error : curl_easy_strerror(code));
    if (proxy_status >= 400 && proxy_status < 500)
        return err_hint(err, "the proxy of the environment refuses; check the proxy variables");
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_hint(err,
                        "put the certificate of its authority, as 'ca.crt', into "
                        "'/etc/containers/certs.d/%s:%u'",
                        url->host, url->port);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_PARTIAL_FILE:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        http->may_retry = true;
        return false;
    default:
        return false;
    }
}

static bool set_headers(const struct exchange *exchange, bool trusted, struct curl_slist **headers)
{
    const struct http_request *request = exchange->request;
    char range[64];

    snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)request->offset);
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        if (!add_line(headers, request->headers[i]))
            return false;
    }
    /* "Expect:" is none: a server that knows nothing of it would be waited for a second. */
    return ((!request->content && !request->upload) || add_line(headers, "Expect:")) &&
           add_header(headers, "Content-Type", request->content_type) &&
           add_header(headers, "Accept", request->accept) &&
           add_header(headers, "Range", request->offset ? range : NULL) &&
           (!trusted || add_header(headers, "Authorization", request->authorization));
}

static const char *choose_proxy(const struct http_settings *settings, const struct url *url)
{
    bool direct = settings->unix_socket || (settings->proxies_only_tls && !url->https);

    return direct ? NULL : proxy_for(url);
}

static bool perform(struct exchange *exchange, const struct url *url, bool trusted)
{
    const struct http_request *request = exchange->request;
    CLEANUP(cleanup_slist) struct curl_slist *headers = NULL;
    const char *proxy = choose_proxy(&exchange->http->settings, url);
    CURLcode code;

    exchange->header_bytes = 0;
    exchange->sent = 0;
    exchange->last_byte = clock_now();
    exchange->response.redirected = !trusted;
    strv_release(&exchange->response.headers);
    buf_release(&exchange->response.body);
    exchange->response.body.max =
        request->body ? HTTP_ERROR_BODY_MAX : (size_t)request->body_max + HTTP_ERROR_BODY_MAX;
    if (!set_headers(exchange, trusted, &headers))
        return err_set(exchange->err, ERR_REGISTRY_UNREACHABLE,
                       "a header of the request is not valid");
    if (proxy && !url_is_proxy(proxy)) {
        err_set(exchange->err, ERR_REGISTRY_UNREACHABLE, "the proxy for '%s' is no URL", url->host);
        return err_hint(exchange->err, "correct the proxy variables: http://HOST:PORT");
    }
    set_options(exchange, url, proxy, headers);
    if (!set_timeout(exchange) || !set_certificates(exchange, url))
        return false;
    code = curl_easy_perform(exchange->http->easy);
    if (exchange->failed)
        return false;
    curl_easy_getinfo(exchange->http->easy, CURLINFO_RESPONSE_CODE, &exchange->response.status);
    /* What is no success is known by its status; its text may be cut. */
    if (code == CURLE_WRITE_ERROR && !is_success(exchange))
        return true;
    return code == CURLE_OK ? !is_success(exchange) || begin(exchange)
                            : broken(exchange, url, code);
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where the answer sends us; `url` becomes it. */
static bool follow(const struct http_response *response, struct url *url, struct err *err)
{
    size_t from = 0;
    const char *location = http_header(response, "Location", &from);
    struct url next;

    if (!location)
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "a redirect names no place");
    if (!url_parse(location, url, &next))
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "a redirect leads to '%.200s'", location);
    if (url->https && !next.https) {
        url_release(&next);
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "a redirect leads from https to http");
    }
    url_release(url);
    *url = next;
    return true;
}

static bool exchange_send(struct exchange *exchange, struct err *err)
{
    const struct http_request *request = exchange->request;
    autourl first = {0}, url = {0};

    if (!url_parse(request->url, NULL, &first) || !url_parse(request->url, NULL, &url))
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "'%s' is not a URL", request->url);
    for (int hops = 0; hops <= HTTP_REDIRECTS_MAX; hops++) {
        if (!perform(exchange, &url, url_same_origin(&first, &url)))
            return false;
        if (request->no_redirects || request->form || request->content || request->upload ||
            (request->method && !is_head(request)) || !is_redirect(exchange->response.status))
            return true;
        if (!follow(&exchange->response, &url, err))
            return false;
    }
    return err_set(err, ERR_REGISTRY_UNREACHABLE, "more than %d redirects", HTTP_REDIRECTS_MAX);
}

bool http_send(struct http *http, const struct http_request *request,
               struct http_response *response, struct err *err)
{
    struct exchange exchange = {
        .http = http, .request = request, .err = err, .deadline = request->deadline};

    if (!is_collected(request))
        exchange.deadline = INT64_MAX;
    else if (!exchange.deadline)
        exchange.deadline = clock_now() + HTTP_ANSWER_TIMEOUT_NS;
    http->may_retry = false;
    if (!exchange_send(&exchange, err)) {
        http_response_release(&exchange.response);
        return false;
    }
    *response = exchange.response;
    return true;
}

/* What libcurl says of a connection that only connects, as errno. */
static ssize_t raw_result(CURLcode code, size_t len)
{
    if (code == CURLE_OK)
        return (ssize_t)len;
    errno = code == CURLE_AGAIN ? EAGAIN : EPIPE;
    return -1;
}

ssize_t http_raw_send(struct http *http, const void *bytes, size_t len)
{
    size_t sent = 0;
    CURLcode code = curl_easy_send(http->easy, bytes, len, &sent);

    return raw_result(code, sent);
}

ssize_t http_raw_receive(struct http *http, void *bytes, size_t size)
{
    size_t received = 0;
    CURLcode code = curl_easy_recv(http->easy, bytes, size, &received);

    return raw_result(code, received);
}

int http_raw_fd(const struct http *http)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    curl_easy_getinfo(http->easy, CURLINFO_ACTIVESOCKET, &fd);
    return fd;
}
