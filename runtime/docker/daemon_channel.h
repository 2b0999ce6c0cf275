/*
 * The messages between stepcell and stepcell-docker, which speaks to the daemon for one cell, over
 * a SOCK_SEQPACKET pair: one fixed structure each.
 *
 *   stepcell-docker → stepcell   STARTED  the daemon has started the container
 *                                FAILED   there is no container, or it does not run: `err`
 *                                ENDED    it has ended: `value` is its exit code
 *                                STOPPED  it does not run, and its exit code is `value`: of no
 *                                         account once it has connected
 *                                LOST     the daemon does not say how, or whether, it ended: `err`;
 *                                         with a `value` of 0 it cannot even be reached
 *                                REMOVED  it is gone, as the daemon says
 *                                LEFT     it may not be: `err`
 *   stepcell → stepcell-docker   SIGNAL   `value`, to its first process
 *                                LOOK     STOPPED if it does not run; nothing otherwise
 *                                AWAIT    its first process is gone: wait for ENDED
 *                                REMOVE   whatever it does
 *
 * When the socket ends, stepcell is gone: the container is removed all the same. Both sides are one
 * build.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_DAEMON_CHANNEL_H
#define STEPCELL_RUNTIME_DOCKER_DAEMON_CHANNEL_H

#include <stdint.h>

#include "base/err.h"
#include "base/libexec.h"

enum daemon_message_kind {
    DAEMON_STARTED = 1,
    DAEMON_FAILED,
    DAEMON_ENDED,
    DAEMON_STOPPED,
    DAEMON_LOST,
    DAEMON_REMOVED,
    DAEMON_LEFT,
    DAEMON_SIGNAL,
    DAEMON_LOOK,
    DAEMON_AWAIT,
    DAEMON_REMOVE,
};

struct daemon_message {
    uint32_t kind;
    int32_t value;
    uint32_t oom_killed;
    struct err err;
};

/* Descriptors of stepcell-docker when it is executed. */
enum { DAEMON_CONTROL_FD = LIBEXEC_CONTROL_FD, DAEMON_REQUEST_FD };

/* DAEMON_REQUEST_FD: {"engine", "host" or null, "name", "body"}. */
#define DAEMON_REQUEST_MAX (16 << 20) /* bytes */

/* A daemon that is asked for an end that has been seen is waited for no longer. */
#define DAEMON_PATIENCE_MS 15000

#endif
