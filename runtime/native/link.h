/*
 * Network interfaces of the caller's network namespace, asked of the kernel itself: what is mounted
 * at /sys may show another namespace's.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_LINK_H
#define STEPCELL_RUNTIME_NATIVE_LINK_H

#include <net/if.h>
#include <stdbool.h>

#include "base/err.h"

#define LINK_ALIAS_MAX 256 /* with the NUL */

struct link {
    int master; /* the index of the bridge that it is a port of, or 0 */
    char name[IF_NAMESIZE];
    char alias[LINK_ALIAS_MAX];
};

/* What the kernel knows of an interface; false with errno (ENODEV) without such a one. */
bool link_find(const char *name, struct link *link);

/* Calls `each` for every port of the bridge, until one call gives false. False with errno. */
bool link_each_port(const char *bridge, bool (*each)(void *data, const struct link *port),
                    void *data);

/* Names an interface for people and programs ("ip link" shows it); the kernel does not use it. */
bool link_set_alias(const char *name, const char *alias);

/*
 * Routes by which the loopback's addresses are this namespace's own also for a socket that is bound
 * to the interface, which would send them out through it. False with errno.
 */
bool link_keep_loopback(const char *name);

#endif
