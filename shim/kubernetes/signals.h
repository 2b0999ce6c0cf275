/*
 * Signals for the command of a step, other than those that end it: by the API's exec, which starts
 * `stepcell-pod signal` beside pid 1. As with the kernel's own, one that is under way twice comes
 * once, and the order of several is open.
 */
#ifndef STEPCELL_SHIM_KUBERNETES_SIGNALS_H
#define STEPCELL_SHIM_KUBERNETES_SIGNALS_H

#include <pthread.h>

#include "runtime/kubernetes/kubeconfig.h"

struct signals {
    const struct kube_config *config;
    const char *name;    /* of the Pod */
    const char *program; /* stepcell-pod there */
    pthread_mutex_t lock;
    /* With the lock. */
    uint64_t waiting; /* a bit for each */
    bool busy;        /* a thread passes them on */
};

void signals_add(struct signals *signals, int number);

/*
 * Passes on what was added, without waiting for it. One that does not get there is told as a NOTE.
 * To be called once the container runs: before, nobody can come in.
 */
void signals_pass(struct signals *signals);

#endif
