/*
 * Visitors: commands that `stepcell exec` runs in a cell beside the step's or after it
 * (docs/design/keep-and-exec.md). pid 1 knows each by its process and by the socket of who asked
 * for it.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_INIT_VISITORS_H
#define STEPCELL_RUNTIME_NATIVE_INIT_VISITORS_H

#include <poll.h>
#include <sys/types.h>

#include "runtime/native/init/command.h"

struct visitor {
    pid_t pid;  /* 0: nobody */
    int socket; /* -1: who asked has gone */
};

struct visitors {
    struct visitor items[VISITORS_MAX];
    volatile struct failure *failures; /* shared memory, one for each */
};

/* Starts a visitor of an ENTER; takes both descriptors over. */
void visitors_admit(struct visitors *visitors, const struct init_config *config,
                    const struct sock_filter *filter, int request, int socket);

/* One for each visitor, and how many of them have to be polled; revents go to visitors_hear. */
nfds_t visitors_watch(const struct visitors *visitors, struct pollfd polled[VISITORS_MAX]);
void visitors_hear(struct visitors *visitors, const struct pollfd polled[VISITORS_MAX]);

/* Tells who asked that this child has ended, if it is a visitor. */
void visitors_end(struct visitors *visitors, pid_t pid, int status);

bool visitors_have(const struct visitors *visitors, pid_t pid);

#endif
