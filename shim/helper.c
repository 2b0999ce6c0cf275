#include "shim/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/libexec.h"

/* In the child: what was blocked and ignored for stepcell itself is not for its helpers. */
_Noreturn static void execute(const char *path, char *const *words, int report, int shared)
{
    char **environment = libexec_environment();
    sigset_t none;
    /* Out of the way of both numbers first. */
    int high_report = fcntl(report, F_DUPFD_CLOEXEC, HELPER_SHARED_FD + 1);
    int high_shared = shared < 0 ? -1 : fcntl(shared, F_DUPFD_CLOEXEC, HELPER_SHARED_FD + 1);

    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (environment && dup2(high_report, HELPER_REPORT_FD) == HELPER_REPORT_FD &&
        (shared < 0 || dup2(high_shared, HELPER_SHARED_FD) == HELPER_SHARED_FD))
        execve(path, words, environment);
    _exit(127);
}

bool helper_start(const char *name, char *const *words, int shared, pid_t *pid, int *report,
                  struct err *err)
{
    autofree char *path = libexec_program(name, err);
    autofd writer = -1, reader = -1;
    int ends[2];
    pid_t child;

    if (!path)
        return false;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    reader = ends[0];
    writer = ends[1];
    child = fork();
    if (child == 0)
        execute(path, words, writer, shared);
    if (child < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    *pid = child;
    *report = TAKE_FD(reader);
    return true;
}
