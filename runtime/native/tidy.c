#include "runtime/native/tidy.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "runtime/native/ownership.h"
#include "runtime/native/scratch.h"

#define TIDY_ALL (TIDY_NOT_GIVEN_BACK | TIDY_NOT_REMOVED)
#define LITTLE   1000 /* entries of directories, in a few milliseconds */

static bool give_back(const struct tidy *tidy, struct file_budget *budget)
{
    /* The scratch is STORE/cells/N. */
    autofd store = openat(tidy->scratch, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct ownership_cell ended = {
        .plan = tidy->spec->plan,
        .map = tidy->map,
        .had_other_ids = ownership_has_other_ids(tidy->spec),
        .start = tidy->start,
        .store = store,
    };

    return tidy->userns < 0 || ownership_give_back(&ended, budget);
}

/*
 * Everything that the cell wrote to its scratch: see cell.c and mounts/apply.c. No directory serves
 * two overlays: who has a descriptor of the first one's root, sent out of the cell over a socket,
 * would read and write the second one's files by it.
 */
static bool remove_written(const struct tidy *tidy, struct file_budget *budget)
{
    static const char *const made[] = {"root", SCRATCH_UPPER, SCRATCH_WORK};
    const struct mount_plan *plan = tidy->spec->plan;
    bool ok = true;

    for (size_t i = 0; i < ARRAY_SIZE(made); i++)
        ok = file_remove_within(tidy->scratch, made[i], budget) && ok;
    for (size_t i = 0; i < plan->count; i++) {
        autofree char *name = text_printf("cow%zu", i);

        if (plan->mounts[i].kind == MOUNT_COW)
            ok = name && file_remove_within(tidy->scratch, name, budget) && ok;
    }
    return ok;
}

static void do_all(const struct tidy *tidy, struct tidy_work *work)
{
    /* Again, when somebody who was sent a descriptor has written something meanwhile. */
    if (remove_written(tidy, &work->budget) || remove_written(tidy, &work->budget))
        work->left &= ~TIDY_NOT_REMOVED;
    /* Last: it may meet a server that does not answer. */
    if (give_back(tidy, &work->budget))
        work->left &= ~TIDY_NOT_GIVEN_BACK;
}

/* Files of subordinate ids can be changed only in the namespace that has these ids. */
static bool needs_namespace(const struct tidy *tidy)
{
    return tidy->map->kind == IDMAP_RANGES && tidy->userns >= 0;
}

bool tidy_at_once(struct tidy *tidy, unsigned int *left)
{
    struct tidy_work work = {.budget.max = LITTLE, .left = TIDY_ALL};

    *left = 0;
    if (tidy->scratch < 0)
        return true;
    if (tidy->served || needs_namespace(tidy))
        return false;
    do_all(tidy, &work);
    *left = work.left;
    return !file_budget_is_spent(&work.budget);
}

_Noreturn static void work(const struct tidy *tidy)
{
    const int keep[] = {tidy->scratch, tidy->userns};

    prctl(PR_SET_NAME, "stepcell-tidy");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!child_keep_only(keep, ARRAY_SIZE(keep)) ||
        (needs_namespace(tidy) && setns(tidy->userns, CLONE_NEWUSER) < 0))
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of credentials may clear it */
    do_all(tidy, tidy->work);
    _exit(0);
}

bool tidy_start(struct tidy *tidy, struct err *err)
{
    void *shared =
        mmap(NULL, sizeof(*tidy->work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot clean up");
    tidy->work = shared;
    *tidy->work = (struct tidy_work){.budget.max = UINT64_MAX, .left = TIDY_ALL};
    tidy->child = fork();
    if (tidy->child == 0)
        work(tidy);
    if (tidy->child > 0)
        tidy->pidfd = (int)syscall(SYS_pidfd_open, tidy->child, 0);
    return tidy->pidfd >= 0 || err_errno(err, ERR_ENGINE_FAILED, "cannot clean up");
}

bool tidy_goes_on(struct tidy *tidy)
{
    uint64_t before = tidy->seen;

    tidy->seen = __atomic_load_n(&tidy->work->budget.used, __ATOMIC_RELAXED);
    return tidy->seen != before;
}

unsigned int tidy_finish(struct tidy *tidy)
{
    unsigned int left = TIDY_ALL;

    if (tidy->child > 0 && waitpid(tidy->child, NULL, WNOHANG) != tidy->child)
        kill(tidy->child, SIGKILL);
    tidy->child = 0;
    tidy->pidfd = close_fd(tidy->pidfd);
    if (tidy->work) {
        left = tidy->work->left;
        munmap(tidy->work, sizeof(*tidy->work));
        tidy->work = NULL;
    }
    return left;
}
