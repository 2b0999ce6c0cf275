/*
 * The private network of a cell: a stack of its own with outgoing access, and no way to the
 * loopback of the host (docs/design/network.md).
 *
 * A child of stepcell, the keeper, makes it, waits for the end of the cell, and undoes it, also
 * when stepcell was killed. Sequence: network_check before anything is made; network_start once the
 * cell's namespaces exist; the cell goes on when it can read a byte from the other end of `ready`;
 * network_stop when the cell has ended. When the network cannot be made, the keeper reports that
 * over the cell's control socket as the cell's own failure, and the cell reads the end of `ready`.
 *
 * What root makes outlives processes, so it is recorded in the scratch of the cell before it is
 * made (NETWORK_RECORD); network_undo is for a record whose keeper is gone.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NETWORK_H
#define STEPCELL_RUNTIME_NATIVE_NETWORK_H

#include <sys/types.h>

#include "base/err.h"
#include "runtime/native/resolv.h"

#define NETWORK_RECORD    "network" /* in the scratch of a cell */
#define NETWORK_INTERFACE "eth0"    /* of a cell, beside its loopback */

/* What the keeper gets; all borrowed. */
struct network_cell {
    int pidfd;
    int netns;
    int userns;
    int scratch;
    int control;                        /* the cell's end of the control socket */
    int ready;                          /* writable end of a pipe */
    bool has_root;                      /* there is a user 0 in the cell */
    bool forward_dns;                   /* RESOLV_USER_DNS is to be a name server */
    const struct resolv_servers *asked; /* root's cell has to have these asked for it (dns.h) */
};

/* Whether the caller's helpers are installed; engine.unavailable when they are not. */
bool network_check(struct err *err);

/* Starts the keeper; its process id, or -1. */
pid_t network_start(const struct network_cell *cell, struct err *err);

/*
 * Waits for the keeper, which ends soon after the cell; false when it could not keep its promise,
 * and *left when something of the network remains.
 */
bool network_stop(pid_t keeper, bool *left, struct err *err);

/*
 * Undoes what the record in a place of cells that are gone names; true when nothing is left of it.
 * False at once when other networks are being made: a later call may be luckier.
 */
bool network_undo(int place);

#endif
