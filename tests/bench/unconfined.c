/*
 * What confines a cell, without effect: linked instead of runtime/confine/ and mounts/mask.c into a
 * build that scripts/bench makes to measure what confinement costs (STEPCELL_UNCONFINED), and into
 * no other.
 */
#include "mounts/mask.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/landlock.h"
#include "runtime/confine/seccomp_install.h"

bool mask_paths(int proc, int sys, int null, struct err *err)
{
    (void)proc, (void)sys, (void)null, (void)err;
    return true;
}

bool caps_bound(uint64_t keep)
{
    (void)keep;
    return true;
}

bool caps_set(uint64_t caps)
{
    (void)caps;
    return true;
}

int landlock_version(void)
{
    return 0;
}

bool landlock_has_scopes(void)
{
    return false;
}

bool landlock_scope_sockets(void)
{
    return true;
}

bool seccomp_install(const struct sock_filter *code, size_t count)
{
    (void)code, (void)count;
    return true;
}
