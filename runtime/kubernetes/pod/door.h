/*
 * Who comes in: `stepcell-pod visit`, which the kubelet starts in the step's container, asks pid 1
 * over a socket in POD_DIR for what it needs. Messages of runtime/native/handshake.h:
 *
 *   visit → pid 1   ENTER    as in a cell; then the connection ends
 *                   START    instead: it brings the stdin of the step, or the keys of its terminal
 *   pid 1 → visit   STREAMS  of that a descriptor, once the command runs
 *   visit → pid 1   END      stdin is at its end. A connection that ends without is lost
 *
 * It hands out no more than the step's own user has. Whoever comes has to be no descendant of this
 * process, which nobody but the runtime can make.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_DOOR_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_DOOR_H

#include <sys/un.h>

#include "base/err.h"
#include "runtime/native/handshake.h"

struct door {
    int socket;
    int guest; /* who has not spoken yet, or -1; further ones wait */
};

bool door_open(struct door *door, struct err *err);

/* Somebody knocks. */
void door_answer(struct door *door);

/*
 * What the guest says, with its descriptors: true when there is a message. *connection is the
 * guest's, owned by the caller, and the next one is let in.
 */
bool door_hear(struct door *door, struct message *message, int fds[HANDSHAKE_FDS_MAX],
               int *connection);

/* Connects to it; -1 with errno. */
int door_knock(void);

/* Whether a process is of those that the runtime has put into the container. */
bool door_is_guest(pid_t pid);

#endif
