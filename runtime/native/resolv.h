/*
 * The resolv.conf of a cell with a private network: the host's, without the name servers that only
 * the host itself reaches (those on its loopback, 127.0.0.53 say, and on its own addresses).
 */
#ifndef STEPCELL_RUNTIME_NATIVE_RESOLV_H
#define STEPCELL_RUNTIME_NATIVE_RESOLV_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define RESOLV_MAX (64 << 10) /* bytes of a resolv.conf */

/* Which of the host's name servers a cell cannot reach, besides those on the loopback. */
struct resolv_host {
    /* Whether the host itself has this address; NULL: such servers can be reached. */
    bool (*is_own)(const char *address);
    bool has_ipv6;       /* the cell reaches addresses of IPv6 */
    const char *forward; /* a server that asks the host's; NULL for none */
};

enum resolv_verdict {
    RESOLV_OK,
    RESOLV_FORWARDED,   /* the forwarder stands in for all of them */
    RESOLV_UNREACHABLE, /* there are servers, and the cell reaches none of them */
    RESOLV_TOO_LONG,
};

/*
 * Appends to `out` what the cell gets for the host's `text`: every line stays as it is but those of
 * servers that cannot be reached. When there are such and a forwarder, it takes the place of all
 * servers: pasta gives the answers of the server that it asks itself the forwarder's address, so
 * the cell cannot ask that one, too. A file that names no server gives a cell none. Pure but for
 * is_own.
 */
enum resolv_verdict resolv_make(const char *text, const struct resolv_host *host, struct buf *out);

/*
 * The same for /etc/resolv.conf of this host and its caller; tells whether it needs the forwarder.
 */
bool resolv_for_cell(struct buf *out, bool *forwarded, struct err *err);

#endif
