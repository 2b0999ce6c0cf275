/*
 * The engine interface: what makes cells.
 *
 * Sequence: create; start, at once or later: the command runs as soon as the cell is ready and
 * start was called; then, whenever `events` of its ends is readable, handle, until it gives
 * CELL_ENDED. The streams are read to their end by the caller; an engine never reads or writes
 * them. With a terminal there is only one, which `ends` has from CELL_READY on. signal may come at
 * any time. Then clean, which ends what has not ended, and handle again until CELL_CLEAN. close
 * comes last and always, and is the only one that frees; who does not wait for CELL_CLEAN learns
 * from it what is left.
 *
 * Nothing here blocks for longer than the kernel needs, and no cell keeps its caller waiting for
 * ever: an engine gives one up, and says so in close, that does not end after SIGKILL, or is not
 * clean although nothing happens any more.
 */
#ifndef STEPCELL_RUNTIME_ENGINE_H
#define STEPCELL_RUNTIME_ENGINE_H

#include <sys/types.h>

#include "runtime/exit_record.h"
#include "runtime/run_spec.h"

struct cell; /* an engine's own */

enum cell_event {
    CELL_NOTHING,
    CELL_READY,  /* everything is set up and proven */
    CELL_EXITED, /* the command has ended, and the cell is about to */
    CELL_ENDED,  /* the exit record is complete, no process of the step runs; it comes again when
                    a cell that stays ends by itself */
    CELL_CLEAN,  /* what could be cleaned up is */
    CELL_NOTE,   /* *err says what whoever waits wants to know; nothing has failed */
};

/*
 * What the caller has of a cell from its creation on; -1 where there is none. All stays the cell's,
 * but for `in`, which is given out once: the caller closes it when there is no more input.
 */
struct cell_ends {
    int events;
    int in;
    int out;
    int err;
    /* A daemon's cell has these from CELL_READY on: who asks then is told. */
    int entry;    /* takes an ENTER (runtime/native/handshake.h); -1: nobody can enter */
    pid_t leader; /* the first process, as this host numbers it; 0 for a cell on another one */
};

#define CELL_ENDS_NONE ((struct cell_ends){-1, -1, -1, -1, -1, 0})

struct engine {
    const char *name;
    bool begins_unseen; /* a command may run before CELL_READY says so, and is asked to end then */
    bool (*create)(const struct run_spec *spec, const struct root_filesystem *root,
                   struct cell **cell, struct err *err);
    bool (*start)(struct cell *cell, struct err *err);
    struct cell_ends (*ends)(struct cell *cell);
    bool (*handle)(struct cell *cell, enum cell_event *event, struct err *err);
    const struct exit_record *(*exit_record)(const struct cell *cell);
    bool (*signal)(struct cell *cell, int signal,
                   struct err *err); /* SIGKILL ends the whole step, and the cell unless it stays */
    bool (*clean)(struct cell *cell, enum cell_event *event, struct err *err);
    /* Adds what is left to *left (host paths, and what else there is), empty when nothing is. */
    bool (*close)(struct cell *cell, struct strv *left, struct err *err);
};

#endif
