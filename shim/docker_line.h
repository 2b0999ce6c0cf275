/*
 * The command of docker or podman that comes nearest to a step (pure): for who wants to look at an
 * image or a failure with the tools that they have.
 */
#ifndef STEPCELL_SHIM_DOCKER_LINE_H
#define STEPCELL_SHIM_DOCKER_LINE_H

#include "runtime/run_spec.h"
#include "shim/options.h"

/* All borrowed. */
struct docker_step {
    const char *program; /* "docker" or "podman" */
    const char *image;   /* what the program knows it by */
    const struct run_options *options;
    const struct run_spec *spec;
    const char *env_origins; /* a byte for each entry of spec->env: see environment.h */
    const char *home;        /* HOME, unless the environment has it; or NULL */
    const char *cwd;
    bool clears_entrypoint; /* the image has one */
};

/*
 * The words of the command, the last of which are the step's own; and in `differs` sentences about
 * what it does otherwise than the step. Values of secrets, and what the caller's environment
 * decides, are given by name. False without memory.
 */
bool docker_line_words(const struct docker_step *step, struct strv *words, struct strv *differs);

#endif
