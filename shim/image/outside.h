/*
 * Other people's programs that work for a build: what they print is read line by line, and nothing
 * that they have started is left when they end, or when this process does.
 */
#ifndef STEPCELL_SHIM_IMAGE_OUTSIDE_H
#define STEPCELL_SHIM_IMAGE_OUTSIDE_H

#include <limits.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define OUTSIDE_LINE_MAX 4096 /* bytes of a line that are handed on; the rest is passed over */

/* Bytes that become lines. */
struct outside_lines {
    void (*line)(void *data, const char *line); /* takes each, without its end */
    void *data;
    char text[OUTSIDE_LINE_MAX + 1];
    size_t len;
};

void outside_take(struct outside_lines *lines, const char *bytes, size_t len);
/* The last line may have no end. */
void outside_end(struct outside_lines *lines);

struct outside {
    const char *program;      /* its path */
    const struct strv *words; /* its name and its arguments */
    const struct strv *more;  /* variables that it gets beside, or instead of, the caller's */
    const char *without;   /* how variables of the caller's begin that it does not get, or NULL */
    const char *directory; /* where it works, or NULL */
    bool apart;            /* in a mount namespace of its own, where the caller is root */
    bool with_errors;      /* what it prints on stderr, too; otherwise that is dropped */
    /* Takes each line, without its end. */
    void (*line)(void *data, const char *line);
    void *data;
};

/*
 * Where a program lies, or NULL: along $PATH where users may configure (registry_users.h), in fixed
 * folders otherwise.
 */
const char *outside_find(const char *name, char path[PATH_MAX]);

/* Runs it to its end: *status as child_wait gives it. */
bool outside_run(const struct outside *outside, int *status, struct err *err);

#endif
