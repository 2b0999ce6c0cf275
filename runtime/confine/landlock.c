#include "runtime/confine/landlock.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h of Linux 6.12; Debian 12 has that of 6.1. */
#define CREATE_RULESET_VERSION     (1U << 0)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPES_VERSION             6

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

int landlock_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
}

bool landlock_has_scopes(void)
{
    return landlock_version() >= SCOPES_VERSION;
}

bool landlock_scope_sockets(void)
{
    struct ruleset_attr attr = {.scoped = SCOPE_ABSTRACT_UNIX_SOCKET};
    bool ok;
    int ruleset;

    if (!landlock_has_scopes())
        return true;
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0)
        return false;
    ok = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok;
}
