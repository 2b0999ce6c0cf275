/*
 * Which proxy a request goes through: http_proxy and https_proxy by the scheme of the URL,
 * all_proxy for both, and no_proxy for what goes directly. Lower case wins over upper case.
 * HTTP_PROXY is not read where REQUEST_METHOD is set: there a client of a web server could have set
 * it.
 *
 * no_proxy is a list with commas or blanks between its entries:
 *   *                         everything
 *   example.com .example.com *.example.com
 *                             the domain and all names below it (the latter two too, as curl
 *                             reads them)
 *   192.0.2.1 2001:db8::1 [2001:db8::1]
 *                             an address
 *   192.0.2.0/24              a network
 * each of the first kinds with ":PORT" for that port alone. Loopback hosts always go directly.
 */
#ifndef STEPCELL_RUNTIME_NET_PROXY_H
#define STEPCELL_RUNTIME_NET_PROXY_H

#include "runtime/net/url.h"

/* The proxy's URL as the environment has it (borrowed), or NULL for none. */
const char *proxy_for(const struct url *url);

/* Whether an entry of the list `no_proxy` covers the host (pure). */
bool no_proxy_covers(const char *no_proxy, const char *host, unsigned int port);

#endif
