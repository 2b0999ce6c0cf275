/*
 * Landlock scopes: on the host's network a cell would reach the host's abstract unix sockets, which
 * belong to the network namespace and to no file system (CVE-2020-15257). Linked into the cell's
 * static pid 1: system calls only.
 */
#ifndef STEPCELL_RUNTIME_CONFINE_LANDLOCK_H
#define STEPCELL_RUNTIME_CONFINE_LANDLOCK_H

#include <stdbool.h>

/*
 * From here on the calling process and its children connect only to abstract sockets that one of
 * them made. Needs no_new_privs. True as well where the kernel cannot do it (before Linux 6.12, or
 * with Landlock switched off); errno on failure.
 */
bool landlock_scope_sockets(void);

/* Whether this kernel can. */
bool landlock_has_scopes(void);

/* The version of Landlock (its ABI); less than 1 where there is none. */
int landlock_version(void);

#endif
