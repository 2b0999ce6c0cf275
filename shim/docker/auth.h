/* The caller's credentials for a registry, as a daemon takes them. */
#ifndef STEPCELL_SHIM_DOCKER_AUTH_H
#define STEPCELL_SHIM_DOCKER_AUTH_H

#include "runtime/docker/client.h"
#include "runtime/image/reference.h"

/*
 * The value of X-Registry-Auth for a pull of the reference, or with auth_find_config that of
 * X-Registry-Config for a build on it: to be wiped by the caller, NULL where there are no
 * credentials. option.invalid where others could read them on the way.
 */
bool auth_find(const struct reference *reference, const struct client *client, const char *engine,
               char **auth, struct err *err);
bool auth_find_config(const struct reference *reference, const struct client *client,
                      const char *engine, char **config, struct err *err);

#endif
