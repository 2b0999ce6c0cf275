/*
 * A function in a child process: for work that goes on beside this process's own, and for bytes
 * that this process should not look at itself. The child ends when this process does.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_TASK_H
#define STEPCELL_RUNTIME_IMAGE_TASK_H

#include <sys/types.h>

#include "base/err.h"

struct task {
    pid_t pid;
    struct err *shared; /* what the child says of its failure */
};

#define TASK_INIT ((struct task){.pid = -1})

/* Starts `function` in a copy of this process. */
bool task_start(struct task *task, bool (*function)(void *argument, struct err *err),
                void *argument, struct err *err);

/* Waits for the child and hands on what the function returned, and its error. */
bool task_wait(struct task *task, struct err *err);

/* Kills a child that nobody waited for. */
void task_release(struct task *task);

#define autotask __attribute__((cleanup(task_release))) struct task

#endif
