/* A process by its number and the time at which it began: a number alone is given out again. */
#ifndef STEPCELL_BASE_PROCESS_H
#define STEPCELL_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_BOOT_MAX 64

struct process {
    pid_t pid;
    uint64_t start;              /* clock ticks since the boot (proc_pid_stat(5), field 22) */
    char boot[PROCESS_BOOT_MAX]; /* which boot (random(4), boot_id) */
    char state;                  /* when it was looked at: 'Z' for a zombie */
};

/* False when there is none, or it cannot be looked at. */
bool process_look(pid_t pid, struct process *process);

/* Whether it is still there, and be it as a zombie. */
bool process_lives(const struct process *process);

#endif
