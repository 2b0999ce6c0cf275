/*
 * The filter of a child that reads hostile bytes: seccomp_unpack.json, compiled when stepcell is
 * built. It leaves what writing and reading trees below a descriptor takes, memory, and threads.
 * There is no call that makes a process, a socket or a namespace, executes a program, signals or
 * traces, and nothing can be opened by a path of the host's or made executable in memory.
 */
#ifndef STEPCELL_RUNTIME_CONFINE_SECCOMP_UNPACK_H
#define STEPCELL_RUNTIME_CONFINE_SECCOMP_UNPACK_H

#include <stdbool.h>

/* Puts it on the calling thread, which has no_new_privs. errno on failure. */
bool seccomp_unpack_install(void);

#endif
