/*
 * The messages between stepcell and stepcell-kubernetes, which speaks to the API for one cell, over
 * a SOCK_SEQPACKET pair: one fixed structure each.
 *
 *   stepcell-kubernetes → stepcell   READY    the Pod is proven, and its command about to start
 *                                    FAILED   the command cannot run: `err`
 *                                    EXEC     it could not be executed: `value` is errno
 *                                    RUNNING  the command left the process `name` running
 *                                    EXITED   it has ended; what it has changed is being fetched
 *                                    ENDED    it has ended, by its log: `value` is its
 *                                             status, or with `is_signal` its signal;
 *                                             `returned`: POD_RETURN_FD has what it has
 *                                             changed, with `of_another` all else, too;
 *                                             `err`: why it has not
 *                                    LOST     how it ended, or whether, is not known: `err`
 *                                    REMOVED  Pod and Secret are gone, as the API says
 *                                    LEFT     they may not be: `err`
 *                                    GONE     a Pod that stays after its command is there no more
 *                                    NOTE     what whoever waits wants to know: `err`
 *   stepcell → stepcell-kubernetes   SIGNAL   SIGKILL, what asks the command to end, or
 *                                             another one for it
 *                                    REMOVE   whatever it does
 *
 * When the socket ends, stepcell is gone: Pod and Secret are removed all the same. Both sides are
 * one build.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_CHANNEL_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_CHANNEL_H

#include <stdint.h>

#include "base/libexec.h"
#include "runtime/native/handshake.h"

enum pod_message_kind {
    POD_READY = 1,
    POD_FAILED,
    POD_EXEC,
    POD_RUNNING,
    POD_EXITED,
    POD_ENDED,
    POD_LOST_CONTACT,
    POD_REMOVED,
    POD_LEFT,
    POD_SIGNAL,
    POD_REMOVE,
    POD_GONE,
    POD_NOTE,
};

struct pod_message {
    uint32_t kind;
    int32_t value;
    uint32_t is_signal;
    uint32_t oom_killed;
    uint32_t returned, of_another;
    char name[MESSAGE_NAME_MAX];
    struct err err;
};

/* Descriptors of stepcell-kubernetes when it is executed. */
enum {
    POD_CONTROL_FD = LIBEXEC_CONTROL_FD,
    POD_REQUEST_FD,
    POD_OUT_FD, /* with a terminal its end that is the command's, as is POD_IN_FD */
    POD_ERR_FD,
    POD_VAR_FD,
    POD_ENTRY_FD,  /* ENTERs for the cell (runtime/native/handshake.h) */
    POD_IN_FD,     /* the command's input, where it has one */
    POD_RETURN_FD, /* what comes back of the working directory: return_stream.h */
};

/*
 * POD_REQUEST_FD: {"kubeconfig" or null, "context" or null, "namespace" or null, "name", "pod",
 * "secret", "grace", "returns": what the step changes in its working directory is fetched,
 * "registries": of whose credentials a Secret is made for the nodes, "input": whether POD_IN_FD
 * brings some, "stays": whether the Pod does when its command has ended}.
 */
#define POD_REQUEST_MAX (8 << 20) /* bytes */

#endif
