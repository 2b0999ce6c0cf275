#include "runtime/net/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/num.h"

#define HOST_MAX 256

static void cleanup_curlu(CURLU **handle)
{
    curl_url_cleanup(*handle);
}

/* A part as a string of our own, or NULL. */
static char *get_part(CURLU *handle, CURLUPart part, unsigned int flags)
{
    char *value = NULL, *copy;

    if (curl_url_get(handle, part, &value, flags) != CURLUE_OK)
        return NULL;
    copy = strdup(value);
    curl_free(value);
    return copy;
}

static bool take_parts(CURLU *handle, struct url *url)
{
    autofree char *scheme = get_part(handle, CURLUPART_SCHEME, 0);
    autofree char *port = get_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    autofree char *user = get_part(handle, CURLUPART_USER, 0);
    uint64_t number;

    url->text = get_part(handle, CURLUPART_URL, 0);
    url->host = get_part(handle, CURLUPART_HOST, 0);
    if (!scheme || !port || user || !url->text || !url->host)
        return false;
    url->https = strcmp(scheme, "https") == 0;
    if ((!url->https && strcmp(scheme, "http") != 0) || !num_parse(port, UINT16_MAX, &number))
        return false;
    url->port = (unsigned int)number;
    return true;
}

/*
 * libcurl decodes %XX in a host after it has looked for numeric addresses: "%30x7f.1" would pass
 * for a name here, and be 127.0.0.1 when the text is read again.
 */
static bool is_normal(const struct url *url)
{
    CLEANUP(cleanup_curlu) CURLU *handle = curl_url();
    autourl again = {0};

    return handle && curl_url_set(handle, CURLUPART_URL, url->text, 0) == CURLUE_OK &&
           take_parts(handle, &again) && url_same_origin(url, &again);
}

bool url_parse(const char *text, const struct url *base, struct url *url)
{
    CLEANUP(cleanup_curlu) CURLU *handle = curl_url();
    autourl parsed = {0};

    if (!handle || strlen(text) > URL_MAX)
        return false;
    if (base && curl_url_set(handle, CURLUPART_URL, base->text, 0) != CURLUE_OK)
        return false;
    /* On a handle that holds a URL already this resolves a relative one. */
    if (curl_url_set(handle, CURLUPART_URL, text, CURLU_DISALLOW_USER) != CURLUE_OK)
        return false;
    if (!take_parts(handle, &parsed) || !is_normal(&parsed))
        return false;
    *url = parsed;
    parsed = (struct url){0};
    return true;
}

void url_release(struct url *url)
{
    free(url->text);
    free(url->host);
    *url = (struct url){0};
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->https == b->https && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

bool url_is_proxy(const char *text)
{
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    CLEANUP(cleanup_curlu) CURLU *handle = curl_url();
    autofree char *scheme = NULL, *host = NULL;

    if (!handle || strlen(text) > URL_MAX || text[strcspn(text, " \t\r\n")] ||
        curl_url_set(handle, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME))
        return false;
    scheme = get_part(handle, CURLUPART_SCHEME, 0);
    host = get_part(handle, CURLUPART_HOST, 0);
    for (size_t i = 0; scheme && host && *host && i < ARRAY_SIZE(schemes); i++) {
        if (strcasecmp(scheme, schemes[i]) == 0)
            return true;
    }
    return false;
}

/* The host without brackets and port. */
static void bare_host(const char *text, char host[HOST_MAX])
{
    const char *end;

    if (*text == '[')
        end = strchrnul(++text, ']');
    else
        end = strchrnul(text, ':');
    snprintf(host, HOST_MAX, "%.*s", (int)(end - text < HOST_MAX ? end - text : HOST_MAX), text);
}

static bool is_localhost(const char *host)
{
    const char *suffix = ".localhost";
    size_t len = strlen(host), suffix_len = strlen(suffix);

    return strcasecmp(host, suffix + 1) == 0 ||
           (len > suffix_len && strcasecmp(host + len - suffix_len, suffix) == 0);
}

/* The IPv4 address of a literal, also of one that is mapped into IPv6. */
static bool literal_v4(const char *host, uint32_t *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1) {
        *address = ntohl(v4.s_addr);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6) != 1 || !IN6_IS_ADDR_V4MAPPED(&v6))
        return false;
    memcpy(address, v6.s6_addr + 12, sizeof(*address));
    *address = ntohl(*address);
    return true;
}

bool host_is_loopback(const char *text)
{
    char host[HOST_MAX];
    struct in6_addr v6;
    uint32_t v4;

    bare_host(text, host);
    if (is_localhost(host))
        return true;
    if (literal_v4(host, &v4))
        return v4 >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
    unsigned int bytes = bits / 8, mask = 0xff00 >> bits % 8;

    return memcmp(a, b, bytes) == 0 &&
           (bits % 8 == 0 || ((a[bytes] ^ b[bytes]) & mask & 0xff) == 0);
}

bool host_is_private(const char *text)
{
    static const struct {
        uint32_t network, mask;
    } networks[] = {
        {0x00000000, 0xff000000}, /* 0.0.0.0/8 */
        {0x0a000000, 0xff000000}, /* 10.0.0.0/8 */
        {0x64400000, 0xffc00000}, /* 100.64.0.0/10 */
        {0xa9fe0000, 0xffff0000}, /* 169.254.0.0/16 */
        {0xac100000, 0xfff00000}, /* 172.16.0.0/12 */
        {0xc0a80000, 0xffff0000}, /* 192.168.0.0/16 */
    };
    static const struct {
        uint8_t bytes[12], bits;
    } networks6[] = {
        {{0x00}, 96},                   /* ::/96: IPv4 in another form, the loopback address too */
        {{0x00, 0x64, 0xff, 0x9b}, 32}, /* 64:ff9b::/32: a gateway leads to any of them */
        {{0x20, 0x02}, 16},             /* 2002::/16: and so does one of 6to4 */
        {{0xfc}, 7},                    /* fc00::/7 */
        {{0xfe, 0x80}, 9},              /* fe80::/10 and fec0::/10 */
    };
    char host[HOST_MAX];
    struct in6_addr v6;
    uint32_t v4;

    if (host_is_loopback(text))
        return true;
    bare_host(text, host);
    if (literal_v4(host, &v4)) {
        for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
            if ((v4 & networks[i].mask) == networks[i].network)
                return true;
        }
        return false;
    }
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(networks6); i++) {
        if (same_bits(v6.s6_addr, networks6[i].bytes, networks6[i].bits))
            return true;
    }
    return false;
}

char *url_escape(const char *value)
{
    char *escaped = curl_easy_escape(NULL, value, 0);
    char *copy = escaped ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}
