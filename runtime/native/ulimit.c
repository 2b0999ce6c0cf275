#include "runtime/native/ulimit.h"

#include <errno.h>
#include <sys/resource.h>

static bool refused(const struct ulimit *one, rlim_t own, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%s' of --ulimit is above the caller's hard limit",
            one->name);
    return err_hint(err, "ask for %llu at the most, or raise the limit of whoever calls stepcell",
                    (unsigned long long)own);
}

bool ulimit_raise(pid_t pid, const struct limits *limits, struct err *err)
{
    for (size_t i = 0; i < limits->ulimit_count; i++) {
        const struct ulimit *one = &limits->ulimits[i];
        struct rlimit is, wanted;

        if (prlimit(pid, (__rlimit_resource_t)one->resource, NULL, &is) < 0) {
            /* A process that is gone has said why on the control socket. */
            return errno == ESRCH ||
                   err_errno(err, ERR_ENGINE_FAILED, "cannot read the limits of the cell");
        }
        wanted = (struct rlimit){.rlim_cur = is.rlim_cur, .rlim_max = one->hard};
        if (one->hard > is.rlim_max &&
            prlimit(pid, (__rlimit_resource_t)one->resource, &wanted, NULL) < 0)
            return refused(one, is.rlim_max, err);
    }
    return true;
}
