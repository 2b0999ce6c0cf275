/* Other people's programs that stepcell starts. */
#ifndef STEPCELL_BASE_PROGRAM_H
#define STEPCELL_BASE_PROGRAM_H

#include <stdbool.h>

#include "base/buf.h"

#define PROGRAM_PATH_MAX 128

/* The $PATH that such a program gets, when the caller's is not for it. */
#define PROGRAM_SEARCH "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

/* Where a program lies, out of the folders where distributions put it and never along $PATH, or
 * NULL. */
const char *program_find(const char *name, char path[PROGRAM_PATH_MAX]);

/*
 * A question to a program: what it reads on its standard input, which is written before anything is
 * read and has to fit a pipe (64 KiB); SIGPIPE has to be ignored. NULL for nothing. What it says on
 * standard error could be anything, and is dropped.
 */
struct program_question {
    char *const *words; /* the first is looked for along $PATH, unless it is a path */
    char *const *environment;
    const char *input;
    int timeout_ms; /* then it is killed */
};

/*
 * Takes its standard output, of which `answer` bounds the length. True when the program has ended
 * with 0. *fault is what else it does, for a message ("fails"), or NULL with errno when it could
 * not be started; the answer of one that fails is there.
 */
bool program_ask(const struct program_question *question, struct buf *answer, const char **fault);

#endif
