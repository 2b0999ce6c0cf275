/* The setup of a Pod, as stepcell-pod reads it: pod_setup.h. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_SETUP_READ_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_SETUP_READ_H

#include <linux/filter.h>

#include "base/err.h"
#include "runtime/kubernetes/pod_setup.h"

struct setup {
    struct pod_setup head;
    const uint32_t *secret_sizes;
    const struct sock_filter *filter;
    const char *workdir, *home, *spare_home, *returned;
    char **arguments, **environment; /* with room for one more, and NULL */
    char **probes;                   /* a path and its contents in turn */
    char **interpreters, **secrets, **hidden;
    const char *bytes; /* of the secrets, where they are there */
    size_t kept;       /* bytes in front of those */
};

/* Reads the file at `path`; `with_bytes`: what is behind the texts has to be there. */
bool setup_read(const char *path, bool with_bytes, struct setup *setup, struct err *err);

#endif
