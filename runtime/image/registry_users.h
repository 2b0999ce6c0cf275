/* What users may say about registries: nothing that an administrator's policy depends on. */
#ifndef STEPCELL_RUNTIME_IMAGE_REGISTRY_USERS_H
#define STEPCELL_RUNTIME_IMAGE_REGISTRY_USERS_H

#include "base/json.h"

/*
 * Whether users may say where images come from and whom to trust with it: not where the
 * administrator has a policy (of stepcell's, or a containers' policy.json that does not
 * accept everything), since a mirror of one's own would answer for the names that it
 * allows, and so would a proxy. Then only the files below /etc count, and the caller's proxies get
 * nothing but TLS.
 */
bool registry_users_configure(void);

/* Whether this is what a containers' policy.json says that accepts everything (pure). */
bool registry_policy_accepts_all(json_t *containers);

#endif
