/*
 * What a cell that has ended leaves on the disk: files of other ids in its sources are given back
 * (ownership.h), and what it wrote to its scratch is removed.
 *
 * A little of that is done at once. More of it, and whatever may have to wait for the server of a
 * file system, is done by a child process, so that the caller stays awake and can give it up.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_TIDY_H
#define STEPCELL_RUNTIME_NATIVE_TIDY_H

#include <time.h>

#include "base/file.h"
#include "mounts/idmap.h"
#include "runtime/run_spec.h"

/* What is left, as bits. */
enum { TIDY_NOT_GIVEN_BACK = 1, TIDY_NOT_REMOVED = 2 };

/* Shared with the child. */
struct tidy_work {
    struct file_budget budget;
    unsigned int left; /* TIDY_* */
};

struct tidy {
    const struct run_spec *spec;
    const struct idmap *map;
    struct timespec start; /* of the cell */
    int scratch;           /* of the cell */
    int userns;            /* of the cell; -1 when there was none yet, and so no step */
    bool served;           /* this host has file systems whose servers may not answer */

    pid_t child; /* 0 when there is none */
    int pidfd;   /* readable when the child has ended */
    struct tidy_work *work;
    uint64_t seen; /* of the budget */
};

#define TIDY_INIT ((struct tidy){.scratch = -1, .userns = -1, .pidfd = -1})

/* Does it, if it is little; false when it is not. *left tells of what could not be done. */
bool tidy_at_once(struct tidy *tidy, unsigned int *left);

/* Starts the child. */
bool tidy_start(struct tidy *tidy, struct err *err);

/* Whether the child has done anything since this was asked last. */
bool tidy_goes_on(struct tidy *tidy);

/* Takes the result of the child, when it has ended; gives it up otherwise. */
unsigned int tidy_finish(struct tidy *tidy);

#endif
