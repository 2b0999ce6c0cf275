#include "runtime/image/task.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
    int status = -1;
    bool ok;

    while (waitpid(task->pid, &status, 0) < 0 && errno == EINTR)
        ;
    task->pid = -1;
    ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ok && WIFEXITED(status))
        *err = *task->shared;
    else if (!ok)
        err_set(err, ERR_ENGINE_FAILED, "a child that works on an image was killed by signal %d",
                WTERMSIG(status));
    task_release(task);
    return ok;
}

void task_release(struct task *task)
{
    if (task->pid > 0) {
        kill(task->pid, SIGKILL);
        while (waitpid(task->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (task->shared)
        munmap(task->shared, sizeof(*task->shared));
    *task = TASK_INIT;
}
