/*
 * Asks the host's name servers for a cell of root's that cannot reach them itself, since they
 * listen on the host's loopback or have addresses of IPv6 (docs/design/network.md).
 *
 * A process of the host, without privileges, listens on addresses of the *cell's* loopback alone
 * (RESOLV_FORWARDER and the next ones), port 53, and passes packets and connections on to the
 * servers, byte for byte. Nothing listens on the host, and nothing but these servers is in reach.
 *
 * Limits: 128 packets and 8 connections at once, of which one more ends the oldest; ten seconds for
 * an answer, and for a connection on which nothing happens.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_DNS_H
#define STEPCELL_RUNTIME_NATIVE_DNS_H

#include "runtime/native/resolv.h"
#include "runtime/native/tool.h"

/*
 * Starts the process for the cell with this network namespace. It dies with the one that started it
 * and is waited for and ended as every other tool. False when it cannot listen.
 */
bool dns_start(const struct resolv_servers *servers, int netns, struct tool *tool, struct err *err);

#endif
