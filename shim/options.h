/*
 * The options of `stepcell run`: one table serves the command line, the JSON step and the help
 * text.
 *
 * The command line is read first, so that --result is known whatever is wrong with the rest; a step
 * file is applied before the flags given beside it, which therefore win. Repeatable options add up.
 */
#ifndef STEPCELL_SHIM_OPTIONS_H
#define STEPCELL_SHIM_OPTIONS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/errs.h"
#include "base/json.h"
#include "mounts/mount_spec.h"
#include "runtime/run_spec.h"
#include "shim/print.h"

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER };
enum engine_name { ENGINE_NATIVE, ENGINE_DOCKER, ENGINE_PODMAN, ENGINE_KUBERNETES };
enum keep_policy { KEEP_NEVER, KEEP_ON_FAILURE, KEEP_ALWAYS };
enum entrypoint_policy { ENTRYPOINT_REFUSE, ENTRYPOINT_CLEAR };

#define GRACE_DEFAULT_MS 10000
#define KEEP_DEFAULT_MS  3600000
#define SECRET_FILES_MAX 100
#define STEP_FILE_MAX    (16 << 20) /* bytes */

struct run_options {
    struct errs wrong;             /* what could not be understood: see options_parse */
    char *id;                      /* of a durable step; NULL: it is none */
    uint64_t since;                /* the first event of a durable step that is to be replayed */
    json_t *asked;                 /* the step as asked for: see options_parse */
    uint64_t from_step, from_line; /* which were given there: see options_origin */
    char *image;
    struct strv command; /* with a script: its arguments */
    char *workdir;
    struct mount_spec *mounts; /* without the working directory and the script */
    size_t mount_count;
    struct strv env; /* NAME=VALUE or NAME */
    struct strv env_files;
    struct strv secret_env;   /* NAME */
    struct strv secret_files; /* NAME=FILE */
    struct strv mask_files;
    bool no_proxy_env;
    char *script; /* a file, or "-" for stdin */
    char *shell;
    char *user;
    enum pull_policy pull;
    char *lock;  /* a file */
    bool locked; /* what it lacks is refused */
    char *platform;
    enum network_mode network;
    char *hostname;
    bool read_only;
    uint64_t caps_added;
    uint64_t caps_dropped;
    struct limits limits;
    enum entrypoint_policy entrypoint;
    enum engine_name engine;
    char *engine_host; /* unix:///PATH or tcp://HOST:PORT */
    char *kubernetes_context, *kubernetes_namespace, *kubernetes_init, *kubernetes_ship;
    bool kubernetes_return;         /* what changes in a shipped working directory */
    struct strv kubernetes_volumes; /* PATH=pvc:NAME or PATH=hostPath */
    char *result;
    char *events;            /* a target, see sink.h */
    char *events_token_file; /* what it holds is sent to a receiver by HTTP */
    char *seccomp;           /* a file */
    uint64_t timeout_ms;     /* 0 for none */
    uint64_t grace_ms;
    char *progress;
    char *store;
    char *step; /* a file, or "-" for stdin */
    bool interactive;
    bool terminal;
    bool opens_shell; /* of `stepcell shell`: an interactive shell instead of the command */
    enum keep_policy keep;
    uint64_t keep_for_ms;
    enum verbosity verbosity;
    bool help;
    /* Set before options_parse by who starts nothing: --json is an option then. */
    bool explains;
    bool image_is_enough; /* set before by who can do without a command */
    bool json;
};

#define RUN_OPTIONS_INIT                                                                           \
    ((struct run_options){                                                                         \
        .grace_ms = GRACE_DEFAULT_MS, .keep_for_ms = KEEP_DEFAULT_MS, .verbosity = PRINT_NORMAL})

/*
 * Reads the words behind `run`. On failure `options` still holds --result, if it was given, and
 * must be released all the same. `wrong` has then everything that could not be understood, and
 * `err` is the first of it; whether the options fit each other is looked at when all of them are
 * understood.
 *
 * `asked` says what the step is, for who compares two of them: an object with "image", "command"
 * and every option under its key in a JSON step, without those that only concern the caller, and
 * with the digest in place of each value of --env, which may be nobody else's business.
 */
bool options_parse(int argc, char **argv, struct run_options *options, struct err *err);
void options_release(struct run_options *options);

/* Adds the directories of the host that the step writes to, as they were given. */
bool options_add_writable(const struct run_options *options, struct strv *places);

/*
 * Where the value of an option, of "image" or of "command" comes from: "option", "step file" or
 * "default".
 */
const char *options_origin(const struct run_options *options, const char *name);

/* The same JSON step with its keys in the order of stepcell-step(5). NULL without memory. */
json_t *options_in_order(const json_t *step);

/* The help text of `command`, which takes the options of run, owned by the caller. */
char *options_help(const char *command);

#define autooptions CLEANUP(options_release) struct run_options

#endif
