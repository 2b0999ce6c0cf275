/*
 * The firewall rules that all private networks of root's cells share, in the network namespace of
 * the caller; under the lock of network_root.c.
 *
 * Two chains of the table mangle are there from the first cell to the last. STEPCELL keeps the
 * cells from reaching one another, and others from reaching cells through a host that forwards; in
 * that table, since netavark puts itself in front of the filter table. Its comments remember what
 * was not there before, so that it can be taken away again. STEPCELL_IN drops what a cell sends to
 * the host's loopback or as somebody else, whatever the host's settings for all interfaces allow.
 * Chains of netavark's that were there before belong to others and stay.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_FIREWALL_H
#define STEPCELL_RUNTIME_NATIVE_FIREWALL_H

#include "base/err.h"

/*
 * Before a cell's network is made: makes the chains, or restores what somebody took away of them,
 * but for what the comments remembered, which cannot be known any more.
 */
bool firewall_open(struct err *err);

/* After the last cell's network was taken down; what is gone already counts as done. */
bool firewall_close(struct err *err);

/* Whether rules may name this subnet ("ADDRESS/BITS"); false when that cannot be told. */
bool firewall_names(const char *subnet, bool *named, struct err *err);

#endif
