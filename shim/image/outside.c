#include "shim/image/outside.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/caller.h"
#include "base/child.h"
#include "base/program.h"
#include "runtime/image/registry_users.h"

static bool find_along(const char *folders, const char *name, char path[PATH_MAX])
{
    while (*folders) {
        int len = (int)strcspn(folders, ":");

        if (*folders == '/' && snprintf(path, PATH_MAX, "%.*s/%s", len, folders, name) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
        folders += len + (folders[len] == ':');
    }
    return false;
}

const char *outside_find(const char *name, char path[PATH_MAX])
{
    const char *folders = getenv("PATH");

    if (folders && registry_users_configure())
        return find_along(folders, name, path) ? path : NULL;
    return program_find(name, path);
}

static bool is_handed_on(const char *variable, const struct outside *outside)
{
    const char *without = outside->without;
    const struct strv *more = outside->more;
    size_t len = strcspn(variable, "=");

    if (without && strncmp(variable, without, strlen(without)) == 0)
        return false;
    for (size_t i = 0; more && i < more->count; i++) {
        if (strncmp(more->items[i], variable, len + 1) == 0)
            return false;
    }
    return true;
}

static bool make_environment(const struct outside *outside, struct strv *variables)
{
    const struct strv *more = outside->more;
    bool own = registry_users_configure();
    autofree char *home = own ? NULL : caller_home();
    autofree char *home_variable = home ? text_printf("HOME=%s", home) : NULL;
    char *const fixed[] = {(char *)"PATH=" PROGRAM_SEARCH, home_variable, NULL};

    for (char *const *at = own ? environ : fixed; at && *at; at++) {
        if (is_handed_on(*at, outside) && !strv_add(variables, *at))
            return false;
    }
    for (size_t i = 0; more && i < more->count; i++) {
        if (!strv_add(variables, more->items[i]))
            return false;
    }
    return true;
}

_Noreturn static void become(const struct outside *outside, const struct strv *variables,
                             int output, pid_t parent)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    /* A session of its own: ^C on a terminal is not for it. */
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (getppid() != parent || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(outside->with_errors ? output : null, STDERR_FILENO) < 0 ||
        syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0 ||
        (outside->directory && chdir(outside->directory) < 0))
        _exit(127);
    /* Mounts of its own go with its last process. */
    if (outside->apart && geteuid() == 0 &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
        _exit(127);
    execve(outside->program, outside->words->items, variables->items);
    _exit(127);
}

void outside_take(struct outside_lines *lines, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (lines->len < OUTSIDE_LINE_MAX && bytes[i])
                lines->text[lines->len++] = bytes[i];
            continue;
        }
        lines->text[lines->len] = '\0';
        lines->line(lines->data, lines->text);
        lines->len = 0;
    }
}

void outside_end(struct outside_lines *lines)
{
    if (lines->len > 0)
        outside_take(lines, "\n", 1);
}

/* Reads until the end of the output, or of the program: what it has left may hold the output. */
static void read_output(struct outside_lines *lines, int output, int process)
{
    struct pollfd polled[] = {{.fd = output, .events = POLLIN}, {.fd = process, .events = POLLIN}};
    char bytes[8192];

    for (;;) {
        ssize_t n;

        if (poll(polled, ARRAY_SIZE(polled), -1) < 0 && errno != EINTR)
            break;
        if (!(polled[0].revents)) {
            if (polled[1].revents)
                break;
            continue;
        }
        n = read(output, bytes, sizeof(bytes));
        if (n <= 0 && !(n < 0 && errno == EINTR))
            break;
        if (n > 0)
            outside_take(lines, bytes, (size_t)n);
    }
    outside_end(lines);
}

static bool failed(const struct outside *outside, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", outside->program);
}

bool outside_run(const struct outside *outside, int *status, struct err *err)
{
    struct outside_lines lines = {.line = outside->line, .data = outside->data};
    autofd reader = -1, writer = -1, process = -1;
    autostrv variables = {0};
    pid_t self = getpid(), child;
    int ends[2];

    if (!make_environment(outside, &variables) || pipe2(ends, O_CLOEXEC) < 0)
        return failed(outside, err);
    reader = ends[0];
    writer = ends[1];
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    child = fork();
    if (child == 0)
        become(outside, &variables, writer, self);
    writer = close_fd(writer);
    process = child > 0 ? (int)syscall(SYS_pidfd_open, child, 0) : -1;
    if (process < 0) {
        failed(outside, err);
        child_end_all();
        return false;
    }
    read_output(&lines, reader, process);
    *status = child_wait(child);
    child_end_all();
    return true;
}
