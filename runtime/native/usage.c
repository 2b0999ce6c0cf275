#include "runtime/native/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "runtime/native/cgroup_find.h"

#define TEXT_MAX       4096 /* bytes of a file of a cgroup, or about a process */
#define PROC_MAX       (64 << 20)
#define PATH_BYTES     64
#define CONTAINER_ID   64 /* hexadecimal digits that docker and podman name a container by */
#define CELL_ID        16 /* that the native engine does, behind this: */
#define CELL_PREFIX    "stepcell-"
#define HEX_DIGITS     "0123456789abcdef"
#define US_PER_S       UINT64_C(1000000)
#define NS_PER_US      UINT64_C(1000)
#define CPU_STAT_FIRST "usage_usec "

/* A file of a cgroup, for versions 1 and 2. */
struct counter {
    enum cgroup_controller controller;
    const char *v1, *v2;
};

static const struct counter counters[USAGE_KINDS] = {
    [USAGE_CPU] = {CGROUP_CPU, "cpuacct.usage", "cpu.stat"},
    [USAGE_MEMORY] = {CGROUP_MEMORY, "memory.usage_in_bytes", "memory.current"},
    [USAGE_PIDS] = {CGROUP_PIDS, "pids.current", "pids.current"},
};

/* Of version 2 since Linux 5.19. */
static const struct counter memory_peak = {CGROUP_MEMORY, "memory.max_usage_in_bytes",
                                           "memory.peak"};

bool usage_parse(const char *text, enum usage_kind kind, uint64_t *value)
{
    size_t head = strlen(CPU_STAT_FIRST);
    bool labeled = kind == USAGE_CPU && strncmp(text, CPU_STAT_FIRST, head) == 0;
    autofree char *number = labeled ? strndup(text + head, strcspn(text + head, "\n"))
                                    : strndup(text, strcspn(text, "\n"));

    if (!number || !num_parse(number, INT64_MAX, value))
        return false;
    /* Version 1 counts nanoseconds. */
    if (kind == USAGE_CPU && !labeled)
        *value /= NS_PER_US;
    return true;
}

bool usage_parse_process(const char *text, struct usage_process *process)
{
    /* A process may call itself whatever it likes, but nothing behind its name has a ')'. */
    const char *end = strrchr(text, ')');
    uint64_t user, system, user_waited, system_waited, tasks;
    int64_t pages;
    int parent;

    if (!end ||
        sscanf(end + 1,
               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %*d %*d %" SCNu64 " %*d %*u %*u %" SCNd64,
               &parent, &user, &system, &user_waited, &system_waited, &tasks, &pages) != 7 ||
        pages < 0)
        return false;
    *process = (struct usage_process){.parent = parent,
                                      .ticks = user + system + user_waited + system_waited,
                                      .tasks = tasks,
                                      .pages = (uint64_t)pages};
    return true;
}

/* Whether the path has a run of just so many hexadecimal digits. */
static bool has_id(const char *path, size_t digits)
{
    while (*path) {
        size_t run = strspn(path, HEX_DIGITS);

        if (run == digits)
            return true;
        path += run ? run : 1;
    }
    return false;
}

bool usage_is_own_path(const char *path)
{
    const char *name = strrchr(path, '/');
    size_t prefix = strlen(CELL_PREFIX);

    if (name && strncmp(name + 1, CELL_PREFIX, prefix) == 0)
        return strlen(name + 1) == prefix + CELL_ID && has_id(name + 1 + prefix, CELL_ID);
    return has_id(path, CONTAINER_ID);
}

static int open_counter(const char *cgroups, const char *own_cgroups, const char *mountinfo,
                        const struct counter *counter)
{
    struct cgroup_own cell, own;
    autofree char *path = NULL;
    struct err ignored;

    if (!cgroup_find(cgroups, mountinfo, counter->controller, &cell, &ignored) ||
        !usage_is_own_path(cell.parent))
        return -1;
    /* stepcell may run in a container itself. */
    if (cgroup_find(own_cgroups, mountinfo, counter->controller, &own, &ignored) &&
        strcmp(own.parent, cell.parent) == 0)
        return -1;
    path = text_printf("%s/%s", cell.parent, cell.unified ? counter->v2 : counter->v1);
    return path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

void usage_open(pid_t leader, struct usage_meter *meter)
{
    autobuf cgroups = BUF_INIT(PROC_MAX), own = BUF_INIT(PROC_MAX), mountinfo = BUF_INIT(PROC_MAX);
    char path[PATH_BYTES];
    struct err ignored;

    *meter = USAGE_METER_INIT;
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)leader);
    if (leader <= 0 || !process_look(leader, &meter->leader) ||
        !file_read(AT_FDCWD, path, &cgroups, ERR_ENGINE_FAILED, &ignored) ||
        !file_read(AT_FDCWD, "/proc/self/cgroup", &own, ERR_ENGINE_FAILED, &ignored) ||
        !file_read(AT_FDCWD, "/proc/self/mountinfo", &mountinfo, ERR_ENGINE_FAILED, &ignored))
        return;
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        meter->files[kind] = open_counter(cgroups.data, own.data, mountinfo.data, &counters[kind]);
    meter->memory_peak = open_counter(cgroups.data, own.data, mountinfo.data, &memory_peak);
}

void usage_close(struct usage_meter *meter)
{
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        close_fd(meter->files[kind]);
    close_fd(meter->memory_peak);
    *meter = USAGE_METER_INIT;
}

enum usage_source usage_source(const struct usage_meter *meter, enum usage_kind kind)
{
    return meter->files[kind] >= 0 ? USAGE_CGROUP : USAGE_PROCESSES;
}

/* ---- processes ---- */

/* Parents before their children, so that nobody is counted twice who is waited for meanwhile. */
struct walk {
    struct {
        pid_t pid, parent;
    } items[USAGE_PROCESSES_MAX];
    size_t count;
    uint64_t ticks, tasks, pages;
};

static bool add(struct walk *walk, pid_t pid, pid_t parent)
{
    if (walk->count == USAGE_PROCESSES_MAX)
        return false;
    walk->items[walk->count].pid = pid;
    walk->items[walk->count++].parent = parent;
    return true;
}

/* The children of one task. */
static bool add_children(struct walk *walk, pid_t pid, const char *task)
{
    char path[2 * PATH_BYTES];
    autofile *children = NULL;
    int child;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, task);
    children = fopen(path, "re");
    /* A task that has ended has none; a kernel that does not tell must not pass for that. */
    if (!children)
        return access("/proc/thread-self/children", F_OK) == 0;
    while (fscanf(children, "%d", &child) == 1) {
        if (!add(walk, child, pid))
            return false;
    }
    return true;
}

struct tasks {
    struct walk *walk;
    pid_t pid;
};

static bool add_task(void *data, int dirfd, const char *name)
{
    const struct tasks *tasks = data;

    (void)dirfd;
    return add_children(tasks->walk, tasks->pid, name);
}

/* One that has ended meanwhile is in its parent's numbers the next time. */
static bool has_ended(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static bool count_process(struct walk *walk, pid_t pid, pid_t parent)
{
    struct tasks tasks = {walk, pid};
    autobuf text = BUF_INIT(TEXT_MAX);
    struct usage_process process;
    char path[PATH_BYTES];
    struct err ignored;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, &ignored) ||
        !usage_parse_process(text.data, &process))
        return has_ended(pid);
    /* The number may be another one's by now. */
    if (parent && process.parent != parent)
        return true;
    walk->ticks += process.ticks;
    walk->tasks += process.tasks;
    walk->pages += process.pages;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    return file_each_entry(AT_FDCWD, path, add_task, &tasks) || has_ended(pid);
}

/* False when a part of it cannot be seen: then no sum is right. */
static bool walk_processes(const struct process *leader, uint64_t values[USAGE_KINDS])
{
    autofree struct walk *walk = calloc(1, sizeof(*walk));

    if (!walk || leader->pid <= 0 || !process_lives(leader) || !add(walk, leader->pid, 0))
        return false;
    for (size_t i = 0; i < walk->count; i++) {
        if (!count_process(walk, walk->items[i].pid, walk->items[i].parent))
            return false;
    }
    values[USAGE_CPU] = walk->ticks * (US_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
    values[USAGE_MEMORY] = walk->pages * (uint64_t)sysconf(_SC_PAGESIZE);
    values[USAGE_PIDS] = walk->tasks;
    return walk->tasks > 0;
}

static uint64_t read_counter(int file, enum usage_kind kind)
{
    char text[TEXT_MAX];
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    uint64_t value;

    if (n < 0)
        return USAGE_UNKNOWN;
    text[n] = '\0';
    return usage_parse(text, kind, &value) ? value : USAGE_UNKNOWN;
}

void usage_read(struct usage_meter *meter, uint64_t values[USAGE_KINDS])
{
    uint64_t of_processes[USAGE_KINDS] = {USAGE_UNKNOWN, USAGE_UNKNOWN, USAGE_UNKNOWN};
    bool walked = false;

    for (int kind = 0; kind < USAGE_KINDS; kind++) {
        if (meter->files[kind] >= 0) {
            values[kind] = read_counter(meter->files[kind], (enum usage_kind)kind);
            continue;
        }
        if (!walked && !walk_processes(&meter->leader, of_processes))
            of_processes[USAGE_CPU] = of_processes[USAGE_MEMORY] = of_processes[USAGE_PIDS] =
                USAGE_UNKNOWN;
        walked = true;
        values[kind] = of_processes[kind];
    }
    if (values[USAGE_CPU] == USAGE_UNKNOWN)
        return;
    /* Who ends unseen between two looks at its family is missing for a moment. */
    if (values[USAGE_CPU] < meter->cpu)
        values[USAGE_CPU] = meter->cpu;
    meter->cpu = values[USAGE_CPU];
}

uint64_t usage_memory_peak(const struct usage_meter *meter)
{
    return read_counter(meter->memory_peak, USAGE_MEMORY);
}
