/*
 * Brings what a step has changed in a working directory that was shipped into the caller's.
 *
 *   return_check for the whole stream first, then return_apply
 *
 * No name of the stream leads out of the directory: each component is opened by itself, and no link
 * is followed. Files are written beside and renamed, so that whoever reads one sees the old or the
 * new one. Only what was shipped, and is as it was then, is deleted; what others have added stays.
 * What others have changed meanwhile, and the step as well, becomes the step's. Of what can be done
 * only in part, nobody takes the first part back.
 *
 * Who has blocked RETURN_STOP ends both with it, between two files: an error as any other one, that
 * leaves nothing beside its place and no mode widened.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_RETURN_APPLY_H
#define STEPCELL_RUNTIME_KUBERNETES_RETURN_APPLY_H

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"
#include "runtime/kubernetes/return_stream.h"

#define RETURN_WARNINGS_MAX 16
#define RETURN_STOP         SIGVTALRM          /* nobody else sends it, to a process group say */
#define RETURN_PLACE_MAX    (PATH_MAX + 2)     /* bytes of return_plan.place */
#define RETURN_TEMPORARY    ".stepcell-return" /* file_create_beside's, of what is being written */

/* What may be left when it was not done to its end. */
#define RETURN_PART_HINT "a part of what the step has changed may be there already: look at '%s'"

struct return_plan {
    const char *path; /* of the directory: clean, absolute, without links */
    dev_t dev;        /* what it has to be: its owner may have put another one there */
    ino_t ino;
    FILE *list; /* what was shipped of it: shipped_list.h */
    const struct strv
        *without; /* names that are neither looked at nor touched, nor what is below */
    bool keeps;   /* nothing is deleted: another caller has shipped it */
    bool may_chown;
    uid_t uid; /* whom everything belongs to, where that may be said */
    gid_t gid;
    /*
     * Where it works, for who looks after it when it was killed: "./" and the name of the directory
     * that a RETURN_TEMPORARY may be in. Shared memory, empty until something is changed; or NULL.
     */
    char *place;
};

/* Whether the file `stream` is a whole stream. */
bool return_check(int stream, struct err *err);

/* Sentences about what was not as expected join `warnings`. mount.conflict: it is another
 * directory, and nothing was done. */
bool return_apply(const struct return_plan *plan, int stream, struct strv *warnings,
                  struct err *err);

#endif
