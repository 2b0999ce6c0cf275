/*
 * Whether the sources on the host answer. A server of FUSE or NFS that hangs holds whoever asks it,
 * deaf to all signals but SIGKILL: where there are such mounts, a child asks first.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "mounts/mountinfo.h"
#include "shim/session.h"

#define ANSWER_LIMIT_MS 30000

struct asking {
    struct session *session;
    int reader;
    struct loop_io io;
    struct loop_timer limit;
    bool answered;
    const char *last; /* path that was asked for */
};

static bool has_servers(struct session *session)
{
    struct buf *text = &session->mountinfo;
    struct err ignored;

    return !file_read(AT_FDCWD, "/proc/self/mountinfo", text, ERR_ENGINE_FAILED, &ignored) ||
           mountinfo_has_served(text->data);
}

/* Says which path it asks for, by its address in the memory of both, before it does. */
_Noreturn static void ask(const struct session *session, const char *store, int writer)
{
    const char *script = session->options.script;
    char head[SCRIPT_HEAD_MAX];
    struct err ignored;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!child_keep_only(&writer, 1))
        _exit(1);
    for (size_t i = 0; i <= session->options.mount_count; i++) {
        const char *source = session->specs[i].source;
        struct stat st;

        /* What it answers is looked at later. */
        if (source && write(writer, &source, sizeof(source)) == (ssize_t)sizeof(source))
            (void)!stat(source, &st);
    }
    if (store && write(writer, &store, sizeof(store)) == (ssize_t)sizeof(store)) {
        struct stat st;

        (void)!stat(store, &st);
    }
    if (script && strcmp(script, "-") != 0 &&
        write(writer, &script, sizeof(script)) == (ssize_t)sizeof(script))
        (void)!script_read_head(script, head, &ignored);
    _exit(0);
}

static bool take_answer(void *data, uint32_t events, struct err *err)
{
    struct asking *asking = data;
    ssize_t n = read(asking->reader, &asking->last, sizeof(asking->last));

    (void)events, (void)err;
    if (n == (ssize_t)sizeof(asking->last) || (n < 0 && errno == EINTR))
        return true;
    asking->answered = true;
    loop_stop(&asking->session->loop);
    return true;
}

static bool is_late(void *data, struct err *err)
{
    struct asking *asking = data;

    (void)err;
    loop_stop(&asking->session->loop);
    return true;
}

static bool no_answer(const struct session *session, const struct asking *asking, struct err *err)
{
    if (session_is_canceled(session, err))
        return false;
    err_set(err, ERR_MOUNT_SOURCE_MISSING, "'%s' has not answered for %d seconds", asking->last,
            ANSWER_LIMIT_MS / 1000);
    return err_hint(err, "see whether the server of its file system is there");
}

static bool wait_for_answers(struct session *session, pid_t child, int reader, struct err *err)
{
    struct asking asking = {.session = session, .reader = reader};
    bool ok;

    asking.io = (struct loop_io){reader, take_answer, &asking};
    asking.limit = (struct loop_timer){.fire = is_late, .data = &asking};
    loop_set_timer(&session->loop, &asking.limit, ANSWER_LIMIT_MS);
    ok = loop_add(&session->loop, &asking.io, EPOLLIN, err) && loop_run(&session->loop, err);
    loop_remove(&session->loop, &asking.io);
    loop_clear_timer(&session->loop, &asking.limit);
    kill(child, SIGKILL);
    /* One that the kernel does not let go is not waited for. */
    waitpid(child, NULL, asking.answered ? 0 : WNOHANG);
    return ok && (asking.answered || no_answer(session, &asking, err));
}

bool session_ask_sources(struct session *session, struct err *err)
{
    autofd reader = -1, writer = -1;
    /* It is covered where a mount holds it, whatever store this call has. */
    autofree char *store = store_default_path();
    int pipes[2];
    pid_t child;

    if (!has_servers(session))
        return true;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    reader = pipes[0];
    writer = pipes[1];
    child = fork();
    if (child == 0)
        ask(session, store, writer);
    if (child < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start a process");
    writer = close_fd(writer);
    return wait_for_answers(session, child, reader, err);
}
