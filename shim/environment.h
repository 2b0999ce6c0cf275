/*
 * The environment of a step (pure but for --env-file): the image's, then the caller's proxy
 * variables, then STEPCELL_PACKAGE_…, then --env-file, --env and --secret-env, then
 * STEPCELL_OUTPUT; a later value of a name wins. Nothing else of the caller's environment passes.
 */
#ifndef STEPCELL_SHIM_ENVIRONMENT_H
#define STEPCELL_SHIM_ENVIRONMENT_H

#include "mounts/mount_plan.h"
#include "shim/options.h"

#define ENV_FILE_MAX (4 << 20) /* bytes */

/* Where an entry comes from. */
enum env_origin {
    ENV_DEFAULT, /* what every cell has */
    ENV_IMAGE,
    ENV_PROXY, /* a proxy variable of the caller's */
    ENV_PACKAGE,
    ENV_FILE,   /* --env-file */
    ENV_OPTION, /* --env */
    ENV_SECRET, /* --secret-env */
};

/*
 * `image_env` is the image's; `caller` is an environ. `sources` are the sources of options->mounts,
 * at the same index. `origins` gets a byte for each entry of `env`, its enum env_origin; `places`
 * the paths of the files of --env-file that were read, resolved. *own_home
 * tells that the caller set HOME. *image_home is the image's HOME, which is left out of `env`, or
 * NULL; it is borrowed from image_env.
 */
bool environment_make(const struct run_options *options, const struct strv *image_env,
                      char **caller, const struct mount_source *sources, struct strv *env,
                      struct buf *origins, struct strv *places, bool *own_home,
                      const char **image_home, struct err *err);

/* The parts of it that the caller gives by --env, and by --env-file. */
bool environment_of_options(const struct run_options *options, char **caller, struct strv *env,
                            struct err *err);
bool environment_of_files(const struct run_options *options, char **caller, struct strv *env,
                          struct err *err);

/* Releases an environment that may hold secrets, and leaves nothing of it in memory. */
void environment_wipe(struct strv *env);

#endif
