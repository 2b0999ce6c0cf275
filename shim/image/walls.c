#include "shim/image/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_unpack.h"
#include "runtime/image/unpack.h"

#define CAP(name)   (UINT64_C(1) << CAP_##name)
#define STATM_MAX   256 /* bytes of /proc/self/statm */
#define STANDARD_FD 3   /* the first descriptor behind stdin, stdout and stderr */

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

static bool close_between(unsigned int first, unsigned int last)
{
    return first > last || syscall(SYS_close_range, first, last, 0) == 0;
}

/* The lowest descriptor of the reach from `first` on, or -1. */
static int next_kept(const struct reach *reach, int first)
{
    int next = reach->root >= first ? reach->root : -1;

    for (size_t i = 0; i < reach->count; i++) {
        int fd = reach->descriptors[i];

        if (fd >= first && (next < 0 || fd < next))
            next = fd;
    }
    return next;
}

/* Writes where nobody reads: what a library says may hold anything, terminals' commands too. */
static bool silence(void)
{
    autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; null >= 0 && fd < STANDARD_FD; fd++) {
        if (fd != null && dup2(null, fd) < 0)
            return false;
    }
    return null >= 0;
}

/* *highest is what the greatest descriptor that stays open is. */
static bool close_others(const struct reach *reach, int *highest)
{
    int first = STANDARD_FD, next;

    while ((next = next_kept(reach, first)) >= 0) {
        if (!close_between((unsigned int)first, (unsigned int)next - 1))
            return false;
        first = next + 1;
    }
    *highest = first - 1;
    return close_between((unsigned int)first, ~0U);
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
    if (!silence() || !close_others(reach, &highest))
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
