/* Where feeds come from: servers, files and registries. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/image/feed.h"
#include "runtime/image/inflate.h"
#include "runtime/image/registry_certs.h"
#include "runtime/image/tags.h"
#include "runtime/net/fields.h"
#include "runtime/net/http.h"

#define FILE_SCHEME  "file://"
#define PAUSE_MS     500   /* before the second try, doubled for the next */
#define PAUSE_MAX_MS 60000 /* of Retry-After; asked to wait longer, a feed fails */
#define BLOCK        (256 << 10)

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot get a feed");
}

/* ---- what is compressed ---- */

static const struct {
    const char *magic;
    size_t len;
    bool known;
    enum compression compression;
} forms[] = {
    {"\x1f\x8b", 2, true, COMPRESSION_GZIP},
    {"\x28\xb5\x2f\xfd", 4, true, COMPRESSION_ZSTD},
    {"\xfd"
     "7zXZ",
     5, false, COMPRESSION_NONE},
    {"BZh", 3, false, COMPRESSION_NONE},
};

static bool inflate_into(int fd, enum compression compression, struct buf *out, struct err *err)
{
    autoinflater *inflater = inflater_new(fd, -1, compression, err);
    size_t len = BLOCK;

    while (inflater && len == BLOCK) {
        char *room = buf_reserve(out, BLOCK);

        if (!room)
            return err_set(err, ERR_CONFIG_INVALID, "it is larger than %zu bytes", out->max);
        if (!inflater_read(inflater, room, BLOCK, &len, err))
            return false;
        buf_added(out, len);
    }
    return inflater;
}

/* A document that is compressed becomes what it is of; the URL's ending says nothing. */
static bool inflate(const struct feed *feed, struct buf *text, struct err *err)
{
    autobuf plain = BUF_INIT(feed_document_max(feed->kind));
    autofd fd = -1;
    size_t i = 0;

    while (i < ARRAY_SIZE(forms) &&
           (text->len < forms[i].len || memcmp(text->data, forms[i].magic, forms[i].len) != 0))
        i++;
    if (i == ARRAY_SIZE(forms))
        return true;
    if (!forms[i].known) {
        err_set(err, ERR_CONFIG_INVALID, "the feed '%s' is compressed as xz or bzip2", feed->url);
        return err_hint(err, "name the same index as .gz");
    }
    fd = memfd_create("feed", MFD_CLOEXEC);
    if (fd < 0 || !file_write_all(fd, text->data, text->len) || lseek(fd, 0, SEEK_SET) < 0)
        return no_memory(err);
    if (!inflate_into(fd, forms[i].compression, &plain, err)) {
        err->code = ERR_CONFIG_INVALID;
        return err_context(err, "the feed '%s' cannot be inflated", feed->url);
    }
    buf_release(text);
    *text = plain;
    plain = BUF_INIT(0);
    return true;
}

static bool take_document(const struct feed *feed, struct buf *text, struct strv *versions,
                          struct err *err)
{
    return inflate(feed, text, err) &&
           feed_read(feed, text->data ? text->data : "", text->len, versions, err);
}

/* ---- files ---- */

static bool get_file(const struct feed *feed, struct strv *versions, struct err *err)
{
    autobuf text = BUF_INIT(feed_document_max(feed->kind));

    if (!file_read(AT_FDCWD, feed->url + strlen(FILE_SCHEME), &text, ERR_REGISTRY_UNREACHABLE, err))
        return err_hint(err, "check the path behind file://");
    return take_document(feed, &text, versions, err);
}

/* ---- servers ---- */

struct server {
    const struct feed *feed;
    const char *authorization;
    struct http *http;
    struct url first; /* whose origin sees the authorization */
};

static const char *accepted(enum feed_kind kind)
{
    switch (kind) {
    case FEED_GITHUB:
        return "application/vnd.github+json, application/json";
    case FEED_NPM:
        return "application/vnd.npm.install-v1+json, application/json";
    case FEED_PYPI:
        return "application/vnd.pypi.simple.v1+json, application/json";
    default:
        return NULL;
    }
}

static bool is_temporary(long status)
{
    return status == 408 || status == 429 || (status >= 500 && status <= 504 && status != 501);
}

static bool refused(const char *url, long status, struct err *err)
{
    if (status == 401 || status == 403) {
        err_set(err, ERR_REGISTRY_AUTH, "the feed '%s' refuses access", url);
        return err_hint(err,
                        "give a token with --token-file, or one that may read it; some servers "
                        "say so, too, to whoever asked too often");
    }
    err_set(err, ERR_REGISTRY_UNREACHABLE, "the feed '%s' answers %ld", url, status);
    return err_hint(err, status == 404 ? "check the URL" : "try again later");
}

static void unanswered(const char *url, struct err *err)
{
    err_context(err, "cannot get the feed '%s'", url);
    if (err->code == ERR_IMAGE_CORRUPT)
        err_hint(err, "look at what the URL serves: it is too large for a feed");
    else if (!err->hint[0])
        err_hint(err, "check the URL, the network and the proxy variables");
    err->code = ERR_REGISTRY_UNREACHABLE;
}

/* Waits before the next try; false when there is none. */
static bool wait_for_try(const struct http_response *response, int tried)
{
    uint64_t ms = (uint64_t)PAUSE_MS << (tried - 1), asked;
    size_t from = 0;
    const char *after = http_header(response, "Retry-After", &from);
    struct timespec pause;

    if (after && retry_after_parse(after, time(NULL), &asked) && asked > ms)
        ms = asked;
    if (tried == FEED_TRIES || ms > PAUSE_MAX_MS)
        return false;
    pause =
        (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * NS_PER_MS};
    nanosleep(&pause, NULL);
    return true;
}

static bool get_answer(struct server *server, const char *url, struct http_response *response,
                       struct err *err)
{
    const struct http_request request = {
        .url = url,
        .accept = accepted(server->feed->kind),
        .authorization = server->authorization,
        .body_max = feed_document_max(server->feed->kind),
    };

    for (int tried = 1;; tried++) {
        autoresponse answer = {0};
        bool ok = http_send(server->http, &request, &answer, err), again;

        if (ok && answer.status == 200) {
            *response = answer;
            answer = (struct http_response){0};
            return true;
        }
        again = ok ? is_temporary(answer.status) : http_may_retry(server->http);
        if (ok)
            refused(url, answer.status, err);
        else
            unanswered(url, err);
        if (!again || !wait_for_try(&answer, tried))
            return false;
    }
}

/* The next page, on the same server; NULL in *next at the end. Only lists have pages. */
static bool next_page(const struct server *server, const char *url,
                      const struct http_response *response, char **next, struct err *err)
{
    autourl base = {0}, target = {0};
    autofree char *found = NULL;
    size_t from = 0;
    const char *value;

    *next = NULL;
    while (!found && (value = http_header(response, "Link", &from)))
        found = link_next(value);
    if (!found || (server->feed->kind != FEED_GITHUB && server->feed->kind != FEED_JSON))
        return true;
    if (!url_parse(url, NULL, &base) || !url_parse(found, &base, &target) ||
        !url_same_origin(&target, &server->first) || strcmp(target.text, base.text) == 0)
        return err_set(err, ERR_REGISTRY_UNREACHABLE,
                       "the feed '%s' names a next page that cannot be asked for", url);
    *next = TAKE_PTR(target.text);
    return true;
}

static bool get_pages(struct server *server, struct strv *versions, struct err *err)
{
    autofree char *url = strdup(server->feed->url);

    for (int i = 0; url && i < FEED_PAGES_MAX; i++) {
        autoresponse response = {0};
        autofree char *next = NULL;

        if (!get_answer(server, url, &response, err) ||
            !take_document(server->feed, &response.body, versions, err) ||
            !next_page(server, url, &response, &next, err))
            return false;
        if (!next)
            return true;
        free(url);
        url = TAKE_PTR(next);
    }
    return url ? err_set(err, ERR_REGISTRY_UNREACHABLE, "the feed '%s' has more than %d pages",
                         server->feed->url, FEED_PAGES_MAX)
               : no_memory(err);
}

static bool get_served(const struct feed *feed, const char *authorization, struct strv *versions,
                       struct err *err)
{
    const struct http_settings settings = {.tls = registry_certs_find};
    autohttp *http = http_new(&settings);
    struct server server = {.feed = feed, .authorization = authorization, .http = http};
    bool ok;

    if (!http || !url_parse(feed->url, NULL, &server.first))
        return no_memory(err);
    if (authorization && !server.first.https && !host_is_loopback(server.first.host)) {
        err_set(err, ERR_REGISTRY_AUTH, "a token does not go to '%s' over plain HTTP", feed->url);
        err_hint(err, "use https");
        ok = false;
    } else {
        ok = get_pages(&server, versions, err);
    }
    url_release(&server.first);
    return ok;
}

/* ---- registries ---- */

static bool get_tags(const struct feed *feed, struct strv *versions, struct err *err)
{
    autoreference reference = {0};
    autostrv tags = {0};

    if (!reference_parse(feed->url, "/", &reference, err) || !tags_list(&reference, &tags, err))
        return false;
    for (size_t i = 0; i < tags.count; i++) {
        if (!feed_add(versions, tags.items[i], strlen(tags.items[i]), err))
            return false;
    }
    return true;
}

bool feed_get(const struct feed *feed, const char *authorization, struct strv *versions,
              struct err *err)
{
    if (feed->kind == FEED_TAGS)
        return get_tags(feed, versions, err);
    if (strncmp(feed->url, FILE_SCHEME, strlen(FILE_SCHEME)) == 0)
        return get_file(feed, versions, err);
    return get_served(feed, authorization, versions, err);
}
