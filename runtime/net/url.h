/*
 * URLs (pure): taken apart by libcurl's parser, the same that later connects, so that no two
 * readers can disagree on the host. Only http and https exist here.
 */
#ifndef STEPCELL_RUNTIME_NET_URL_H
#define STEPCELL_RUNTIME_NET_URL_H

#include <stdbool.h>

#include "base/cleanup.h"

#define URL_MAX 8192 /* bytes */

struct url {
    char *text; /* normalised */
    char *host; /* IPv6 addresses in brackets */
    unsigned int port;
    bool https;
};

/*
 * Parses an absolute http or https URL, or, with `base`, one relative to it. A URL with user
 * information is refused. On success the caller releases `url`.
 */
bool url_parse(const char *text, const struct url *base, struct url *url);
void url_release(struct url *url);

/* Same scheme, host and port: what may see the same credentials. */
bool url_same_origin(const struct url *a, const struct url *b);

/*
 * Whether a text names a proxy: HOST[:PORT], or a URL of http, https or SOCKS, which may have user
 * information. What libcurl says of another one quotes it, password and all.
 */
bool url_is_proxy(const char *text);

/* "localhost", names below it, 127.0.0.0/8 and ::1, with or without ":PORT". */
bool host_is_loopback(const char *host);

/*
 * A loopback name, or an address that is unspecified, private, local to a link or a site, or IPv4
 * in a form of IPv6 that a gateway may translate.
 */
bool host_is_private(const char *host);

/* Percent-encodes a query value (owned by the caller). NULL without memory. */
char *url_escape(const char *value);

#define autourl CLEANUP(url_release) struct url

#endif
