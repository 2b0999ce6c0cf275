/*
 * A step that looks at whoever enters its cell: tries, until it is killed, to get at each process
 * that is still stepcell-init (but pid 1), and prints what it got. "saw" tells that there was one,
 * once. Static, so that it runs in any cell.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_init(int pid)
{
    char path[64], name[32] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, name, sizeof(name) - 1) < 0)
        name[0] = '\0';
    close(fd);
    return strcmp(name, "stepcell-init\n") == 0;
}

static int can_follow(int pid, const char *what)
{
    char path[64], to[512];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
    return readlink(path, to, sizeof(to)) >= 0;
}

static int can_open(int pid, const char *what, int flags)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
    fd = open(path, flags);
    close(fd);
    return fd >= 0;
}

static int can_trace(int pid)
{
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0)
        return 0;
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    /* What stopped it may have been its exec, with the SIGSTOP of attaching still to come. */
    kill(pid, SIGCONT);
    return 1;
}

/* What was got of a process that has meanwhile become the command counts for nothing. */
static void report(int pid, const char *what, int got)
{
    if (got && is_init(pid))
        printf("got %s\n", what);
}

static void look(int pid)
{
    static const char *const links[] = {"exe", "cwd", "root", "fd/0", "fd/3", "fd/16", "fd/17"};
    static int seen;

    if (!is_init(pid))
        return;
    if (!seen++)
        puts("saw");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        report(pid, links[i], can_follow(pid, links[i]));
    report(pid, "exe for writing", can_open(pid, "exe", O_WRONLY));
    report(pid, "mem", can_open(pid, "mem", O_RDWR));
    report(pid, "environ", can_open(pid, "environ", O_RDONLY));
    report(pid, "its trace", can_trace(pid));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;

        while ((entry = readdir(proc))) {
            int pid = atoi(entry->d_name);

            if (pid > 1 && pid != getpid())
                look(pid);
        }
        closedir(proc);
    }
}
