#include "runtime/net/proxy.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

#define ENTRY_MAX 256 /* bytes; longer entries cover nothing */

static const char *variable(const char *lower, const char *upper)
{
    const char *value = getenv(lower);

    if (!value && upper)
        value = getenv(upper);
    return value && *value ? value : NULL;
}

const char *proxy_for(const struct url *url)
{
    const char *no_proxy = variable("no_proxy", "NO_PROXY");
    const char *proxy;

    if (host_is_loopback(url->host) ||
        (no_proxy && no_proxy_covers(no_proxy, url->host, url->port)))
        return NULL;
    if (url->https)
        proxy = variable("https_proxy", "HTTPS_PROXY");
    else
        proxy = variable("http_proxy", getenv("REQUEST_METHOD") ? NULL : "HTTP_PROXY");
    return proxy ? proxy : variable("all_proxy", "ALL_PROXY");
}

/* An address as bytes: 4 or 16 of them, 0 when the text is none. */
static size_t take_address(const char *text, unsigned char bytes[16])
{
    if (inet_pton(AF_INET, text, bytes) == 1)
        return 4;
    return inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, size_t bits)
{
    size_t whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (unsigned char)(a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* "ADDRESS/BITS"; the text is taken apart. */
static bool in_network(char *network, const unsigned char *address, size_t len)
{
    char *slash = strchr(network, '/');
    unsigned char base[16];
    uint64_t bits;

    *slash = '\0';
    return take_address(network, base) == len && num_parse(slash + 1, 8 * len, &bits) &&
           same_bits(base, address, bits);
}

/* Whether `host` is `domain` or a name below it. */
static bool in_domain(const char *host, const char *domain)
{
    size_t len = strlen(host), domain_len = strlen(domain);

    if (domain_len == 0 || len < domain_len || strcasecmp(host + len - domain_len, domain) != 0)
        return false;
    return len == domain_len || host[len - domain_len - 1] == '.';
}

/* Splits ":PORT" and the brackets of an address off; false when the port is another. */
static bool take_port(char **entry, unsigned int port)
{
    char *colon = strrchr(*entry, ':'), *bracket = strchr(*entry, ']');
    uint64_t number;

    if (**entry == '[' && bracket) {
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
        *bracket = '\0';
        (*entry)++;
    } else if (colon && strchr(*entry, ':') != colon) {
        colon = NULL; /* an IPv6 address */
    }
    if (!colon)
        return true;
    *colon = '\0';
    return num_parse(colon + 1, 65535, &number) && number == port;
}

static bool entry_covers(char *entry, const char *host, unsigned int port)
{
    unsigned char address[16], other[16];
    size_t len = take_address(host, address);

    if (strcmp(entry, "*") == 0)
        return true;
    if (strchr(entry, '/'))
        return len && in_network(entry, address, len);
    if (!take_port(&entry, port))
        return false;
    if (len)
        return take_address(entry, other) == len && memcmp(address, other, len) == 0;
    if (strncmp(entry, "*.", 2) == 0)
        entry++;
    if (*entry == '.')
        entry++;
    return in_domain(host, entry);
}

bool no_proxy_covers(const char *no_proxy, const char *host, unsigned int port)
{
    char bare[ENTRY_MAX];
    size_t host_len = strlen(host);

    if (host_len >= sizeof(bare))
        return false;
    /* Without brackets, and without the dot of a fully qualified name. */
    if (*host == '[' && host_len > 2)
        snprintf(bare, sizeof(bare), "%.*s", (int)host_len - 2, host + 1);
    else
        snprintf(bare, sizeof(bare), "%s", host);
    host_len = strlen(bare);
    if (host_len > 1 && bare[host_len - 1] == '.')
        bare[host_len - 1] = '\0';
    for (const char *p = no_proxy;;) {
        char entry[ENTRY_MAX];
        size_t len;

        p += strspn(p, ", \t");
        len = strcspn(p, ", \t");
        if (len == 0)
            return false;
        if (len < sizeof(entry)) {
            memcpy(entry, p, len);
            entry[len] = '\0';
            if (entry_covers(entry, bare, port))
                return true;
        }
        p += len;
    }
}
