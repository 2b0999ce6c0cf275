#include "runtime/native/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/program.h"
#include "runtime/confine/caps.h"

#define TEXT_MAX  4096 /* of what a tool prints */
#define HIGH_FD   16   /* above the numbers that a tool's descriptors get */
#define CAUSE_MAX 512

/* Everything above the descriptors that the tool is to have is closed when it is executed. */
static bool place_descriptors(const struct tool_start *start, int output)
{
    int from[] = {start->input >= 0 ? start->input : open("/dev/null", O_RDONLY | O_CLOEXEC),
                  output, output, start->fds[0], start->fds[1]};
    int high[ARRAY_SIZE(from)];
    int count = start->fds[0] >= 0 ? (int)ARRAY_SIZE(from) : TOOL_FD_FIRST;

    for (int i = 0; i < count; i++) {
        high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, HIGH_FD);
        if (high[i] < 0)
            return false;
    }
    for (int i = 0; i < count; i++) {
        if (dup2(high[i], i) < 0)
            return false;
    }
    return syscall(SYS_close_range, count, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

_Noreturn static void become_tool(const struct tool_start *start, int output, pid_t parent)
{
    static char *const env[] = {"PATH=" PROGRAM_SEARCH, "LC_ALL=C", "NETAVARK_FW=iptables", NULL};
    sigset_t none;

    /*
     * A group of its own: what it starts can be ended with it, and ^C on a terminal is not for it.
     */
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* Its user need not be root there, and would lose all rights by being executed. */
    if (start->userns >= 0 && (setns(start->userns, CLONE_NEWUSER) < 0 || !caps_keep())) {
        dprintf(output, "cannot join the user namespace of the cell: %s\n", strerror(errno));
        _exit(126);
    }
    /* After the change of credentials, which would clear it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !place_descriptors(start, output))
        _exit(126);
    execve(start->path, start->argv, env);
    dprintf(STDERR_FILENO, "cannot execute '%s': %s\n", start->path, strerror(errno));
    _exit(127);
}

bool tool_start(const struct tool_start *start, struct tool *tool, struct err *err)
{
    pid_t parent = getpid(), pid;
    autofd reader = -1, writer = -1;
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    reader = pipes[0];
    writer = pipes[1];
    if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    pid = fork();
    if (pid == 0)
        become_tool(start, writer, parent);
    if (pid < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", start->path);
    *tool = (struct tool){.name = start->argv[0],
                          .pid = pid,
                          .pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
                          .output = TAKE_FD(reader),
                          .text = BUF_INIT(TEXT_MAX)};
    if (tool->pidfd < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot watch '%s'", start->path);
        tool_release(tool);
        return false;
    }
    return true;
}

/*
 * What does not fit is read and forgotten, since a tool must never wait for its reader; one piece
 * at a time, since one that never stops must not keep anybody from the clock.
 */
static bool take_output(struct tool *tool)
{
    char bytes[TEXT_MAX];
    ssize_t n = tool->output >= 0 ? read(tool->output, bytes, sizeof(bytes)) : 0;
    size_t space = tool->text.max - tool->text.len;

    if (n > 0)
        buf_append(&tool->text, bytes, (size_t)n < space ? (size_t)n : space);
    if (n == 0)
        tool->output = close_fd(tool->output);
    return n > 0;
}

enum tool_event tool_wait(struct tool *tool, int ready, int stop, int64_t deadline)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = stop, .events = POLLIN},
                               {.fd = ready, .events = POLLIN},
                               {.fd = tool->pidfd, .events = POLLIN},
                               {.fd = tool->output, .events = POLLIN}};
        int64_t left = deadline ? (deadline - clock_now() + NS_PER_MS - 1) / NS_PER_MS : -1;

        if (deadline && left <= 0)
            return TOOL_LATE;
        if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
            return TOOL_LATE;
        if (fds[3].revents)
            take_output(tool);
        if (fds[0].revents)
            return TOOL_STOPPED;
        if (fds[1].revents & POLLIN)
            return TOOL_READY;
        if (fds[1].revents)
            ready = -1; /* it has closed the pipe, and will end */
        if (fds[2].revents)
            return TOOL_ENDED;
    }
}

int tool_end(struct tool *tool)
{
    int status = 0;

    if (tool->pid <= 0)
        return 0;
    /* The group has its name for as long as its leader is not reaped. */
    kill(-tool->pid, SIGKILL);
    kill(tool->pid, SIGKILL);
    while (waitpid(tool->pid, &status, 0) < 0 && errno == EINTR)
        ;
    tool->pid = 0;
    tool->pidfd = close_fd(tool->pidfd);
    while (tool->text.len < tool->text.max && take_output(tool))
        ;
    tool->output = close_fd(tool->output);
    return status;
}

void tool_release(struct tool *tool)
{
    tool_end(tool);
    buf_release(&tool->text);
}

/*
 * The last line that tells something. netavark gives {"error": "…"}; pasta complains of a missing
 * syslog after each of its lines.
 */
static void find_cause(const char *text, char cause[CAUSE_MAX])
{
    cause[0] = '\0';
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = strcspn(line, "\n");
        struct err ignored;
        autojson *json = NULL;

        if (len == 0 || strncmp(line, "Failed to send", 14) == 0)
            continue;
        if (*line == '{')
            json = json_parse(line, len, "netavark", ERR_ENGINE_FAILED, &ignored);
        if (json && json_text(json, "error"))
            snprintf(cause, CAUSE_MAX, "%s", json_text(json, "error"));
        else
            snprintf(cause, CAUSE_MAX, "%.*s", (int)len, line);
    }
}

bool tool_failed(const struct tool *tool, enum tool_event event, struct err *err)
{
    char cause[CAUSE_MAX];

    find_cause(tool->text.data ? tool->text.data : "", cause);
    if (event == TOOL_LATE)
        err_set(err, ERR_ENGINE_FAILED, "'%s' did not make the cell's network in %d seconds",
                tool->name, TOOL_LIMIT_MS / 1000);
    else
        err_set(err, ERR_ENGINE_FAILED, "'%s' could not make the cell's network", tool->name);
    err_detail(err, "%s", cause);
    return err_hint(err, "see whether '%s' works on this host, or run with --network host or none",
                    tool->name);
}

static int text_file(const char *text)
{
    autofd file = memfd_create("input", MFD_CLOEXEC);

    if (file < 0 || !file_write_all(file, text, strlen(text)) || lseek(file, 0, SEEK_SET) < 0)
        return -1;
    return TAKE_FD(file);
}

bool tool_run(const char *const *argv, const char *input, struct buf *output, struct err *err)
{
    struct tool_start start = {.input = -1, .fds = {-1, -1}, .userns = -1};
    autotool tool = TOOL_INIT;
    autofd file = -1;
    char path[PROGRAM_PATH_MAX];
    enum tool_event event;
    int status;

    start.path = program_find(argv[0], path);
    if (!start.path) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "'%s' is not installed", argv[0]);
        return err_hint(err, "install it, or run with --network host or none");
    }
    start.argv = (char *const *)argv;
    if (input) {
        start.input = file = text_file(input);
        if (file < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot make the input of '%s'", argv[0]);
    }
    if (!tool_start(&start, &tool, err))
        return false;
    if (output && output->max > TEXT_MAX)
        tool.text.max = output->max;
    event = tool_wait(&tool, -1, -1, clock_now() + TOOL_LIMIT_MS * NS_PER_MS);
    status = tool_end(&tool);
    if (event != TOOL_ENDED || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return tool_failed(&tool, event, err);
    if (output && tool.text.len)
        buf_append(output, tool.text.data, tool.text.len);
    return true;
}
