/*
 * What the step has changed in a working directory that was shipped, out of its Pod: by the API's
 * exec, which starts `stepcell-pod collect` beside pid 1. A thread of its own: it may take long.
 */
#ifndef STEPCELL_SHIM_KUBERNETES_COLLECT_H
#define STEPCELL_SHIM_KUBERNETES_COLLECT_H

#include "shim/kubernetes/watch.h"

struct collect {
    const struct kube_config *config;
    const char *name;    /* of the Pod */
    const char *program; /* stepcell-pod there */
    struct sight *sight;
    bool all; /* what is unchanged as well */
    int to;   /* a file, which has the whole stream then */
    /* With the sight's lock. */
    bool done;
    struct err err; /* why it has not; ERR_NONE: it has */
};

/* Thread function; `data` is the struct collect. */
void *collect_changes(void *data);

#endif
