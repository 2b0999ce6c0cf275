/*
 * Seccomp profiles in the JSON form that Docker and Podman share, and the filters made of them.
 *
 * A profile is followed to the letter: default action, archMap or architectures, rules with their
 * conditions on arguments, capabilities, architectures and kernel. The first rule of such profiles
 * is that what is not named is refused, so two additions keep programs alive that are newer than
 * their profile: a system call with a number above every number of the profile gives ENOSYS, which
 * makes C libraries try an older one, and so does a call of an architecture that the profile does
 * not name.
 *
 * Unknown keys and words are refused: a mistyped rule must not open what it was to close. Names of
 * system calls that nobody knows are passed over in rules that allow, and refused in others.
 */
#ifndef STEPCELL_RUNTIME_CONFINE_SECCOMP_PROFILE_H
#define STEPCELL_RUNTIME_CONFINE_SECCOMP_PROFILE_H

#include <linux/filter.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define SECCOMP_PROFILE_MAX (1 << 20) /* bytes of a profile's text */

/* A classic BPF program. The instructions are the owner's, or static. */
struct seccomp_filter {
    const struct sock_filter *code;
    size_t count; /* at most BPF_MAXINSNS, 4096 */
};

/*
 * Makes the filter that a profile means for this architecture, with the capabilities of the
 * bounding set `caps`; with the sub-architectures of its archMap (32 bits) or without. `what` names
 * the profile in messages. filter->code is the caller's to free. config.invalid.
 */
bool seccomp_profile_compile(const json_t *profile, const char *what, uint64_t caps,
                             bool sub_architectures, struct seccomp_filter *filter,
                             struct err *err);

#endif
