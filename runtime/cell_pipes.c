#include "runtime/cell_pipes.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

bool cell_pipe_make(int *reader, int *writer, struct err *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed(err, "make a pipe");
    *reader = ends[0];
    *writer = ends[1];
    return true;
}

bool cell_pipes_make(bool with_in, struct cell_pipes *pipes, struct err *err)
{
    if (!cell_pipe_make(&pipes->out, &pipes->child_out, err) ||
        !cell_pipe_make(&pipes->err, &pipes->child_err, err) ||
        (with_in && !cell_pipe_make(&pipes->child_in, &pipes->in, err)))
        return false;
    return (fcntl(pipes->out, F_SETFL, O_NONBLOCK) == 0 &&
            fcntl(pipes->err, F_SETFL, O_NONBLOCK) == 0 &&
            (!with_in || fcntl(pipes->in, F_SETFL, O_NONBLOCK) == 0)) ||
           failed(err, "prepare the streams");
}

bool cell_pipes_give(const struct cell_pipes *pipes, uid_t uid, struct err *err)
{
    const int ends[] = {pipes->child_in, pipes->child_out, pipes->child_err};

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (ends[i] >= 0 && fchown(ends[i], uid, (gid_t)-1) < 0)
            return failed(err, "prepare the streams");
    }
    return true;
}

void cell_pipes_take_terminal(struct cell_pipes *pipes, int *terminal, bool with_in)
{
    close_fd(pipes->in);
    close_fd(pipes->out);
    pipes->out = TAKE_FD(*terminal);
    pipes->in = with_in ? fcntl(pipes->out, F_DUPFD_CLOEXEC, 3) : -1;
}

void cell_pipes_close_child(struct cell_pipes *pipes)
{
    pipes->child_in = close_fd(pipes->child_in);
    pipes->child_out = close_fd(pipes->child_out);
    pipes->child_err = close_fd(pipes->child_err);
}

void cell_pipes_close(struct cell_pipes *pipes)
{
    cell_pipes_close_child(pipes);
    pipes->in = close_fd(pipes->in);
    pipes->out = close_fd(pipes->out);
    pipes->err = close_fd(pipes->err);
}
