/*
 * The first process of the step's container: proves what is mounted, runs the command as the native
 * engine's pid 1 does, and writes what it says as frames (frames.h), which nobody else can write:
 * no process of the step can open this one's descriptors.
 */
#include "runtime/kubernetes/pod/pod.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/inside.h"
#include "runtime/kubernetes/frames.h"
#include "runtime/kubernetes/pod/changes.h"
#include "runtime/kubernetes/pod/door.h"
#include "runtime/native/init/visitors.h"
#include "runtime/native/user.h"
#include "runtime/pty.h"

#define LEFT_MAX    32        /* processes that are named */
#define ACCOUNT_MAX 512       /* bytes of a file of a cgroup */
#define PASSWD_MAX  (1 << 20) /* bytes of the image's passwd that are looked at */

struct run {
    struct setup setup;
    struct frame_writer frames;
    volatile struct failure *failure; /* of the command */
    int signals;                      /* signalfd */
    int streams[2];                   /* of the command: stdout, stderr; -1 at the end */
    struct changes changes;
    int output;    /* the directory of the output file */
    pid_t command; /* 0 when it has ended */
    int status;
    bool asked_to_end; /* the whole Pod: it does not stay */
    struct door door;
    struct visitors visitors;
    int input;       /* to whoever brings the command's input, or -1 */
    int stdin_end;   /* the writing end of it, or -1: it has ended, or is a terminal's */
    bool input_lost; /* before its end */
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

static bool is_wanted(const struct init_config *config, gid_t group)
{
    for (uint32_t i = 0; i < config->group_count; i++) {
        if (config->groups[i] == group)
            return true;
    }
    return false;
}

/*
 * A runtime adds the groups that the image's own file gives to a user of that number. Root can give
 * them up, as long as it may do that.
 */
static bool check_groups(const struct setup *setup, struct err *err)
{
    const struct init_config *config = &setup->head.config;
    autofree gid_t *groups = NULL;
    int count;

    if (!setup->head.groups_judged || setgroups(config->group_count, config->groups) == 0)
        return true;
    count = getgroups(0, NULL);
    groups = calloc((size_t)count + 1, sizeof(*groups));
    if (!groups || getgroups(count, groups) != count)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot look at the groups of the step");
    for (int i = 0; i < count; i++) {
        if (is_wanted(config, groups[i]))
            continue;
        err_set(err, ERR_POLICY_DENIED,
                "the node adds group %u to the step's, which the policy has not judged", groups[i]);
        return err_hint(err, "the image's /etc/group lists the user: give it by name alone, which "
                             "has its groups judged, or use nodes with supplementalGroupsPolicy");
    }
    return true;
}

static bool begin_changes(struct run *run, struct err *err)
{
    run->changes.directory = run->setup.returned;
    run->changes.hidden = run->setup.hidden;
    return !*run->setup.returned || changes_begin(&run->changes, err);
}

/* What the step's own container was sent, the kubelet takes away with the Pod. */
static bool take_setup(struct setup *setup, struct err *err)
{
    if (access(POD_SENT "/" POD_SETUP, F_OK) == 0)
        return pod_lay_out(setup, err);
    /* The command has its arguments; its environment is nobody else's. */
    return setup_read(POD_DIR "/" POD_SETUP, false, setup, err) &&
           (unlink(POD_DIR "/" POD_SETUP) == 0 ||
            err_errno(err, ERR_ENGINE_FAILED, "cannot take the setup away from the step"));
}

static bool prepare(struct run *run, struct err *err)
{
    struct setup *setup = &run->setup;
    sigset_t all;

    if (getpid() != 1) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "the Pod shares one process namespace");
        return err_hint(err, "the cluster must not change what a Pod asks for");
    }
    if (!take_setup(setup, err))
        return false;
    run->output = open(POD_DIR "/" POD_RUN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* That of the command, and those of its visitors. */
    run->failure = mmap(NULL, (VISITORS_MAX + 1) * sizeof(*run->failure), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run->visitors.failures = run->failure + 1;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    run->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->failure == MAP_FAILED || run->signals < 0 || run->output < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare the first process of the Pod");
    umask(setup->head.config.umask);
    if (!check_groups(setup, err) || !check_probes(setup, err) || !check_interpreters(setup, err) ||
        !choose_home(setup, err) || !inside_enter(setup->workdir, err) ||
        !begin_changes(run, err) || !door_open(&run->door, err))
        return false;
    /* The command's, and every visitor's. */
    environ = setup->environment;
    return true;
}

/* ---- the command ---- */

/* The ends of a command's streams that are its own. */
struct own_ends {
    int in, out, err;
};

/* In the child: its streams take the places of this process's. */
_Noreturn static void become_command(const struct run *run, const struct own_ends *own)
{
    const struct command command = {
        .config = &run->setup.head.config,
        .filter = run->setup.filter,
        .argv = run->setup.arguments,
        .streams = run->setup.head.config.terminal ? STREAMS_TERMINAL_THERE : STREAMS_THERE,
        .failure = run->failure,
    };

    if (dup2(own->in, STDIN_FILENO) < 0 || dup2(own->out, STDOUT_FILENO) < 0 ||
        dup2(own->err, STDERR_FILENO) < 0)
        _exit(INIT_FAILURE);
    command_run(&command);
}

static bool make_terminal(struct run *run, struct own_ends *own)
{
    const struct terminal_size *size = &run->setup.head.size;
    const struct winsize value = {.ws_row = size->rows, .ws_col = size->columns};

    own->out = own->err = -1;
    if (!pty_open(&value, &run->streams[0], &own->in))
        return false;
    own->out = own->err = own->in;
    return true;
}

static bool make_pipes(struct run *run, struct own_ends *own)
{
    int in[2] = {-1, -1}, out[2], err[2];

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return false;
    if (run->setup.head.takes_input ? pipe2(in, O_CLOEXEC) < 0
                                    : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        return false;
    *own = (struct own_ends){in[0], out[1], err[1]};
    run->stdin_end = in[1];
    run->streams[0] = out[0];
    run->streams[1] = err[0];
    return fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(err[0], F_SETFL, O_NONBLOCK) == 0;
}

static bool start(struct run *run, struct err *failure)
{
    bool terminal = run->setup.head.config.terminal;
    struct own_ends own;
    int input;

    if (terminal ? !make_terminal(run, &own) : !make_pipes(run, &own))
        return err_errno(failure, ERR_ENGINE_FAILED, "cannot make the streams of the command");
    run->command = fork();
    if (run->command == 0)
        become_command(run, &own);
    close(own.in);
    if (!terminal) {
        close(own.out);
        close(own.err);
    }
    input = terminal ? run->streams[0] : run->stdin_end;
    if (run->input >= 0)
        (void)!handshake_send(run->input, MESSAGE_STREAMS, 0, input);
    return run->command > 0 || err_errno(failure, ERR_ENGINE_FAILED, "cannot start the command");
}

/* What there is of a stream, in frames. False when that is nothing. */
static bool take_stream(struct run *run, size_t index)
{
    char bytes[FRAME_BYTES_MAX];
    ssize_t n;

    while ((n = read(run->streams[index], bytes, sizeof(bytes))) > 0) {
        put_bytes(run, FRAME_OUT + (enum frame_kind)index, bytes, (size_t)n);
        /* The other one has its turn. */
        if (n < (ssize_t)sizeof(bytes))
            return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        run->streams[index] = close_fd(run->streams[index]);
    return false;
}

static void reap(struct run *run)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == run->command) {
            run->status = status;
            run->command = 0;
        } else {
            visitors_end(&run->visitors, pid, status);
        }
    }
}

static void signal_command(const struct run *run, int number)
{
    if (run->command > 0 && kill(-run->command, number) < 0)
        kill(run->command, number);
}

/* Whatever the command makes of it, it has not ended by itself then. */
static void take_request_to_end(struct run *run)
{
    char line[FRAME_LINE_MAX];

    if (run->command > 0 && !run->asked_to_end)
        put(line, frame_write_asked(&run->frames, line));
    run->asked_to_end = true;
}

static void take_signals(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;

        if (number == SIGCHLD)
            reap(run);
        else
            signal_command(run, number);
        if (number == SIGTERM)
            take_request_to_end(run);
    }
}

/* What somebody wants who has come in. */
static void take_guest(struct run *run)
{
    int fds[HANDSHAKE_FDS_MAX];
    autofd connection = -1;
    struct message message;

    if (!door_hear(&run->door, &message, fds, &connection))
        return;
    if (message.kind == MESSAGE_ENTER && fds[0] >= 0 && fds[1] >= 0) {
        visitors_admit(&run->visitors, &run->setup.head.config, run->setup.filter, fds[0], fds[1]);
        fds[0] = fds[1] = -1;
    } else if (message.kind == MESSAGE_START && run->setup.head.takes_input && run->input < 0 &&
               run->command == 0) {
        run->input = TAKE_FD(connection);
    } else if (message.kind == MESSAGE_SIGNAL && run->command > 0) {
        signal_command(run, message.value);
        (void)!handshake_send(connection, MESSAGE_SIGNAL, 0, -1);
    }
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++)
        close_fd(fds[i]);
}

/* Who brings the input tells its end. One who is gone without leaves the command with a part. */
static void hear_input(struct run *run)
{
    struct message message;
    ssize_t n = recv(run->input, &message, sizeof(message), MSG_DONTWAIT);
    bool ends = n == (ssize_t)sizeof(message) && message.kind == MESSAGE_END;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (ends) {
        run->stdin_end = close_fd(run->stdin_end);
        return;
    }
    run->input = close_fd(run->input);
    run->input_lost = run->stdin_end >= 0 || run->setup.head.config.terminal;
    if (run->input_lost)
        signal_command(run, SIGKILL);
}

/* Waits until something happens, and takes it. */
static void turn(struct run *run)
{
    enum { SIGNALS, STREAM_OUT, STREAM_ERR, DOOR, GUEST, INPUT, VISITORS };
    struct pollfd polled[VISITORS + VISITORS_MAX] = {
        [SIGNALS] = {run->signals, POLLIN, 0},
        [STREAM_OUT] = {run->streams[0], POLLIN, 0},
        [STREAM_ERR] = {run->streams[1], POLLIN, 0},
        [DOOR] = {run->door.guest < 0 ? run->door.socket : -1, POLLIN, 0},
        [GUEST] = {run->door.guest, POLLIN, 0},
        [INPUT] = {run->input, POLLIN, 0},
    };
    nfds_t count = visitors_watch(&run->visitors, polled + VISITORS);

    if (poll(polled, VISITORS + count, -1) < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(run->streams); i++) {
        if (polled[STREAM_OUT + i].revents)
            take_stream(run, i);
    }
    if (polled[DOOR].revents)
        door_answer(&run->door);
    if (polled[GUEST].revents)
        take_guest(run);
    if (polled[INPUT].revents)
        hear_input(run);
    visitors_hear(&run->visitors, polled + VISITORS);
    if (polled[SIGNALS].revents)
        take_signals(run);
}

/* Nothing of a command runs whose input would not come. */
static bool await_input(struct run *run, struct err *err)
{
    while (run->setup.head.takes_input && run->input < 0 && !run->asked_to_end)
        turn(run);
    return !run->asked_to_end ||
           err_set(err, ERR_ENGINE_FAILED, "the Pod was asked to end before its command ran");
}

static void supervise(struct run *run)
{
    while (run->command > 0)
        turn(run);
}

/* The step is over, and its Pod stays for visitors. */
static void stay(struct run *run)
{
    while (!run->asked_to_end)
        turn(run);
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

        if (name[strspn(name, "0123456789")] || strcmp(name, "1") == 0 ||
            visitors_have(&run->visitors, atoi(name)) || door_is_guest(atoi(name)))
            continue;
        name_process(run, name);
        count++;
    }
}

/* Then nobody has the streams any more. */
static void end_all(struct run *run)
{
    int status;
    pid_t pid;

    kill(-1, SIGKILL);
    while ((pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR) {
        if (pid > 0)
            visitors_end(&run->visitors, pid, status);
    }
}

/*
 * Nobody is left who could write. A pipe has all that was written; its writing end may be where no
 * process has it, on its way through a socket of the step's, so that its end is not waited for.
 * What was written to a terminal is on its way for a moment, until the end.
 */
static void drain(struct run *run)
{
    for (size_t i = 0; i < ARRAY_SIZE(run->streams); i++) {
        if (run->setup.head.config.terminal)
            fcntl(run->streams[i], F_SETFL, 0);
        while (run->streams[i] >= 0 && take_stream(run, i)) {
        }
    }
}

static void put_output_file(struct run *run)
{
    autofd fd = openat(run->output, POD_OUTPUT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

static void put_input_lost(struct run *run)
{
    char line[FRAME_LINE_MAX];
    struct err err;

    err_set(&err, ERR_ENGINE_FAILED,
            "the connection that brought the standard input of the step was lost before its end");
    err_hint(&err, "the command was killed: look at what it has done before it is run again");
    put(line, frame_write_failure(&run->frames, &err, line));
}

static int finish(struct run *run)
{
    bool oom_killed;
    int status;

    put_failure(run);
    if (run->input_lost)
        put_input_lost(run);
    name_left_running(run);
    oom_killed = has_run_out_of_memory();
    end_all(run);
    drain(run);
    run->input = close_fd(run->input);
    put_output_file(run);
    status = put_end(run, run->status, oom_killed);
    if (*run->setup.returned && !run->failure->kind)
        changes_give(&run->changes, run->signals);
    return status;
}

int pod_run(void)
{
    static struct run run;
    struct err err;
    char line[FRAME_LINE_MAX];
    int status;

    /* The command can neither trace this process nor open what it has open. */
    prctl(PR_SET_DUMPABLE, 0);
    /* No initializer: its zeros would be in the program, which goes to every Pod. */
    run.streams[0] = run.streams[1] = run.input = run.stdin_end = -1;
    if (!prepare(&run, &err) || !await_input(&run, &err))
        return refuse(&run, &err);
    put(line, frame_write_ready(&run.frames, line));
    if (!start(&run, &err))
        return refuse(&run, &err);
    supervise(&run);
    status = finish(&run);
    if (run.setup.head.config.stays)
        stay(&run);
    return status;
}
