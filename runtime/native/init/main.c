/*
 * stepcell-init: pid 1 of a cell. A static program that knows nothing of the host: it starts the
 * command with the step's user, capabilities and limits, forwards signals to the command's process
 * group, reaps whatever becomes its child, and when the command ends reports its status, names what
 * it left running and ends, upon which the kernel kills every other process of the pid namespace.
 * A cell that stays it keeps instead, after it has killed what was left. Meanwhile and then it lets
 * visitors in (visitors.h).
 *
 * It prints nothing: what there is to say goes over the control socket (handshake.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/confine/landlock.h"
#include "runtime/native/init/visitors.h"

#define LEFT_MAX 32 /* processes that are named */

struct init {
    struct init_config config;
    struct sock_filter filter[BPF_MAXINSNS];
    volatile struct failure *failure; /* of the step's command */
    struct visitors visitors;
    int signals;   /* signalfd */
    pid_t command; /* 0 when it has ended */
    int status;
    bool told;  /* stepcell knows the status */
    bool alone; /* there is no other process */
    bool stays; /* stepcell knows that, in a cell that stays */
};

static void tell(enum message_kind kind, int value, const char *name)
{
    struct message message = {.kind = kind, .value = value};

    if (name)
        memcpy(message.name, name, strnlen(name, sizeof(message.name) - 1));
    /* A stepcell that is gone takes the cell with it; there is nobody else to tell. */
    (void)!send(INIT_CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL);
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/*
 * By the kernel's name for it. Its arguments are in its memory, and it may hang while that is
 * locked.
 */
static void name_process(const char *pid)
{
    char path[40], name[MESSAGE_NAME_MAX];
    ssize_t n;
    int fd;

    stpcpy(stpcpy(stpcpy(path, "/proc/"), pid), "/comm");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    name[n] = '\0';
    name[strcspn(name, "\n")] = '\0';
    tell(MESSAGE_LEFT_RUNNING, 0, name);
}

static void name_left_running(const struct init *init)
{
    DIR *proc;
    struct dirent *entry;
    int count = 0;

    /* Every process of the namespace but this one. */
    if (kill(-1, 0) < 0 || !(proc = opendir("/proc")))
        return;
    while (count < LEFT_MAX && (entry = readdir(proc))) {
        if (!is_number(entry->d_name) || strcmp(entry->d_name, "1") == 0 ||
            strlen(entry->d_name) > 12 || visitors_have(&init->visitors, atoi(entry->d_name)))
            continue;
        name_process(entry->d_name);
        count++;
    }
    closedir(proc);
}

/* Reaps everything that has ended. */
static void reap(struct init *init)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == init->command) {
            init->status = status;
            init->command = 0;
        } else {
            visitors_end(&init->visitors, pid, status);
        }
    }
    init->alone = pid < 0;
}

static void take_signals(struct init *init)
{
    struct signalfd_siginfo info;

    while (read(init->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;

        /* The group is not there before the command's setsid(); what it gets until then waits. */
        if (number == SIGCHLD)
            reap(init);
        else if (init->command > 0 && kill(-init->command, number) < 0)
            kill(init->command, number);
    }
}

static void take_visitor(struct init *init, const int fds[HANDSHAKE_FDS_MAX])
{
    /* Whoever came between the end of the step and the kept cell would be killed with the rest. */
    if (fds[1] >= 0 && init->told == init->stays) {
        visitors_admit(&init->visitors, &init->config, init->filter, fds[0], fds[1]);
        return;
    }
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* False when stepcell is gone. */
static bool take_message(struct init *init)
{
    int fds[HANDSHAKE_FDS_MAX];
    struct message message;
    ssize_t n =
        handshake_receive_several(INIT_CONTROL_FD, &message, sizeof(message), MSG_DONTWAIT, fds);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n != (ssize_t)sizeof(message))
        return false;
    if (message.kind == MESSAGE_ENTER)
        take_visitor(init, fds);
    else if (message.kind == MESSAGE_END)
        kill(-1, SIGKILL);
    return true;
}

/* The step has ended. */
static void report(struct init *init)
{
    init->told = true;
    if (init->failure->kind)
        tell(init->failure->kind, init->failure->number, NULL);
    name_left_running(init);
    tell(MESSAGE_EXITED, init->status, NULL);
}

/* Nothing of the step is in a cell that stays. */
static void clear(struct init *init)
{
    kill(-1, SIGKILL);
    reap(init);
}

static int supervise(struct init *init)
{
    enum { CONTROL, SIGNALS, VISITORS };
    struct pollfd polled[VISITORS + VISITORS_MAX] = {
        [CONTROL] = {INIT_CONTROL_FD, POLLIN, 0},
        [SIGNALS] = {init->signals, POLLIN, 0},
    };

    for (;;) {
        nfds_t count = visitors_watch(&init->visitors, polled + VISITORS);

        if (poll(polled, VISITORS + count, -1) < 0)
            continue;
        if (polled[CONTROL].revents && !take_message(init))
            return INIT_FAILURE;
        if (polled[SIGNALS].revents)
            take_signals(init);
        visitors_hear(&init->visitors, polled + VISITORS);
        if (init->command == 0 && !init->told) {
            report(init);
            /* For who sees nothing else of it: a container's daemon. */
            if (!init->config.stays)
                return WIFSIGNALED(init->status) ? 128 + WTERMSIG(init->status)
                                                 : WEXITSTATUS(init->status);
            clear(init);
        }
        if (init->told && init->alone && !init->stays) {
            init->stays = true;
            tell(MESSAGE_STAYS, 0, NULL);
        }
    }
}

static bool read_config(struct init *init)
{
    struct init_config *config = &init->config;
    ssize_t size;

    if (read(INIT_CONFIG_FD, config, sizeof(*config)) != (ssize_t)sizeof(*config) ||
        config->filter_count > BPF_MAXINSNS)
        return false;
    size = (ssize_t)(config->filter_count * sizeof(*init->filter));
    return read(INIT_CONFIG_FD, init->filter, (size_t)size) == size && close(INIT_CONFIG_FD) == 0;
}

/* What is shared with children, and what is heard of them. */
static bool prepare(struct init *init)
{
    size_t size = (VISITORS_MAX + 1) * sizeof(*init->failure);
    struct failure *failures =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t all;

    if (failures == MAP_FAILED)
        return false;
    init->failure = failures;
    init->visitors.failures = failures + 1;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    init->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    return init->signals >= 0;
}

static bool start_command(struct init *init, char **argv)
{
    const struct command command = {
        .config = &init->config,
        .filter = init->filter,
        .argv = argv,
        .streams = init->config.terminal ? STREAMS_TERMINAL_THERE : STREAMS_THERE,
        .failure = init->failure,
    };

    init->command = fork();
    if (init->command == 0)
        command_run(&command);
    return init->command > 0;
}

int main(int argc, char **argv)
{
    static struct init init;

    if (argc < 2 || !read_config(&init) || !prepare(&init))
        return INIT_FAILURE;
    fcntl(INIT_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    /* The command can neither trace this process nor open what it has open (CVE-2016-9962). */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /*
     * Before the command starts, so that it and all others of the cell reach each other's sockets.
     */
    if (init.config.scope_sockets && !landlock_scope_sockets()) {
        tell(MESSAGE_INIT_FAILED, errno, NULL);
        return INIT_FAILURE;
    }
    umask(init.config.umask);
    if (!start_command(&init, argv + 1)) {
        tell(MESSAGE_INIT_FAILED, errno, NULL);
        return INIT_FAILURE;
    }
    /* The streams are the command's: held here, they would not end with it. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    return supervise(&init);
}
