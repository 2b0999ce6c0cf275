/*
 * What a step changes in a working directory that was shipped, and how it is given back: pid 1 of
 * the Pod remembers what is there before the command, and when nothing of the step runs any more it
 * gives a stream (return_stream.h) to whoever comes by `stepcell-pod collect`, which the API's exec
 * starts in the container.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_CHANGES_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_CHANGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

/* Of one entry: hashes of its path, and of what changes with it. */
struct mark {
    uint64_t path, state;
};

struct changes {
    const char *directory;
    char **hidden; /* names below it that are somebody else's, ended by NULL */
    struct mark *marks;
    size_t count, room;
};

/* Remembers what is there. Whatever is changed from then on has another state. */
bool changes_begin(struct changes *changes, struct err *err);

/* Whether what is there now was there then, and is as it was. */
bool changes_has(const struct changes *changes, const char *path, const struct stat *st);

/* Until they have been taken, or nobody comes for them; `signals` is the signalfd. */
void changes_give(const struct changes *changes, int signals);

/* The program `collect`: pid 1 gets its stdin and stdout. `all`: also what is unchanged. */
int changes_collect(bool all);

#endif
