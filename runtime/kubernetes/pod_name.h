/* Names and labels of a step's objects in a cluster. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_NAME_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_NAME_H

#include "runtime/kubernetes/pod_spec.h"

/* "stepcell-" and digits that nobody else has. */
bool pod_name_make(char name[POD_NAME_MAX], struct err *err);

/* The one name of a durable step, on whichever worker: of any id. */
void pod_name_of_step(const char *step, char name[POD_NAME_MAX]);

/* The value of LABEL_POD_STEP: of any id, as the API takes it. */
void pod_label_step(const char *step, char label[POD_LABEL_MAX]);

/* The value of LABEL_POD_OWNER: of this machine and user. */
bool pod_label_owner(char label[POD_LABEL_MAX], struct err *err);

/* Whether the API takes it: a name (RFC 1123, with dots); a key and a value of a label. */
bool pod_is_name(const char *name);
bool pod_is_label(const char *key, const char *value);

/* Whether it is nobody else's to set: a label's key; one of the node selector. */
bool pod_label_is_own(const char *key);
bool pod_selector_is_own(const char *key);

#endif
