#include "runtime/image/credential_helper.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/caller.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/program.h"
#include "runtime/image/registry_users.h"

#define NOT_FOUND "credentials not found" /* how all helpers begin to say it */

bool helper_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > HELPER_NAME_MAX || *name == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    }
    return true;
}

struct helper {
    const char *program;
    pid_t pid;
    int in, out; /* its standard input and output, our ends */
};

static void helper_end(struct helper *helper)
{
    helper->in = close_fd(helper->in);
    helper->out = close_fd(helper->out);
    if (helper->pid > 0) {
        kill(helper->pid, SIGKILL);
        child_wait(helper->pid);
    }
    helper->pid = 0;
}

static int spawn(const char *program, char *const *environment, int in, int out, pid_t *pid)
{
    char *arguments[] = {(char *)program, (char *)"get", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    int error;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    error = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    /* What it says on standard error could hold anything; what matters is on standard output. */
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawnp(pid, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static bool helper_start(struct helper *helper, struct err *err)
{
    bool own = registry_users_configure();
    autofree char *home = own ? NULL : caller_home();
    autofree char *home_variable = home ? text_printf("HOME=%s", home) : NULL;
    char *const fixed[] = {(char *)"PATH=" PROGRAM_SEARCH, home_variable, NULL};
    char path[PROGRAM_PATH_MAX];
    const char *program = own ? helper->program : program_find(helper->program, path);
    int to[2], from[2], error;

    if (pipe2(to, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", helper->program);
    if (pipe2(from, O_CLOEXEC) < 0) {
        close_fd(to[0]);
        close_fd(to[1]);
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", helper->program);
    }
    error = program ? spawn(program, own ? environ : fixed, to[0], from[1], &helper->pid) : ENOENT;
    close_fd(to[0]);
    close_fd(from[1]);
    helper->in = to[1];
    helper->out = from[0];
    if (!error)
        return true;
    helper->pid = 0;
    errno = error;
    err_errno(err, ERR_REGISTRY_AUTH, "cannot start the credential helper '%s'", helper->program);
    return err_hint(err, "install it, or take it out of 'credsStore' and 'credHelpers'");
}

static bool fault(const struct helper *helper, const char *what, struct err *err)
{
    err_set(err, ERR_REGISTRY_AUTH, "the credential helper '%s' %s", helper->program, what);
    return err_hint(err, "try it by hand: echo HOST | %s get", helper->program);
}

static bool read_answer(const struct helper *helper, struct buf *answer, struct err *err)
{
    int64_t deadline = clock_now() + HELPER_TIMEOUT_MS * NS_PER_MS;
    char piece[4096];
    bool ok = false;

    for (;;) {
        struct pollfd poller = {.fd = helper->out, .events = POLLIN};
        int64_t left = (deadline - clock_now()) / NS_PER_MS;
        ssize_t n;

        if (left <= 0 || (poll(&poller, 1, (int)left) < 0 && errno != EINTR)) {
            fault(helper, "does not answer", err);
            break;
        }
        if (!poller.revents)
            continue;
        n = read(helper->out, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        ok = n == 0;
        if (n <= 0) {
            if (!ok)
                err_errno(err, ERR_REGISTRY_AUTH, "cannot read from '%s'", helper->program);
            break;
        }
        if (!buf_append(answer, piece, (size_t)n)) {
            fault(helper, "answers too much", err);
            break;
        }
    }
    explicit_bzero(piece, sizeof(piece));
    return ok;
}

/* Waits for the end; a helper that closed its output and goes on is of no use any more. */
static bool ended_well(struct helper *helper)
{
    int64_t deadline = clock_now() + 2000 * NS_PER_MS;
    const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(helper->pid, &status, WNOHANG)) == 0 && clock_now() < deadline)
        nanosleep(&pause, NULL);
    if (pid != helper->pid)
        return false;
    helper->pid = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool helper_get(const char *name, const char *server, struct buf *answer, struct err *err)
{
    autofree char *program = text_printf("docker-credential-%s", name);
    autofree char *line = text_printf("%s\n", server);
    CLEANUP(helper_end) struct helper helper = {.program = program, .in = -1, .out = -1};

    if (!program || !line)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a credential helper");
    if (!helper_start(&helper, err))
        return false;
    /* One that does not read has failed; that shows below. SIGPIPE is ignored. */
    (void)!file_write_all(helper.in, line, strlen(line));
    helper.in = close_fd(helper.in);
    if (!read_answer(&helper, answer, err))
        return false;
    if (ended_well(&helper))
        return true;
    if (!answer->data || strncasecmp(answer->data, NOT_FOUND, strlen(NOT_FOUND)) != 0)
        return fault(&helper, "fails", err);
    buf_release(answer);
    return true;
}
