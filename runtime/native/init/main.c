/*
 * stepcell-init: pid 1 of a cell. A static program that knows nothing of the host: it starts the
 * command with the step's user, capabilities and limits, forwards signals to the command's process
 * group, reaps whatever becomes its child, and when the command ends reports its status, names what
 * it left running and ends, upon which the kernel kills every other process of the pid namespace.
 *
 * It prints nothing: what there is to say goes over the control socket (handshake.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/confine/caps.h"
#include "runtime/confine/landlock.h"
#include "runtime/confine/seccomp_install.h"
#include "runtime/native/handshake.h"

#define LEFT_MAX     32  /* processes that are named */
#define INIT_FAILURE 125 /* its status is not looked at: contact lost is what counts */

static void tell(enum message_kind kind, int value, const char *name)
{
    struct message message = {.kind = kind, .value = value};

    if (name)
        memcpy(message.name, name, strnlen(name, sizeof(message.name) - 1));
    /* A stepcell that is gone takes the cell with it; there is nobody else to tell. */
    (void)!send(INIT_CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL);
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
           setresuid(config->uid, config->uid, config->uid) == 0 && caps_set(config->caps);
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

/*
 * Why the command's process did not become the command: in memory that it shares with pid 1, since
 * a seccomp filter may allow it neither to send nor to exit. `kind` is 0 while there is nothing.
 */
struct failure {
    enum message_kind kind;
    int number; /* errno */
};

_Noreturn static void give_up(volatile struct failure *failure, enum message_kind kind)
{
    failure->number = errno;
    failure->kind = kind;
    syscall(SYS_exit_group, INIT_FAILURE);
    __builtin_trap();
}

_Noreturn static void run_command(const struct init_config *config,
                                  const struct sock_filter *filter, char *const *argv,
                                  volatile struct failure *failure)
{
    sigset_t none;

    if (!become_user(config) || !limit(config))
        give_up(failure, MESSAGE_INIT_FAILED);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Last: a profile need not allow what this program does. */
    if (config->filter_count && !seccomp_install(filter, config->filter_count))
        give_up(failure, MESSAGE_FILTER_FAILED);
    execvp(argv[0], argv);
    give_up(failure, MESSAGE_EXEC_FAILED);
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

static void name_left_running(void)
{
    DIR *proc;
    struct dirent *entry;
    int count = 0;

    /* Every process of the namespace but this one. */
    if (kill(-1, 0) < 0 || !(proc = opendir("/proc")))
        return;
    while (count < LEFT_MAX && (entry = readdir(proc))) {
        if (!is_number(entry->d_name) || strcmp(entry->d_name, "1") == 0 ||
            strlen(entry->d_name) > 12)
            continue;
        name_process(entry->d_name);
        count++;
    }
    closedir(proc);
}

/* Reaps everything that has ended; true with the command's status once that is among it. */
static bool reap(pid_t command, int *status)
{
    bool ended = false;
    int one;
    pid_t pid;

    while ((pid = waitpid(-1, &one, WNOHANG)) > 0) {
        if (pid != command)
            continue;
        *status = one;
        ended = true;
    }
    return ended;
}

static bool control_has_ended(void)
{
    char byte;

    return recv(INIT_CONTROL_FD, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* From now on SIGIO tells that the control socket has ended. */
static bool watch_control(void)
{
    return fcntl(INIT_CONTROL_FD, F_SETOWN, getpid()) == 0 &&
           fcntl(INIT_CONTROL_FD, F_SETFL, O_ASYNC) == 0 && !control_has_ended();
}

static int supervise(pid_t command, const volatile struct failure *failure)
{
    sigset_t all;
    int status = 0;

    sigfillset(&all);
    for (;;) {
        siginfo_t info;

        if (sigwaitinfo(&all, &info) < 0)
            continue;
        if (info.si_signo == SIGIO && control_has_ended())
            return INIT_FAILURE;
        if (info.si_signo != SIGCHLD) {
            /*
             * The group is not there before the command's setsid(); what it gets until then waits.
             */
            if (kill(-command, info.si_signo) < 0)
                kill(command, info.si_signo);
            continue;
        }
        if (!reap(command, &status))
            continue;
        if (failure->kind)
            tell(failure->kind, failure->number, NULL);
        name_left_running();
        tell(MESSAGE_EXITED, status, NULL);
        /* For who sees nothing else of it: a container's daemon. */
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

static bool read_config(struct init_config *config, struct sock_filter filter[BPF_MAXINSNS])
{
    ssize_t size;

    if (read(INIT_CONFIG_FD, config, sizeof(*config)) != (ssize_t)sizeof(*config) ||
        config->filter_count > BPF_MAXINSNS)
        return false;
    size = (ssize_t)(config->filter_count * sizeof(*filter));
    return read(INIT_CONFIG_FD, filter, (size_t)size) == size && close(INIT_CONFIG_FD) == 0;
}

int main(int argc, char **argv)
{
    struct sock_filter filter[BPF_MAXINSNS];
    struct init_config config;
    struct failure *failure;
    sigset_t all;
    pid_t command;

    if (argc < 2 || !read_config(&config, filter))
        return INIT_FAILURE;
    failure =
        mmap(NULL, sizeof(*failure), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (failure == MAP_FAILED)
        return INIT_FAILURE;
    fcntl(INIT_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    /* The command can neither trace this process nor open what it has open (CVE-2016-9962). */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /*
     * Before the command starts, so that it and all others of the cell reach each other's sockets.
     */
    if (config.scope_sockets && !landlock_scope_sockets()) {
        tell(MESSAGE_INIT_FAILED, errno, NULL);
        return INIT_FAILURE;
    }
    umask(config.umask);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (config.ends_with_control && !watch_control())
        return INIT_FAILURE;
    command = fork();
    if (command < 0) {
        tell(MESSAGE_INIT_FAILED, errno, NULL);
        return INIT_FAILURE;
    }
    if (command == 0)
        run_command(&config, filter, argv + 1, failure);
    /* The streams are the command's: held here, they would not end with it. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    return supervise(command, failure);
}
