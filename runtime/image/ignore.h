/*
 * What a .dockerignore leaves out of a build's context (pure), by the rules of docker's client: a
 * line is a pattern of '*', '?', '[…]' and '**', or one behind '!', which lets in again what an
 * earlier line left out; the last line that fits decides; a directory stands for all below it.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_IGNORE_H
#define STEPCELL_RUNTIME_IMAGE_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

#define IGNORE_MAX         (1 << 20) /* bytes of a file */
#define IGNORE_RULES_MAX   1024
#define IGNORE_PATTERN_MAX 1024 /* bytes */

struct ignore_rule {
    char *pattern; /* clean, without a '/' in front */
    bool lets_in;
};

struct ignore {
    struct ignore_rule *rules;
    size_t count;
    bool lets_in; /* a rule lets something in again */
};

/* config.invalid, with `what` in the message; to be released in any case. */
bool ignore_parse(const char *text, size_t len, const char *what, struct ignore *ignore,
                  struct err *err);
void ignore_release(struct ignore *ignore);

/* Whether a path is left out: clean, relative to the context. */
bool ignore_leaves_out(const struct ignore *ignore, const char *path);

#define autoignore CLEANUP(ignore_release) struct ignore

#endif
