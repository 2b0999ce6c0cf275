/*
 * Scripts: which interpreter runs a script, by --shell, else its #! line, else its ending, else sh.
 */
#ifndef STEPCELL_SHIM_SCRIPT_H
#define STEPCELL_SHIM_SCRIPT_H

#include "base/buf.h"
#include "base/err.h"

struct interpreter {
    struct strv argv;  /* what stands before the script's path */
    struct strv needs; /* programs that the image must have */
};

/*
 * Chooses the interpreter (pure). `head` is the beginning of the script, NUL-ended; `shell` may be
 * NULL. A shell of several words is split at blanks: "bash -eu".
 */
bool script_choose(const char *path, const char *head, const char *shell,
                   struct interpreter *interpreter, struct err *err);
void interpreter_release(struct interpreter *interpreter);

#define SCRIPT_MAX (64 << 20) /* bytes of a script from stdin, and of one that is compared */

#define SCRIPT_HEAD_MAX 256 /* bytes that the kernel looks at, too (BINPRM_BUF_SIZE) */

/* Reads the head of a script file. script.missing when there is none. */
bool script_read_head(const char *path, char head[SCRIPT_HEAD_MAX], struct err *err);

#define autointerpreter CLEANUP(interpreter_release) struct interpreter

#endif
