#include "runtime/native/init/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_install.h"
#include "runtime/pty.h"

_Noreturn static void give_up(volatile struct failure *failure, enum message_kind kind)
{
    failure->number = errno;
    failure->kind = kind;
    syscall(SYS_exit_group, INIT_FAILURE);
    __builtin_trap();
}

/* Becomes the step's user in a session of its own; false with errno. */
static bool become_user(const struct init_config *config)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};

    for (int i = 1; i < NSIG; i++)
        sigaction(i, &plain, NULL);
    return setsid() >= 0 && caps_bound(config->bounding) &&
           (!config->can_set_groups || setgroups(config->group_count, config->groups) == 0) &&
           /* A single id is the caller's own already. */
           setresgid(config->gid, config->gid, config->gid) == 0 &&
           setresuid(config->uid, config->uid, config->uid) == 0 && caps_set(config->caps) &&
           /* A change of ids sets it to what fs.suid_dumpable says (CVE-2016-9962). */
           prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* Last: they are the command's, and what came before could have hit them. */
static bool limit(const struct init_config *config)
{
    for (uint32_t i = 0; i < config->rlimit_count; i++) {
        const struct init_rlimit *one = &config->rlimits[i];
        const struct rlimit value = {.rlim_cur = one->soft, .rlim_max = one->hard};

        if (setrlimit((int)one->resource, &value) < 0)
            return false;
    }
    return true;
}

static bool place(int in, int out, int err)
{
    return dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
           dup2(err, STDERR_FILENO) >= 0;
}

/* As the step's user, to whom they belong then: /dev/stdout is opened anew by path. */
static bool make_pipes(const struct command *command)
{
    int in[2], out[2], err[2], outer[HANDSHAKE_FDS_MAX];
    bool passes = command->streams == STREAMS_PIPES;

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return false;
    outer[0] = out[0];
    outer[1] = err[0];
    outer[2] = in[1];
    return handshake_send_several(command->socket, MESSAGE_STREAMS, 0, outer, passes ? 3 : 2) &&
           place(in[0], out[1], err[1]);
}

static bool make_terminal(const struct command *command)
{
    const struct winsize size = {.ws_row = command->size.rows, .ws_col = command->size.columns};
    int master, other;

    return pty_open(&size, &master, &other) && ioctl(other, TIOCSCTTY, 0) == 0 &&
           handshake_send(command->socket, MESSAGE_STREAMS, 0, master) &&
           place(other, other, other);
}

static bool make_streams(const struct command *command)
{
    switch (command->streams) {
    case STREAMS_PIPES:
    case STREAMS_OUTPUT:
        return make_pipes(command);
    case STREAMS_TERMINAL:
        return make_terminal(command);
    case STREAMS_TERMINAL_THERE:
        return ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0;
    case STREAMS_THERE:
        break;
    }
    return true;
}

_Noreturn void command_run(const struct command *command)
{
    const struct init_config *config = command->config;
    sigset_t none;

    if (!become_user(config) || !make_streams(command) || !limit(config))
        give_up(command->failure, MESSAGE_INIT_FAILED);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Last: a profile need not allow what this program does. */
    if (config->filter_count && !seccomp_install(command->filter, config->filter_count))
        give_up(command->failure, MESSAGE_FILTER_FAILED);
    execvp(command->argv[0], command->argv);
    give_up(command->failure, MESSAGE_EXEC_FAILED);
}
