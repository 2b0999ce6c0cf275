/*
 * The programs that make a cell's network: started without a shell, from fixed folders, with a time
 * limit for whatever is waited for, and with nothing of stepcell's but the descriptors named here.
 *
 * A tool is a child of the process that started it and dies with it, and so does what it started,
 * as long as that stays in its process group. What it prints is kept, up to a limit, to show the
 * cause when it fails.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_TOOL_H
#define STEPCELL_RUNTIME_NATIVE_TOOL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

#define TOOL_LIMIT_MS 5000 /* for what takes a tenth of a second */
#define TOOL_FDS      2
#define TOOL_FD_FIRST 3 /* the number that fds[0] gets in the tool */

struct tool {
    const char *name; /* borrowed */
    pid_t pid;        /* 0: none runs */
    int pidfd;
    int output;
    struct buf text; /* the beginning of what it printed */
};

#define TOOL_INIT ((struct tool){.pidfd = -1, .output = -1})

struct tool_start {
    const char *path;
    char *const *argv; /* argv[0] is its name in messages */
    int input;         /* its standard input; -1 for none */
    int fds[TOOL_FDS]; /* its descriptors from TOOL_FD_FIRST on, all of them or none (-1) */
    int userns;        /* the user namespace that it joins, or -1 */
};

enum tool_event {
    TOOL_READY,   /* there is something to read from `ready` */
    TOOL_ENDED,   /* see tool_end for the status */
    TOOL_STOPPED, /* `stop` has become readable */
    TOOL_LATE,    /* the deadline has passed */
};

bool tool_start(const struct tool_start *start, struct tool *tool, struct err *err);

/* Waits for one of these; `ready` and `stop` may be -1. No deadline is 0. */
enum tool_event tool_wait(struct tool *tool, int ready, int stop, int64_t deadline);

/* Kills it and its process group, and gives its wait status; 0 when none runs. */
int tool_end(struct tool *tool);
#define autotool CLEANUP(tool_release) struct tool
void tool_release(struct tool *tool);

/* Sets the error that fits an event other than TOOL_READY, with the cause as the tool gave it. */
bool tool_failed(const struct tool *tool, enum tool_event event, struct err *err);

/*
 * Runs a program to its end: true when it gave 0. What it printed is in `output` (empty, with a
 * limit), which may be NULL. Its standard input is `input`, which may be NULL.
 */
bool tool_run(const char *const *argv, const char *input, struct buf *output, struct err *err);

#endif
