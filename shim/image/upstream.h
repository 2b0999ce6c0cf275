/* `stepcell upstream`: between its options and its outputs. */
#ifndef STEPCELL_SHIM_IMAGE_UPSTREAM_H
#define STEPCELL_SHIM_IMAGE_UPSTREAM_H

#include "runtime/image/upstream.h"

#define UPSTREAM_NAME_MAX 128 /* bytes of the name of a variable */

/* A kind of output: where variables of a build go. */
struct upstream_output {
    const char *word;
    bool to_file;  /* the one that $GITHUB_OUTPUT names; else stdout */
    bool is_plain; /* nothing but variables may stand beside them */
    /* A line for one variable. The value is a version or a word: nothing in it needs an escape. */
    bool (*add)(struct buf *text, const char *name, const char *value);
};

/* NULL when there is none of that name. */
const struct upstream_output *upstream_output_find(const char *word);

/* A letter or '_', then letters, digits and '_'. */
bool upstream_name_is_valid(const char *name);

/* Hands out the version, where it is known, and whether to continue: "Yes" or "No". */
bool upstream_output_write(const struct upstream_output *output, const char *name_version,
                           const char *name_continue, const struct upstream_answer *answer,
                           struct err *err);

#endif
