/* Puts a filter on the calling thread. Linked into the cell's static pid 1: system calls only. */
#ifndef STEPCELL_RUNTIME_CONFINE_SECCOMP_INSTALL_H
#define STEPCELL_RUNTIME_CONFINE_SECCOMP_INSTALL_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

/* Needs no_new_privs. Kept across execve(2), and by all children. errno on failure. */
bool seccomp_install(const struct sock_filter *code, size_t count);

#endif
