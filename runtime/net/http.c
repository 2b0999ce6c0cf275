#include "runtime/net/http.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "runtime/net/url.h"

struct http {
    CURL *easy;
    char error[CURL_ERROR_SIZE];
};

/* One exchange: what libcurl's callbacks fill. */
struct exchange {
    struct http *http;
    const struct http_request *request;
    struct http_response response;
    size_t header_bytes;
    uint64_t body_bytes;
    bool failed; /* a callback has set *err */
    struct err *err;
};

struct http *http_new(void)
{
    struct http *http = calloc(1, sizeof(*http));

    if (!http)
        return NULL;
    http->easy = curl_easy_init();
    if (!http->easy) {
        free(http);
        return NULL;
    }
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->easy);
    free(http);
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

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct exchange *exchange = data;
    const struct http_request *request = exchange->request;
    size_t len = size * count;

    if (!is_success(exchange)) {
        struct buf *body = &exchange->response.body;
        size_t room = HTTP_ERROR_BODY_MAX - body->len;

        return buf_append(body, bytes, len < room ? len : room) ? len : 0;
    }
    exchange->body_bytes += len;
    if (exchange->body_bytes > request->body_max) {
        err_set(exchange->err, ERR_IMAGE_CORRUPT, "the answer is larger than %llu bytes",
                (unsigned long long)request->body_max);
        return fail(exchange);
    }
    if (!request->body)
        return buf_append(&exchange->response.body, bytes, len) ? len : 0;
    return request->body(request->data, bytes, len, exchange->err) ? len : fail(exchange);
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    autofree char *line = value ? text_printf("%s: %s", name, value) : NULL;
    struct curl_slist *longer;

    if (!value)
        return true;
    /* A value from outside must not begin a header of its own. */
    if (!line || strpbrk(line, "\r\n"))
        return false;
    longer = curl_slist_append(*list, line);
    if (!longer)
        return false;
    *list = longer;
    return true;
}

static void cleanup_slist(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

static void set_options(struct exchange *exchange, const struct url *url,
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
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)HTTP_STALL_BYTES);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)HTTP_STALL_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (host_is_loopback(url->host))
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static bool perform(struct exchange *exchange, const struct url *url, bool trusted)
{
    const struct http_request *request = exchange->request;
    CLEANUP(cleanup_slist) struct curl_slist *headers = NULL;
    struct err *err = exchange->err;
    CURLcode code;

    exchange->header_bytes = 0;
    strv_release(&exchange->response.headers);
    buf_release(&exchange->response.body);
    exchange->response.body.max =
        request->body ? HTTP_ERROR_BODY_MAX : (size_t)request->body_max + HTTP_ERROR_BODY_MAX;
    if (!add_header(&headers, "Accept", request->accept) ||
        (trusted && !add_header(&headers, "Authorization", request->authorization)))
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "a header of the request is not valid");
    set_options(exchange, url, headers);
    code = curl_easy_perform(exchange->http->easy);
    if (exchange->failed)
        return false;
    if (code != CURLE_OK)
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "%s",
                       exchange->http->error[0] ? exchange->http->error : curl_easy_strerror(code));
    curl_easy_getinfo(exchange->http->easy, CURLINFO_RESPONSE_CODE, &exchange->response.status);
    return true;
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

static bool get(struct exchange *exchange, struct err *err)
{
    const struct http_request *request = exchange->request;
    autourl first = {0}, url = {0};

    if (!url_parse(request->url, NULL, &first) || !url_parse(request->url, NULL, &url))
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "'%s' is not a URL", request->url);
    for (int hops = 0; hops <= HTTP_REDIRECTS_MAX; hops++) {
        if (!perform(exchange, &url, url_same_origin(&first, &url)))
            return false;
        if (request->no_redirects || !is_redirect(exchange->response.status))
            return true;
        if (!follow(&exchange->response, &url, err))
            return false;
    }
    return err_set(err, ERR_REGISTRY_UNREACHABLE, "more than %d redirects", HTTP_REDIRECTS_MAX);
}

bool http_get(struct http *http, const struct http_request *request, struct http_response *response,
              struct err *err)
{
    struct exchange exchange = {.http = http, .request = request, .err = err};

    if (!get(&exchange, err)) {
        http_response_release(&exchange.response);
        return false;
    }
    *response = exchange.response;
    return true;
}
