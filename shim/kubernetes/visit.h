/*
 * Visits: what goes into a Pod by the API's exec, each in a process of its own, since each has a
 * connection that lasts.
 */
#ifndef STEPCELL_SHIM_KUBERNETES_VISIT_H
#define STEPCELL_SHIM_KUBERNETES_VISIT_H

#include <sys/types.h>

#include "base/json.h"
#include "runtime/native/handshake.h"

/* Descriptors of `stepcell-kubernetes visit`, behind the control socket. */
enum { VISIT_SPEC_FD = 4, VISIT_PEER_FD, VISIT_REQUEST_FD };

/*
 * VISIT_SPEC_FD: {"kubeconfig", "context", "namespace": each or null, "name": of the Pod,
 * "program": stepcell-pod there, "attach"}. VISIT_PEER_FD: the socket of an ENTER, and
 * VISIT_REQUEST_FD what came along; or, to attach, what the step's own command gets as its input,
 * a pipe or the end of a terminal. Who attaches tells over the control socket, in a struct err, why
 * it cannot; what breaks later pid 1 of the Pod sees.
 */
#define VISIT_SPEC_MAX (64 << 10)

/* What runs; {0}: nothing. */
struct visits {
    pid_t pids[VISITORS_MAX];
    pid_t input; /* whoever brings the step's own input */
    int control; /* to it; read when `input` is there */
};

/* `request` is that of the cell (pod_channel.h). Takes both descriptors of an ENTER over. */
void visits_admit(struct visits *visits, const json_t *request, int asked, int socket);

bool visits_attach(struct visits *visits, const json_t *request, int in, struct err *err);

/* Takes note of those that have ended. */
void visits_reap(struct visits *visits);

#endif
