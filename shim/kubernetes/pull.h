/* What lets a cluster's nodes pull the images of a step: the caller's own credentials for them. */
#ifndef STEPCELL_SHIM_KUBERNETES_PULL_H
#define STEPCELL_SHIM_KUBERNETES_PULL_H

#include "base/json.h"

/*
 * A Secret of the labels of `secret`, with what credentials_find gives for each of `names`
 * ("HOST/PATH") and no more. *pull is NULL where there is none that a node could use: a user and a
 * password. Owned by the caller.
 */
bool pull_secret_make(const json_t *names, const json_t *secret, json_t **pull, struct err *err);

/* Lets the Pod use it. */
bool pull_secret_use(const json_t *pull, json_t *pod, struct err *err);

#endif
