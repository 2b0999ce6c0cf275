/*
 * The streams of a command as pipes: stepcell's own ends, which are non-blocking, and the child's.
 *
 * A structure is CELL_PIPES_NONE first, and holds what has been made also after a failure.
 */
#ifndef STEPCELL_RUNTIME_CELL_PIPES_H
#define STEPCELL_RUNTIME_CELL_PIPES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct cell_pipes {
    int in, out, err;                   /* stepcell's */
    int child_in, child_out, child_err; /* close-on-exec */
};

#define CELL_PIPES_NONE ((struct cell_pipes){-1, -1, -1, -1, -1, -1})

/* One pipe, close-on-exec. */
bool cell_pipe_make(int *reader, int *writer, struct err *err);

/* A pipe for stdin only `with_in`. */
bool cell_pipes_make(bool with_in, struct cell_pipes *pipes, struct err *err);

/* To who runs the command, by the host's number: /dev/stdout is opened anew by path. */
bool cell_pipes_give(const struct cell_pipes *pipes, uid_t uid, struct err *err);

/* The command's terminal, given away, instead of pipes: its output, and `with_in` its input. */
void cell_pipes_take_terminal(struct cell_pipes *pipes, int *terminal, bool with_in);

void cell_pipes_close_child(struct cell_pipes *pipes);
void cell_pipes_close(struct cell_pipes *pipes);

#endif
