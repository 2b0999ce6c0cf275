#include "base/caller.h"

#include <unistd.h>

bool caller_check(struct err *err)
{
    if (geteuid() == getuid() && getegid() == getgid())
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "stepcell was started with the rights of user %u by user %u", (unsigned int)geteuid(),
            (unsigned int)getuid());
    return err_hint(err, "remove its set-user-ID and set-group-ID bits; it needs no privileges");
}
