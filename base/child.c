#include "base/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

int child_wait(pid_t child)
{
    int status;

    if (child <= 0)
        return -1;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Those that one thread has. */
static void kill_children_of(int tasks, const char *task)
{
    autofree char *path = text_printf("%s/children", task);
    autofd fd = path ? openat(tasks, path, O_RDONLY | O_CLOEXEC) : -1;
    autofile *file = fd < 0 ? NULL : fdopen(fd, "re");
    int pid;

    if (!file)
        return;
    fd = -1;
    while (fscanf(file, "%d", &pid) == 1)
        kill(pid, SIGKILL);
}

static void kill_children(void)
{
    autodir *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    while (tasks && (entry = readdir(tasks))) {
        if (entry->d_name[0] != '.')
            kill_children_of(dirfd(tasks), entry->d_name);
    }
}

void child_end_all(void)
{
    do
        kill_children();
    while (wait(NULL) > 0 || errno == EINTR);
}

static bool is_among(int fd, const int *keep, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keep[i] == fd)
            return true;
    }
    return false;
}

/* The lowest of them from `first` on, or -1. */
static int next_of(int first, const int *keep, size_t count)
{
    int next = -1;

    for (size_t i = 0; i < count; i++) {
        if (keep[i] >= first && (next < 0 || keep[i] < next))
            next = keep[i];
    }
    return next;
}

bool child_keep_only(const int *keep, size_t count)
{
    int first = STDERR_FILENO + 1, null = open("/dev/null", O_RDWR | O_CLOEXEC), next;

    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (!is_among(fd, keep, count) && dup2(null, fd) < 0)
            return false;
    }
    while ((next = next_of(first, keep, count)) >= 0) {
        if (next > first && syscall(SYS_close_range, first, next - 1, 0) < 0)
            return false;
        first = next + 1;
    }
    return syscall(SYS_close_range, first, ~0U, 0) == 0;
}
