/*
 * The first process of the step's container: proves what is mounted, runs the command as the native
 * engine's pid 1 does, and writes what it says as frames (frames.h), which nobody else can write:
 * no process of the step can open this one's descriptors.
 */
#include "runtime/kubernetes/pod/pod.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/inside.h"
#include "runtime/kubernetes/frames.h"
#include "runtime/native/init/command.h"
#include "runtime/native/user.h"

#define LEFT_MAX    32        /* processes that are named */
#define ACCOUNT_MAX 512       /* bytes of a file of a cgroup */
#define PASSWD_MAX  (1 << 20) /* bytes of the image's passwd that are looked at */

struct run {
    struct setup setup;
    struct frame_writer frames;
    volatile struct failure *failure; /* of the command */
    int signals;                      /* signalfd */
    int streams[2];                   /* of the command: stdout, stderr; -1 at the end */
    pid_t command;                    /* 0 when it has ended */
    int status;
};

/* The log may be slow to take it. One that takes nothing any more has nobody who reads it. */
static void put(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, line, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(INIT_FAILURE);
        line += n;
        len -= (size_t)n;
    }
}

static void put_bytes(struct run *run, enum frame_kind kind, const void *bytes, size_t len)
{
    char line[FRAME_LINE_MAX];

    put(line, frame_write_bytes(&run->frames, kind, bytes, len, line));
}

static int put_end(struct run *run, int status, bool oom_killed)
{
    bool is_signal = WIFSIGNALED(status);
    char line[FRAME_LINE_MAX];
    int value = is_signal ? WTERMSIG(status) : WEXITSTATUS(status);

    put(line, frame_write_end(&run->frames, is_signal, value, oom_killed, line));
    return is_signal ? 128 + value : value;
}

static int refuse(struct run *run, const struct err *err)
{
    char line[FRAME_LINE_MAX];

    put(line, frame_write_failure(&run->frames, err, line));
    return put_end(run, INIT_FAILURE << 8, false);
}

/* ---- before the command ---- */

/* What lies there is the caller's directory when it has the file that the caller made. */
static bool check_probes(const struct setup *setup, struct err *err)
{
    for (uint32_t i = 0; i < setup->head.probe_count; i++) {
        const char *path = setup->probes[2 * i], *expected = setup->probes[2 * i + 1];
        autofd fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char found[POD_PROBE_MAX] = "";
        const char *slash = strrchr(path, '/');

        if (fd >= 0 && read(fd, found, sizeof(found) - 1) == (ssize_t)strlen(expected) &&
            strcmp(found, expected) == 0) {
            /* The step need not see it; where this cannot be, stepcell removes it. */
            (void)unlink(path);
            continue;
        }
        err_set(err, ERR_MOUNT_CONFLICT, "'%.*s' in the Pod is not what it is on this host",
                (int)(slash - path), path);
        return err_hint(err, "--kubernetes-volume has to name what the nodes and this host share, "
                             "and the user of the step has to be let in");
    }
    return true;
}

/* As the native engine finds it. */
static const char *home_of_passwd(const struct setup *setup, struct cell_user *user)
{
    autofd fd = open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    autofree char *text = calloc(PASSWD_MAX + 1, 1);
    char number[16];
    struct err ignored;
    size_t len = 0;
    ssize_t n = 1;

    while (fd >= 0 && text && n > 0 && len < PASSWD_MAX) {
        n = read(fd, text + len, PASSWD_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    }
    snprintf(number, sizeof(number), "%u", setup->head.config.uid);
    if (text && user_resolve(number, text, "", user, &ignored) && user->home)
        return user->home;
    return setup->head.config.uid == 0 ? "/root" : setup->spare_home;
}

static bool choose_home(const struct setup *setup, struct err *err)
{
    autocelluser user = {0};
    const char *home = setup->home;
    char *entry;

    if (!*home)
        return true;
    if (strcmp(home, POD_HOME_SOUGHT) == 0)
        home = home_of_passwd(setup, &user);
    home = inside_choose_home(home, setup->spare_home);
    entry = malloc(sizeof("HOME=") + strlen(home));
    if (!entry)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot name the home of the user");
    stpcpy(stpcpy(entry, "HOME="), home);
    setup->environment[setup->head.environment_count] = entry;
    return true;
}

static bool check_interpreters(const struct setup *setup, struct err *err)
{
    for (uint32_t i = 0; i < setup->head.interpreter_count; i++) {
        if (!inside_check_interpreter(setup->environment, setup->interpreters[i], err))
            return false;
    }
    return true;
}

static bool prepare(struct run *run, struct err *err)
{
    struct setup *setup = &run->setup;
    sigset_t all;

    if (getpid() != 1) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "the Pod shares one process namespace");
        return err_hint(err, "the cluster must not change what a Pod asks for");
    }
    if (!setup_read(POD_DIR "/" POD_SETUP, false, setup, err))
        return false;
    /* The command has its arguments; its environment is nobody else's. */
    if (unlink(POD_DIR "/" POD_SETUP) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot take the setup away from the step");
    run->failure = mmap(NULL, sizeof(*run->failure), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    run->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->failure == MAP_FAILED || run->signals < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare the first process of the Pod");
    umask(setup->head.config.umask);
    return check_probes(setup, err) && check_interpreters(setup, err) && choose_home(setup, err) &&
           inside_enter(setup->workdir, err);
}

/* ---- the command ---- */

/* In the child: its streams take the places of this process's. */
_Noreturn static void become_command(const struct run *run, const int out[2], const int err[2])
{
    const struct command command = {
        .config = &run->setup.head.config,
        .filter = run->setup.filter,
        .argv = run->setup.arguments,
        .streams = STREAMS_THERE,
        .failure = run->failure,
    };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    environ = run->setup.environment;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0 ||
        dup2(err[1], STDERR_FILENO) < 0)
        _exit(INIT_FAILURE);
    command_run(&command);
}

static bool start(struct run *run, struct err *failure)
{
    int out[2], err[2];

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return err_errno(failure, ERR_ENGINE_FAILED, "cannot make the streams of the command");
    run->command = fork();
    if (run->command == 0)
        become_command(run, out, err);
    close(out[1]);
    close(err[1]);
    run->streams[0] = out[0];
    run->streams[1] = err[0];
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    return run->command > 0 || err_errno(failure, ERR_ENGINE_FAILED, "cannot start the command");
}

/* What there is of a stream, in frames. */
static void take_stream(struct run *run, size_t index)
{
    char bytes[FRAME_BYTES_MAX];
    ssize_t n;

    while ((n = read(run->streams[index], bytes, sizeof(bytes))) > 0) {
        put_bytes(run, FRAME_OUT + (enum frame_kind)index, bytes, (size_t)n);
        /* The other one has its turn. */
        if (n < (ssize_t)sizeof(bytes))
            return;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        run->streams[index] = close_fd(run->streams[index]);
}

static void reap(struct run *run)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == run->command) {
            run->status = status;
            run->command = 0;
        }
    }
}

static void take_signals(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;

        if (number == SIGCHLD)
            reap(run);
        else if (run->command > 0 && kill(-run->command, number) < 0)
            kill(run->command, number);
    }
}

static void supervise(struct run *run)
{
    while (run->command > 0) {
        struct pollfd polled[] = {
            {run->signals, POLLIN, 0},
            {run->streams[0], POLLIN, 0},
            {run->streams[1], POLLIN, 0},
        };

        if (poll(polled, ARRAY_SIZE(polled), -1) < 0)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(run->streams); i++) {
            if (polled[i + 1].revents)
                take_stream(run, i);
        }
        if (polled[0].revents)
            take_signals(run);
    }
}

/* ---- after the command ---- */

static void name_process(struct run *run, const char *pid)
{
    char path[64], name[MESSAGE_NAME_MAX];
    autofd fd = -1;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, name, sizeof(name));
    while (n > 0 && name[n - 1] == '\n')
        n--;
    if (n > 0)
        put_bytes(run, FRAME_LEFT, name, (size_t)n);
}

static void name_left_running(struct run *run)
{
    autodir *proc = NULL;
    struct dirent *entry;
    int count = 0;

    /* Every process of the namespace but this one. */
    if (kill(-1, 0) < 0 || !(proc = opendir("/proc")))
        return;
    while (count < LEFT_MAX && (entry = readdir(proc))) {
        const char *name = entry->d_name;

        if (name[strspn(name, "0123456789")] || strcmp(name, "1") == 0)
            continue;
        name_process(run, name);
        count++;
    }
}

/* Then nobody has the streams any more. */
static void end_all(void)
{
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
}

static void drain(struct run *run)
{
    for (size_t i = 0; i < ARRAY_SIZE(run->streams); i++) {
        fcntl(run->streams[i], F_SETFL, 0);
        while (run->streams[i] >= 0)
            take_stream(run, i);
    }
}

static void put_output_file(struct run *run)
{
    autofd fd = open(POD_DIR "/" POD_OUTPUT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char bytes[FRAME_BYTES_MAX];
    size_t total = 0;
    ssize_t n;

    /* One byte more tells that it is longer than what is read. */
    while (fd >= 0 && total <= POD_OUTPUT_MAX && (n = read(fd, bytes, sizeof(bytes))) > 0) {
        put_bytes(run, FRAME_VAR, bytes, (size_t)n);
        total += (size_t)n;
    }
}

/* Whether the kernel has killed a process of this container for its memory. */
static bool has_run_out_of_memory(void)
{
    static const char *const files[] = {
        "/sys/fs/cgroup/memory.events",             /* version 2 */
        "/sys/fs/cgroup/memory/memory.oom_control", /* version 1 */
    };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        autofd fd = open(files[i], O_RDONLY | O_CLOEXEC);
        char text[ACCOUNT_MAX] = "";
        const char *line;

        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
            continue;
        line = strstr(text, "\noom_kill ");
        return line && atol(line + strlen("\noom_kill ")) > 0;
    }
    return false;
}

static void put_failure(struct run *run)
{
    static const struct {
        enum message_kind message;
        enum frame_kind frame;
    } kinds[] = {
        {MESSAGE_EXEC_FAILED, FRAME_EXEC},
        {MESSAGE_INIT_FAILED, FRAME_INIT},
        {MESSAGE_FILTER_FAILED, FRAME_FILTER},
    };
    char line[FRAME_LINE_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (run->failure->kind == kinds[i].message)
            put(line, frame_write_number(&run->frames, kinds[i].frame, run->failure->number, line));
    }
}

static int finish(struct run *run)
{
    bool oom_killed;

    put_failure(run);
    name_left_running(run);
    oom_killed = has_run_out_of_memory();
    end_all();
    drain(run);
    put_output_file(run);
    return put_end(run, run->status, oom_killed);
}

int pod_run(void)
{
    static struct run run;
    struct err err;
    char line[FRAME_LINE_MAX];

    /* The command can neither trace this process nor open what it has open. */
    prctl(PR_SET_DUMPABLE, 0);
    if (!prepare(&run, &err))
        return refuse(&run, &err);
    put(line, frame_write_ready(&run.frames, line));
    if (!start(&run, &err))
        return refuse(&run, &err);
    supervise(&run);
    return finish(&run);
}
