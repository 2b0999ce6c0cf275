#include "runtime/image/task.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"

_Noreturn static void run(struct task *task, pid_t parent,
                          bool (*function)(void *argument, struct err *err), void *argument)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have ended before that. */
    if (getppid() != parent)
        _exit(1);
    _exit(function(argument, task->shared) ? 0 : 1);
}

bool task_start(struct task *task, bool (*function)(void *argument, struct err *err),
                void *argument, struct err *err)
{
    pid_t parent = getpid();
    struct err *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start a child");
    task->shared = shared;
    task->pid = fork();
    if (task->pid == 0)
        run(task, parent, function, argument);
    if (task->pid > 0)
        return true;
    err_errno(err, ERR_ENGINE_FAILED, "cannot start a child");
    task_release(task);
    return false;
}

bool task_wait(struct task *task, struct err *err)
{
    int status = child_wait(task->pid);

    task->pid = -1;
    if (status > 128 || status < 0)
        err_set(err, ERR_ENGINE_FAILED, "a child that works on an image was killed by signal %d",
                status - 128);
    else if (status != 0)
        *err = *task->shared;
    task_release(task);
    return status == 0;
}

void task_release(struct task *task)
{
    if (task->pid > 0) {
        kill(task->pid, SIGKILL);
        child_wait(task->pid);
    }
    if (task->shared)
        munmap(task->shared, sizeof(*task->shared));
    *task = TASK_INIT;
}
