/* What the API lets the caller do in a namespace, asked of itself: nothing is tried. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_RIGHTS_H
#define STEPCELL_RUNTIME_KUBERNETES_RIGHTS_H

#include "runtime/kubernetes/client.h"

struct kube_right {
    const char *verb, *resource, *subresource; /* the last is NULL for the resource itself */
};

/* By a SelfSubjectAccessReview; who may not ask that is taken for allowed, and finds out. */
bool kube_is_allowed(struct kube_client *client, const char *space, const struct kube_right *right,
                     bool *allowed, struct err *err);

#endif
