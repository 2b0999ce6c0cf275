#include "shim/image/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/child.h"
#include "base/file.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_unpack.h"
#include "runtime/image/unpack.h"

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define STATM_MAX 256 /* bytes of /proc/self/statm */

/*
 * Owners, modes of what belongs to others, set-id bits and file capabilities of the layer's own
 * files; a whiteout needs none (Linux 5.8).
 */
static const uint64_t kept =
    CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(SETFCAP);

static bool no_wall(const char *what, struct err *err)
{
    return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot confine a child that unpacks: %s", what);
}

/* ---- descriptors ---- */

/* What a library says on 0 to 2 may hold anything, terminals' commands too: nobody reads it. */
static bool close_others(const struct reach *reach, int *highest)
{
    autofree int *keep = malloc((reach->count + 1) * sizeof(*keep));

    if (!keep)
        return false;
    keep[reach->count] = *highest = reach->root;
    for (size_t i = 0; i < reach->count; i++) {
        keep[i] = reach->descriptors[i];
        if (keep[i] > *highest)
            *highest = keep[i];
    }
    return child_keep_only(keep, reach->count + 1);
}

/* ---- resources ---- */

/* A sanitizer reserves terabytes at the start, so what there is already is no matter. */
static bool address_space(rlim_t *bytes)
{
    autobuf text = BUF_INIT(STATM_MAX);
    unsigned long long pages;
    struct err ignored;

    if (!file_read(AT_FDCWD, "/proc/self/statm", &text, ERR_ENGINE_UNAVAILABLE, &ignored) ||
        sscanf(text.data, "%llu", &pages) != 1)
        return false;
    *bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool set_limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) < 0)
        return false;
    /* Only downwards: nothing more is permitted everywhere. */
    if (limit.rlim_max > value)
        limit.rlim_max = value;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) == 0;
}

static bool limit_resources(rlim_t memory, int highest)
{
    const struct unpack_limits limits = UNPACK_LIMITS;

    /* A file that is too large is to be an error that can be named. */
    signal(SIGXFSZ, SIG_IGN);
    return set_limit(RLIMIT_AS, memory + WALLS_MEMORY) && set_limit(RLIMIT_FSIZE, limits.file) &&
           set_limit(RLIMIT_NOFILE, (rlim_t)highest + WALLS_DESCRIPTORS) &&
           set_limit(RLIMIT_NPROC, WALLS_THREADS) && set_limit(RLIMIT_CORE, 0) &&
           set_limit(RLIMIT_MEMLOCK, 0) && set_limit(RLIMIT_MSGQUEUE, 0);
}

/* ---- all of it ---- */

bool walls_put_up(const struct reach *reach, struct err *err)
{
    rlim_t memory;
    int highest;

    if (!address_space(&memory))
        return no_wall("its memory is unknown", err);
    if (!close_others(reach, &highest))
        return no_wall("descriptors cannot be closed", err);
    if (fchdir(reach->root) < 0 || chroot(".") < 0)
        return no_wall("its root cannot be changed", err);
    if (!limit_resources(memory, highest))
        return no_wall("its resources cannot be limited", err);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !caps_bound(kept) || !caps_set(kept))
        return no_wall("its capabilities cannot be dropped", err);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !seccomp_unpack_install())
        return no_wall("its system calls cannot be filtered", err);
    return true;
}
