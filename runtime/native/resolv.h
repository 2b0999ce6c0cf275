/*
 * The resolv.conf of a cell with a private network: the host's, but for the name servers that only
 * the host itself reaches (those on its loopback, 127.0.0.53 say, and on its own addresses): for
 * them stands who asks them for the cell.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_RESOLV_H
#define STEPCELL_RUNTIME_NATIVE_RESOLV_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define RESOLV_MAX         (64 << 10) /* bytes of a resolv.conf */
#define RESOLV_SERVERS_MAX 3          /* resolv.conf(5): no more are asked */

#define RESOLV_PORT 53

/* A name server of the helpers of ordinary users, which asks the host's. */
#define RESOLV_USER_DNS "10.0.2.3"

/* Where root's cell asks for server 0; for server 1 it is the next address (see dns.h). */
#define RESOLV_FORWARDER 0x7f00000b /* 127.0.0.11 */

union resolv_server {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

struct resolv_servers {
    union resolv_server items[RESOLV_SERVERS_MAX];
    size_t count;
};

/* Which of the host's name servers a cell cannot reach, besides those on the loopback. */
struct resolv_host {
    /* Whether the host itself has this address; NULL: such servers can be reached. */
    bool (*is_own)(const char *address);
    bool has_ipv6;       /* the cell reaches addresses of IPv6 */
    const char *forward; /* a server that asks the host's; NULL: each gets a forwarder */
};

enum resolv_verdict {
    RESOLV_OK,
    RESOLV_FORWARDED, /* there are servers that have to be asked for the cell */
    RESOLV_TOO_LONG,
};

/*
 * Appends to `out` what the cell gets for the host's `text`: every line stays as it is but those of
 * servers that cannot be reached. Each of these becomes an address from RESOLV_FORWARDER on, and
 * `asked` has who is to be asked there; those beyond RESOLV_SERVERS_MAX are left out.
 *
 * When there is one forwarder, it takes the place of all servers: pasta gives the answers of the
 * server that it asks itself the forwarder's address, so the cell cannot ask that one, too.
 *
 * A file that names no server gives a cell none. Pure but for is_own and the names of interfaces.
 */
enum resolv_verdict resolv_make(const char *text, const struct resolv_host *host, struct buf *out,
                                struct resolv_servers *asked);

/* The same for /etc/resolv.conf of this host and its caller. */
bool resolv_for_cell(struct buf *out, bool *forwarded, struct resolv_servers *asked,
                     struct err *err);

#endif
