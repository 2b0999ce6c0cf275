/* A process by its number and the time at which it began: a number alone is given out again. */
#ifndef STEPCELL_BASE_PROCESS_H
#define STEPCELL_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define PROCESS_BOOT_MAX 64

struct process {
    pid_t pid;
    uint64_t start;              /* clock ticks since the boot (proc_pid_stat(5), field 22) */
    char boot[PROCESS_BOOT_MAX]; /* which boot (random(4), boot_id) */
};

/* False when there is none, or it cannot be looked at. */
bool process_look(pid_t pid, struct process *process);

/* Whether it is there and has not ended: a zombie waits for nothing but its parent, for ever where
 * pid 1 of a container is no init. */
bool process_lives(const struct process *process);

#define PROCESS_TEXT_MAX 128 /* bytes, with the NUL */

/* This process as a text, by which others can judge whether it is gone. */
bool process_text(char text[PROCESS_TEXT_MAX], struct err *err);

enum process_fate {
    PROCESS_MAY_LIVE, /* also of a text that is not understood, and of another pid namespace */
    PROCESS_GONE,
    PROCESS_OTHER_BOOT, /* of this machine or of another one */
};
enum process_fate process_fate(const char *text);

/* Whether this process is in the first pid namespace of its machine. */
bool process_sees_machine(void);

#endif
