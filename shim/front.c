#include "shim/front.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/signals.h"
#include "shim/commands.h"

#define INHERITED_MAX 1024

/* Descriptors of the caller's. A path may name them, and so they stay until the step has ended. */
struct inherited {
    int fds[INHERITED_MAX];
    size_t count;
};

static bool note_inherited(void *data, int dirfd, const char *name)
{
    struct inherited *inherited = data;
    uint64_t fd;

    /* What closes upon execution is stepcell's own. */
    if (num_parse(name, INT32_MAX, &fd) && fd > STDERR_FILENO && (int)fd != dirfd &&
        !(fcntl((int)fd, F_GETFD) & FD_CLOEXEC) && inherited->count < INHERITED_MAX)
        inherited->fds[inherited->count++] = (int)fd;
    return true;
}

_Noreturn static void run_behind(struct session *session, pid_t front, int told)
{
    struct inherited inherited = {.count = 0};
    struct err err = ERR_INIT;
    bool ready;

    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != front)
        _exit(STATUS_FAILED);
    file_each_entry(AT_FDCWD, "/proc/self/fd", note_inherited, &inherited);
    ready = session_begin(session, &err);
    session_perform(session, ready, &err);
    if (session->deadline)
        prctl(PR_SET_PDEATHSIG, 0);
    (void)!write(told, &session->result.exit_code, sizeof(session->result.exit_code));
    close(told);
    for (size_t i = 0; session->deadline && i < inherited.count; i++)
        close(inherited.fds[i]);
    if (session->deadline)
        session_hold(session);
    session_close(session);
    _exit(0);
}

struct front {
    struct loop loop;
    pid_t child;
    int told;
    int status; /* -1: nobody has told it */
};

static bool on_signal(void *data, int signal, struct err *err)
{
    const struct front *front = data;

    (void)err;
    kill(front->child, signal);
    return true;
}

static bool take_status(void *data, uint32_t events, struct err *err)
{
    struct front *front = data;
    int status;

    (void)events, (void)err;
    if (read(front->told, &status, sizeof(status)) == (ssize_t)sizeof(status))
        front->status = status;
    loop_stop(&front->loop);
    return true;
}

static bool await(struct front *front, struct err *err)
{
    struct loop_io io = {front->told, take_status, front};

    if (!loop_add(&front->loop, &io, EPOLLIN, err) || !loop_run(&front->loop, err))
        return false;
    return front->status >= 0 ||
           err_set(err, ERR_ENGINE_FAILED, "the process that runs the step was killed");
}

bool front_run(struct session *session, int *status, struct err *err)
{
    struct front front = {.loop = LOOP_INIT, .status = -1};
    pid_t self = getpid();
    int ends[2];
    bool ok;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    front.told = ends[0];
    ok = loop_open(&front.loop, err) && signals_watch(&front.loop, on_signal, &front, err);
    front.child = ok ? fork() : -1;
    if (front.child == 0) {
        close(front.told);
        loop_close(&front.loop);
        run_behind(session, self, ends[1]);
    }
    close(ends[1]);
    if (ok && front.child < 0)
        ok = err_errno(err, ERR_ENGINE_FAILED, "cannot start a process for the step");
    session->attached = ok;
    ok = ok && await(&front, err);
    loop_close(&front.loop);
    close(front.told);
    *status = front.status;
    return ok;
}
