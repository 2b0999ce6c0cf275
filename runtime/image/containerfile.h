/*
 * What a Containerfile (or Dockerfile) says of its base and its arguments (pure): its instructions
 * alone are read, as builders do: with comments, continued lines, the `escape` directive and
 * here-documents. Building is the builder's.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CONTAINERFILE_H
#define STEPCELL_RUNTIME_IMAGE_CONTAINERFILE_H

#include "base/buf.h"
#include "base/err.h"

#define CONTAINERFILE_MAX        (1 << 20)  /* bytes */
#define CONTAINERFILE_LINE_MAX   (64 << 10) /* of an instruction, its lines joined */
#define CONTAINERFILE_STAGES_MAX 128
#define CONTAINERFILE_ARGS_MAX   512

struct containerfile {
    /* What the last stage is built on in the end: a name as FROM has it, variables replaced. NULL
     * for "scratch", and for one that the file alone does not tell. */
    char *base;
    bool on_scratch; /* it is told, and it is "scratch" */
    /* The names of ARGs that count for something: those of a stage that the last one is built on
     * or takes files from, and its own; of ARGs in front of all stages those that the FROM of such
     * a stage is made of. */
    struct strv arguments;
    struct strv labels; /* the names that LABELs of the last stage, and of those it is on, set */
};

/*
 * `build_args` are "NAME=VALUE". config.invalid, with `what` in the message, for a text that no
 * builder would take for a Containerfile.
 */
bool containerfile_parse(const char *text, size_t len, const char *what,
                         const struct strv *build_args, struct containerfile *file,
                         struct err *err);
void containerfile_release(struct containerfile *file);

#define autocontainerfile CLEANUP(containerfile_release) struct containerfile

#endif
