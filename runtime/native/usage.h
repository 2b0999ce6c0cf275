/*
 * What a cell uses just now: processor time, memory and tasks (docs/design/report.md).
 *
 * Asked of the cell's own cgroups where it has some that count, else of its processes, which are
 * the first one and all that descend from it. Each number has a source of its own, since a cell may
 * have a cgroup for one limit and none for another. What cannot be asked is USAGE_UNKNOWN, never a
 * guess.
 *
 * It works for every engine whose cells run on this host: all it needs is the first process.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_USAGE_H
#define STEPCELL_RUNTIME_NATIVE_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process.h"

#define USAGE_PROCESSES_MAX 1024 /* that are looked at; a cell with more is asked of its cgroup */
#define USAGE_UNKNOWN       UINT64_MAX

enum usage_kind {
    USAGE_CPU,    /* µs since the cell began, of processes that are gone too */
    USAGE_MEMORY, /* bytes: of a cgroup with its page cache, of processes what is resident */
    USAGE_PIDS,   /* processes and threads, pid 1 of the cell included */
    USAGE_KINDS,
};

enum usage_source { USAGE_CGROUP, USAGE_PROCESSES };

struct usage_meter {
    struct process leader;
    int files[USAGE_KINDS]; /* of the cell's cgroups, or -1: of its processes */
    int memory_peak;        /* of the cell's cgroup, or -1 */
    uint64_t cpu;           /* the most that was seen */
};

#define USAGE_METER_INIT ((struct usage_meter){.files = {-1, -1, -1}, .memory_peak = -1})

/* Finds out where the numbers of the cell with this first process can be had. */
void usage_open(pid_t leader, struct usage_meter *meter);
void usage_close(struct usage_meter *meter);

enum usage_source usage_source(const struct usage_meter *meter, enum usage_kind kind);

/* Asks. Of processes that are gone nothing is known, of a cgroup that is still there everything. */
void usage_read(struct usage_meter *meter, uint64_t values[USAGE_KINDS]);

/* The most memory that the cell ever used, which a cgroup knows; else USAGE_UNKNOWN. */
uint64_t usage_memory_peak(const struct usage_meter *meter);

/* The number in a file of a cgroup, in the unit of `kind`. Pure; false when there is none. */
bool usage_parse(const char *text, enum usage_kind kind, uint64_t *value);

/* What /proc/PID/stat says of a process (proc_pid_stat(5)). Pure; false when it is none. */
struct usage_process {
    pid_t parent;
    uint64_t ticks; /* of the process, and of children that it has waited for */
    uint64_t tasks;
    uint64_t pages;
};

bool usage_parse_process(const char *text, struct usage_process *process);

/* Whether the path of a cgroup is one that an engine makes for one cell alone. Pure. */
bool usage_is_own_path(const char *path);

#endif
