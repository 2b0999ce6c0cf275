/* The stream of what a step has changed: return_stream.h. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_GIVE_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_GIVE_H

#include "runtime/kubernetes/pod/changes.h"

/* With `all`, as if everything had been changed. False when it could not be written to its end. */
bool give_changes(const struct changes *changes, bool all, int to);

#endif
