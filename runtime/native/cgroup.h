/*
 * The cgroups of one cell: made, limited, entered, asked and removed (docs/design/limits.md).
 *
 * Sequence: cgroup_make; then the first process of the cell is born in it (cgroup_birthplace) and
 * moved into it (cgroup_enter) before it starts anything; when the cell has ended,
 * cgroup_oom_killed, cgroup_remove. A cell without such limits has CGROUP_INIT, for which all of
 * them do nothing. What a stepcell that was killed has left is removed by cgroup_sweep.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_CGROUP_H
#define STEPCELL_RUNTIME_NATIVE_CGROUP_H

#include "base/buf.h"
#include "runtime/native/cgroup_find.h"
#include "runtime/run_spec.h"

#define CGROUP_RECORD "cgroups" /* in the scratch of the cell */

struct cgroup_dir {
    char *path; /* on the host */
    int fd;     /* -1 until it is made */
    bool unified;
    unsigned int controllers; /* bits 1 << CGROUP_* */
};

/* One directory for each hierarchy that is needed. */
struct cgroup {
    struct cgroup_dir dirs[CGROUP_CONTROLLERS];
    size_t count;
};

#define CGROUP_INIT ((struct cgroup){.count = 0})

/*
 * Makes the cgroups that the limits need, if any, and sets the limits. What is made is recorded in
 * the directory `scratch` before. A limit that this host cannot enforce, or not for this caller, is
 * engine.unavailable. After a failure, too, cgroup_remove must follow.
 */
bool cgroup_make(const struct limits *limits, int scratch, struct cgroup *cgroup, struct err *err);

/* Writes the limits of the directory's controllers and reads them back. */
bool cgroup_limit(const struct cgroup_dir *dir, const struct limits *limits, struct err *err);

/* The descriptor for CLONE_INTO_CGROUP, or -1. */
int cgroup_birthplace(const struct cgroup *cgroup);

/* Moves a process, which still has the caller's ids, into those in which it was not born. */
bool cgroup_enter(const struct cgroup *cgroup, pid_t pid, struct err *err);

/* Whether the kernel has killed a process in it for lack of memory, ever. */
bool cgroup_oom_killed(const struct cgroup *cgroup);

/*
 * Kills what is left in it, removes it and the record in `scratch`; adds the paths of what could
 * not be removed to `left`. Takes five seconds at the most.
 */
void cgroup_remove(struct cgroup *cgroup, int scratch, struct strv *left);

/*
 * Kills and removes what the record in the directory `place` names; true when nothing is left.
 * Takes five seconds at the most, and a moment when that has been waited for before.
 */
bool cgroup_sweep(int place);

#endif
