#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#define CHUNK 4096

const char *program_find(const char *name, char path[PROGRAM_PATH_MAX])
{
    static const char *const folders[] = {"/usr/bin",
                                          "/usr/sbin",
                                          "/usr/lib/podman",
                                          "/usr/libexec/podman",
                                          "/usr/local/bin",
                                          "/usr/local/sbin",
                                          "/bin",
                                          "/sbin"};

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, PROGRAM_PATH_MAX, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static int spawn(const struct program_question *question, int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    int error;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* In the caller's process group: it may ask at the terminal, and Ctrl-C is for it, too. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    error = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawnp(pid, question->words[0], &actions, &attributes, question->words,
                             question->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Whether there is something to read before the deadline. */
static bool await(int fd, int64_t deadline)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int64_t left;
    int n = 0;

    do {
        left = (deadline - clock_now()) / NS_PER_MS;
        n = left > 0 ? poll(&polled, 1, (int)left) : 0;
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* To the end of its output; NULL, or what keeps it from that. */
static const char *read_answer(int out, int64_t deadline, struct buf *answer)
{
    char chunk[CHUNK];
    ssize_t n = 0;
    bool fits = true;

    while (fits && await(out, deadline)) {
        n = read(out, chunk, sizeof(chunk));
        if (n == 0)
            return NULL;
        fits = n > 0 && buf_append(answer, chunk, (size_t)n);
        /* It may be a password. */
        explicit_bzero(chunk, sizeof(chunk));
    }
    return fits ? "does not end in time" : "answers too much";
}

/* One that closed its output and goes on is of no use any more. */
static const char *await_end(pid_t pid, int64_t deadline)
{
    autofd process = (int)syscall(SYS_pidfd_open, pid, 0);

    return process >= 0 && await(process, deadline) ? NULL : "does not end in time";
}

/* `in` and `out` are the program's ends, which are closed here. */
static bool start(const struct program_question *question, int in, int out, pid_t *pid)
{
    int error = spawn(question, in, out, pid);

    close(in);
    close(out);
    errno = error;
    return error == 0;
}

bool program_ask(const struct program_question *question, struct buf *answer, const char **fault)
{
    int64_t deadline = clock_now() + question->timeout_ms * NS_PER_MS;
    const char *input = question->input ? question->input : "";
    autofd writer = -1, reader = -1;
    int to[2], from[2];
    pid_t pid;

    *fault = NULL;
    if (pipe2(to, O_CLOEXEC) < 0)
        return false;
    writer = to[1];
    if (pipe2(from, O_CLOEXEC) < 0) {
        close(to[0]);
        return false;
    }
    reader = from[0];
    if (!start(question, to[0], from[1], &pid))
        return false;
    /* One that does not read has failed; that shows below. */
    (void)!file_write_all(writer, input, strlen(input));
    writer = close_fd(writer);
    *fault = read_answer(reader, deadline, answer);
    if (!*fault)
        *fault = await_end(pid, deadline);
    if (*fault)
        kill(pid, SIGKILL);
    if (child_wait(pid) != 0 && !*fault)
        *fault = "fails";
    return !*fault;
}
