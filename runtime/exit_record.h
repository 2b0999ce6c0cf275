/* How a cell ended, as its engine observed it. What is not observed is EXIT_UNKNOWN, never a guess.
 */
#ifndef STEPCELL_RUNTIME_EXIT_RECORD_H
#define STEPCELL_RUNTIME_EXIT_RECORD_H

#include "base/buf.h"
#include "base/errs.h"

enum exit_kind {
    EXIT_UNKNOWN, /* contact was lost */
    EXIT_STATUS,  /* `value` is the command's exit status */
    EXIT_SIGNAL,  /* `value` is the signal that killed the command */
    EXIT_FAILED,  /* the cell or the command could not be started: see `error` */
};

struct exit_record {
    enum exit_kind kind;
    int value;
    struct err error;
    struct errs further; /* what else was wrong, of EXIT_FAILED; the engine's */
    int output; /* the step's output file, for reading; the engine's, open until its close; or -1 */
    /*
     * What cluster_spec.changes is for: it is there; and all else that is in the directory, too,
     * where another caller has shipped it; or, unless that is ERR_NONE, why it is not.
     */
    bool returned, of_another;
    struct err unreturned;
    bool stays;      /* the cell is still there, without any process of the step */
    bool oom_killed; /* the kernel killed a process of a cell that has a memory limit */
    struct strv
        left_running; /* names of the processes that the command left and that were killed */
};

#endif
