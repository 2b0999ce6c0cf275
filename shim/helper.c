#include "shim/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

char *helper_path(const char *name, struct err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *path = NULL;

    if (n > 0) {
        self[n] = '\0';
        for (int i = 0; i < 2; i++) {
            char *slash = strrchr(self, '/');

            if (slash)
                *slash = '\0';
        }
        path = text_printf("%s/libexec/stepcell/%s", self, name);
    }
    if (!path)
        err_errno(err, ERR_ENGINE_FAILED, "cannot find the program '%s'", name);
    return path;
}

/* In the child: what was blocked and ignored for stepcell itself is not for its helpers. */
_Noreturn static void execute(const char *path, char *const *words, int report)
{
    sigset_t none;

    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (report == HELPER_REPORT_FD ? fcntl(report, F_SETFD, 0) == 0
                                   : dup2(report, HELPER_REPORT_FD) == HELPER_REPORT_FD)
        execv(path, words);
    _exit(127);
}

bool helper_start(const char *name, char *const *words, pid_t *pid, int *report, struct err *err)
{
    autofree char *path = helper_path(name, err);
    autofd writer = -1, reader = -1;
    int ends[2];
    pid_t child;

    if (!path)
        return false;
    if (access(path, X_OK) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot use the program '%s'", path);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    reader = ends[0];
    writer = ends[1];
    child = fork();
    if (child == 0)
        execute(path, words, writer);
    if (child < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    *pid = child;
    *report = TAKE_FD(reader);
    return true;
}
