/*
 * From a process of stepcell-init to a command of the cell: the step's own, or a visitor's. Both go
 * this one way, so that a visitor has the user, privileges and limits of the step, no more.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_INIT_COMMAND_H
#define STEPCELL_RUNTIME_NATIVE_INIT_COMMAND_H

#include <linux/filter.h>
#include <stdbool.h>

#include "runtime/native/handshake.h"

/*
 * Why the process did not become the command: in memory that it shares with pid 1, since a seccomp
 * filter may allow it neither to send nor to exit. `kind` is 0 while there is nothing.
 */
struct failure {
    enum message_kind kind;
    int number; /* errno */
};

#define INIT_FAILURE 125 /* a status that is not looked at */

/* Where 0, 1 and 2 come from. */
enum command_streams {
    STREAMS_THERE,          /* they are open */
    STREAMS_TERMINAL_THERE, /* the same; they are to be the controlling terminal */
    STREAMS_PIPES,          /* made here, with stdin */
    STREAMS_OUTPUT,         /* the same; stdin is at its end */
    STREAMS_TERMINAL,       /* made here, and the controlling one */
};

struct command {
    const struct init_config *config;
    const struct sock_filter *filter;
    char *const *argv;
    enum command_streams streams;
    struct terminal_size size;
    int socket; /* where the other ends of streams go that are made here */
    volatile struct failure *failure;
};

/*
 * Becomes the command, in a child of pid 1, whose environment is the command's. All numbers below 3
 * are in use.
 */
_Noreturn void command_run(const struct command *command);

#endif
