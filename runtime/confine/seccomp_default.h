/*
 * The default filter: seccomp_default.json, which has the rules of Docker's default profile
 * (moby/profiles, seccomp/default.json, version 0.2.3), compiled when stepcell is built, with the
 * capabilities of CAPS_DEFAULT.
 *
 * It differs from Docker's in two points. The 32-bit system calls of a 64-bit machine are there
 * only when the caller asks for a 32-bit platform: through socketcall(2) they open the socket
 * families that the filter closes, since a filter does not see memory. And families are compared by
 * the 32 bits that the kernel looks at.
 */
#ifndef STEPCELL_RUNTIME_CONFINE_SECCOMP_DEFAULT_H
#define STEPCELL_RUNTIME_CONFINE_SECCOMP_DEFAULT_H

#include <stdbool.h>

#include "runtime/confine/seccomp_profile.h"

/* Static, never freed. */
struct seccomp_filter seccomp_default(bool with_32_bits);

/* What was given; or the default where it is needed; or none, of no instructions. Borrowed. */
struct seccomp_filter seccomp_choose(const struct seccomp_filter *given, bool needs_default,
                                     bool with_32_bits);

#endif
