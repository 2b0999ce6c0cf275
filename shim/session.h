/*
 * One run of one step: what `stepcell run` knows from the first option to the result. The files
 * session_*.c each do one part of it, in this order: prepare (image, user, layers), plan (mounts,
 * script, environment), cell (the engine, the relay, signals and time), and finish (the outcome).
 */
#ifndef STEPCELL_SHIM_SESSION_H
#define STEPCELL_SHIM_SESSION_H

#include <sys/types.h>

#include "base/loop.h"
#include "mounts/idmap.h"
#include "mounts/mount_plan.h"
#include "mounts/mountinfo.h"
#include "runtime/confine/seccomp_profile.h"
#include "runtime/engine.h"
#include "runtime/image/store.h"
#include "runtime/kubernetes/cluster_config.h"
#include "runtime/native/user.h"
#include "runtime/native/scratch.h"
#include "shim/door.h"
#include "shim/options.h"
#include "shim/outlet.h"
#include "shim/policy.h"
#include "shim/relay/filter.h"
#include "shim/result.h"
#include "shim/sampler.h"
#include "shim/script.h"
#include "shim/secrets.h"
#include "shim/state/ledger.h"
#include "shim/state/step_dir.h"
#include "shim/terminal.h"

#define SESSION_ID_LEN     12
#define SESSION_SPECS_MADE 3 /* the output file; the script and the secrets, if there are any */

/* What session_look_inside says of the command. */
enum command_state { COMMAND_UNKNOWN, COMMAND_FOUND, COMMAND_MISSING };

struct session {
    struct run_options options;
    struct result result;
    struct result_place result_place;
    char id[STEP_ID_MAX + 1];
    struct loop loop;

    struct secrets secrets; /* known before anything of the step is started */

    struct errs violations; /* what is wrong with the step, found before its start */

    /* prepare */
    struct policy policy;
    bool knows_policy;
    struct policy_verdict verdict;
    json_t *signatures; /* that were verified: "digest", "key" and "format" of each; or NULL */
    struct err denial;  /* the policy's first refusal, or ERR_NONE */
    bool audited;
    struct reference reference;
    bool knows_reference;  /* it is what a policy judges */
    char *lock_file;       /* of --lock or --locked, resolved, or NULL */
    char *lock_entry;      /* that decided what the reference is, or NULL */
    char *locked_tag;      /* of the entry, or NULL */
    bool asks_digest;      /* the digest of the reference is not only the lock's */
    char *locked_manifest; /* the digest that it has for the platform, or NULL */
    struct platform platform;
    char platform_text[PLATFORM_TEXT_MAX];
    struct store store;
    struct image_name name;
    struct image image;
    bool has_image; /* it is known, and what runs if nothing forbids it */
    struct cell_user user;
    bool knows_user;
    bool knows_environment;
    struct strv layers;  /* absolute directories, lowest first */
    char *image_id;      /* in the engine's daemon, where there is one */
    struct strv volumes; /* of that image */
    char *bound;         /* the name with the digest that was verified, for a daemon; or NULL */
    json_t *helper_report;
    bool pulls; /* the helper has said so */
    pid_t helper;
    const int *helper_ends; /* the signals for it, one for each wish to end; NULL: TERM, KILL */

    struct seccomp_filter seccomp; /* of --seccomp */
    char *seccomp_place;           /* of the file that was read for it, resolved */

    /* plan */
    struct scratch scratch;
    struct mount_spec *specs;     /* options.mounts, the working directory, and others */
    struct mount_source *sources; /* of each */
    size_t spec_room;             /* how many there may be */
    bool hides_store;             /* a mount holds one, see session_cover_stores */
    struct buf mountinfo;         /* of the host, or nothing when it cannot be read */
    char *cwd;
    char *workdir;
    char *script_path;
    int script_fd; /* while it is copied from stdin */
    size_t script_size;
    struct interpreter interpreter;
    struct mount_plan plan;
    struct buf env_origins; /* of spec.env: see environment.h */
    struct strv env_places; /* of the files of --env-file */
    struct run_spec spec;
    struct cluster_spec cluster;
    char *shipped;            /* an image that was pushed for this cell alone; or NULL */
    char *returned;           /* the working directory, where what changes comes back; or NULL */
    char *returned_inode;     /* "DEV:INO" of it, as it was judged */
    char *returned_owner;     /* "UID:GID" of it */
    char *shipped_list;       /* what of it was shipped: a file, shipped_list.h */
    char *changes;            /* what the step has changed: a file, return_stream.h */
    struct strv hidden;       /* names below it where something else is mounted */
    const char *cluster_file; /* the kubeconfig that a policy names, or NULL */
    struct cluster_config cluster_config;            /* of config.json */
    struct strv cluster_volumes, cluster_registries; /* of cluster */
    enum command_state command;

    /* cell */
    const struct engine *engine;
    struct cell *cell;
    struct loop_io cell_io, report_io;
    struct loop_timer timeout, grace; /* the grace is the output's, too, once the cell has ended */
    struct sampler sampler;
    struct pump out, err, in;

    /* output */
    struct mask *mask;
    struct events events;
    struct sink target; /* of --events, unless it is a receiver by HTTP */
    struct filter filters[2];
    struct filter_observer observer;
    json_t *outputs;
    size_t output_bytes; /* of them */
    size_t complaints;   /* about service messages */
    bool outputs_full;
    bool unheard;           /* nobody takes what is said on stderr */
    size_t short_secrets;   /* of the caller's, which are not masked */
    char *masked_reference; /* of the image, for the result */
    char *masked_lock;      /* the same of the entry of the lock file */
    json_t *masked_labels;  /* the same of what --label gave */
    struct step_dir dir;    /* where the event log goes, if there is one */
    bool followed;          /* others read the log: it is what takes the output, and the events */
    bool durable;           /* there is a ledger */
    bool detached;          /* nobody is attached to the step: it writes its result itself */
    bool gathered;          /* session_begin was called */
    bool attached;          /* somebody else carries the step on, and this process follows it */

    struct cell_ends ends;
    bool running, exited, ended, cleaning, timed_out;
    int64_t asked_at;      /* clock_now() of the last SIGINT or SIGTERM, or 0 */
    bool killed, given_up; /* SIGKILL was sent; who called does not wait for its effect */
    int canceled;          /* the signal that asked for it, or 0 */
    struct door door;      /* while there is a cell that has run */
    struct loop_timer door_time;
    struct terminal terminal; /* the caller's, of a command with one of its own */
    struct timespec started;
    int64_t deadline; /* clock_now() at which a kept cell ends; 0: there is none */
    bool holding;     /* nothing is left to do but to hold it */
    int output_fd;    /* the step's output file once the cell has ended, or -1 */
    struct buf report;
    int report_fd;
};

#define SESSION_INIT                                                                               \
    ((struct session){                                                                             \
        .options = RUN_OPTIONS_INIT,                                                               \
        .result = {.engine = "native", .cleanup_verified = true},                                  \
        .result_place = RESULT_PLACE_INIT,                                                         \
        .loop = LOOP_INIT,                                                                         \
        .store = STORE_INIT,                                                                       \
        .image = IMAGE_INIT,                                                                       \
        .scratch = SCRATCH_INIT,                                                                   \
        .script_fd = -1,                                                                           \
        .output_fd = -1,                                                                           \
        .ends = CELL_ENDS_NONE,                                                                    \
        .events = EVENTS_INIT,                                                                     \
        .target = SINK_INIT,                                                                       \
        .dir = STEP_DIR_INIT,                                                                      \
        .report_fd = -1,                                                                           \
        .env_origins = BUF_INIT(STRV_MAX),                                                         \
        .mountinfo = BUF_INIT(MOUNTINFO_MAX),                                                      \
    })

/* An id for a step that was given none. */
bool session_make_id(char id[STEP_ID_MAX + 1], struct err *err);

/* Takes from the caller what only the caller can give: signals, and the values of secrets. Those
 * that are missing are violations. */
bool session_begin(struct session *session, struct err *err);

/*
 * Runs the step from its options to its result, which says what happened, whatever happened.
 * `ready` is false when something failed before, with err.
 */
void session_perform(struct session *session, bool ready, struct err *err);

/* The parts of session_perform, in their order. */

/*
 * All that can be known of the step before its start: sources, image, user, layers, environment,
 * script, mounts and run spec. Starts nothing but the helper that gets an image. False, with the
 * first violation as the error, when the step may not start, and for whatever ended the search.
 */
bool session_resolve(struct session *session, struct err *err);

/*
 * What a check found: true when it passed (`ok`), or when err is a violation that does not keep
 * others from being looked for; it is then in session->violations. False ends the search.
 */
bool session_passes(struct session *session, bool ok, const struct err *err);

/*
 * What only a cell shows, after session_resolve, whatever that gave: sets one up that is never
 * started, and takes it down. Violations join the others. False when that was not possible: too
 * much is unknown, or the engine would have to start something for it.
 */
bool session_look_inside(struct session *session);

/* A step that is known not to start is not worth a pull; who explains it wants to know the rest. */
bool session_saves_pull(const struct session *session);

/* The refusals of a cell that could not be set up. */
void session_take_refusals(struct session *session, const struct exit_record *record);

/* Whether the step's user can use what is mounted, and the store has room. For session_resolve. */
bool session_check_mounts(struct session *session, struct err *err);
bool session_check_disk(struct session *session, struct err *err);

/* Opens the loop, which takes the signals. */
bool session_open(struct session *session, struct err *err);

/*
 * Finds the working directory and the other sources on the host, before anything costly; what is
 * missing is left out of session->sources.
 */
bool session_find_sources(struct session *session, struct err *err);

/* The caller's name for the current directory: $PWD when it is one, as pwd(1) decides. */
const char *session_directory(const struct session *session);

/*
 * Waits until what is to be mounted answers, so that a server that hangs can be canceled. Part of
 * it.
 */
bool session_ask_sources(struct session *session, struct err *err);

/* Compiles the profile of --seccomp, when there is one. */
bool session_read_profile(struct session *session, struct err *err);

/* Makes image, user and layers known and present; refuses an image that does not fit. */
bool session_prepare(struct session *session, struct err *err);

/*
 * For session_prepare: with --lock or --locked the reference becomes the digest that is locked.
 * Then what the store knows of it: whatever name it came by, if it is locked.
 */
bool session_apply_lock(struct session *session, struct err *err);
bool session_look_up(struct session *session, bool *found, struct err *err);

/* What the command line says of the image and its platform. For session_prepare. */
bool session_name_image(struct session *session, struct err *err);

/*
 * Reads the policy, once, before anything is written or opened that the step names. Of one that
 * cannot be read, session->policy says no more than that it exists.
 */
bool session_read_policy(struct session *session, struct err *err);

/*
 * For session_name_image: where there is a policy, a local image is by its real path what the step
 * asks for, so that what is judged is what is opened.
 */
bool session_resolve_image(struct session *session, struct err *err);

/*
 * Where there is a policy, the store and the token's file of the options are by their real paths
 * what the step uses. The one has to be a store to believe, before anything is read there, the
 * other may be sent to whoever listens, a cell say, before the step is judged.
 */
bool session_settle(struct session *session, struct err *err);

/* The same for who has no session: the store's path, owned by the caller. */
char *session_believed_store(const char *store_option, struct err *err);

/* Where --result and --events may not lie, by the options and the policy, as far as it is known. */
bool session_find_outlets(const struct session *session, struct outlets *outlets, struct err *err);

/* Finds the place of the result, where one was asked for. */
bool session_open_result(struct session *session, struct err *err);

/* The policy's part of it, for who has no session but the store's option. */
bool session_guard_outlets(const struct policy *policy, const char *store_option,
                           struct outlets *outlets, struct err *err);

/*
 * The policy's word on the step (docs/design/policy.md): session_allow before anything is fetched,
 * by what is known then, session_judge when all is known, and session_admit right before the cell
 * is made, with the line in the audit log. session->verdict names the rule, whatever the word is;
 * all that they refuse is among the violations, and err is the first of it.
 */
bool session_allow(struct session *session, struct err *err);
bool session_judge(struct session *session, struct err *err);
bool session_admit(struct session *session, struct err *err);

/* Whether what was not allowed leaves the image to be looked at, for what else is wrong. */
bool session_may_look(const struct session *session);

/*
 * Whether the image that was found in the store is known to be signed as the policy asks; else the
 * helper has to verify it, and session_take_verified takes what it reports.
 */
bool session_is_signed(struct session *session);
bool session_take_verified(struct session *session, struct err *err);

/* The line in the audit log, unless there was one; `refused` is the error of a step that is not
 * started, or NULL. */
bool session_audit(struct session *session, const struct err *refused, struct err *err);

/* The user of the step, as far as the image that was found is one that its engine looks into. */
bool session_take_user(struct session *session, struct err *err);

/* The capabilities of a cell with these options. */
uint64_t session_capabilities(const struct run_options *options);

/* null, [] and [""] are no entrypoint. */
bool session_has_entrypoint(const struct session *session);

/* For session_prepare: an engine that is a daemon gets the image. */
bool session_pull_by_daemon(struct session *session, struct err *err);
bool session_load_into_daemon(struct session *session, struct err *err);

/* The same out of what a helper reports of it. */
bool session_take_image(struct session *session, struct err *err);

/* For session_prepare: a cluster gets the image itself, by the digest that was resolved here. */
bool session_describe_image(struct session *session, struct err *err);

/* Where the Pod of the step runs, with an engine that is a cluster. */
bool session_choose_cluster(struct session *session, struct err *err);

/* The nodes need what this process gets that image with; NULL: none. Only for an image that the Pod
 * is really made of. */
bool session_lend_credentials(struct session *session, const char *image, struct err *err);

/* Where to what the nodes do not have is shipped; NULL: nowhere. */
const char *session_repository(const struct session *session);

/* Before the plan is made: whether the working directory is to be a copy in the Pod, of whoever the
 * step's user is. */
bool session_ships_workdir(const struct session *session);

/* What a cluster cannot do of the step is said before anything is made or pushed for it. For
 * session_resolve. */
bool session_check_pod(struct session *session, struct err *err);

/* What the nodes do not have is pushed for them, where --kubernetes-ship says so: as an image that
 * is used instead of the init image. For drive. */
bool session_ship(struct session *session, struct err *err);

/* With --kubernetes-return: names the files for what comes back of that mount. */
bool session_expect_return(struct session *session, const struct mount *workdir, struct err *err);

/* Once the cell has ended: brings it back. Where that fails, the step has failed. */
void session_bring_back(struct session *session);

/* And deleted, as far as the registry lets anybody: the layers stay for the next step. */
void session_unship(struct session *session);

/* Refuses what a daemon cannot do for this step; session->user is known. */
bool session_check_daemon(struct session *session, struct err *err);

/*
 * Runs a program under libexec until it has reported; session->helper_report is what it said, and
 * an error in it is the error. `shared` is as for helper_start.
 */
bool session_run_helper(struct session *session, const char *program, char *const *words,
                        int shared, struct err *err);

/* Words for a helper's options --pull and --progress. */
const char *session_pull_word(enum pull_policy policy);
const char *session_progress_word(const struct session *session);

/* The engine of --engine. */
const struct engine *session_engine(const struct session *session);

/*
 * Adds to the specs, of which there are *count, what hides the stores of the caller's calls in the
 * mounts that hold them, and keeps them where they are. For session_plan; refuses a mount that
 * would let the step write to one (mount.denied).
 */
bool session_cover_stores(struct session *session, size_t *count, struct err *err);

/* Makes the mount plan, the scratch and the run spec. */
bool session_plan(struct session *session, struct err *err);

/* Opens what --events names, once; a receiver by HTTP, which takes no descriptor, is looked at. */
bool session_open_target(struct session *session, struct err *err);

/*
 * What is needed before anything is said of the step. First the mask, with the secrets of the
 * caller. Then where the events go, and the first one; here it shows whether the secrets can be
 * masked.
 */
bool session_open_mask(struct session *session, struct err *err);
bool session_open_relay(struct session *session, struct err *err);

/* Filters for the streams, if anything has to look at them. */
bool session_open_filters(struct session *session, struct err *err);

/* Takes what they counted into the result, and closes them. */
void session_close_filters(struct session *session);

/* Reads what the step wrote to the file that STEPCELL_OUTPUT names. */
bool session_take_output_file(struct session *session, struct err *err);

/* Tells which image it is, and that the command runs. */
bool session_emit_image(struct session *session, struct err *err);
bool session_emit_started(struct session *session, struct err *err);

/*
 * Whatever is said of a step may hold a secret: a path, a name, a message of the kernel's or of the
 * step's. A copy without, the caller's; what cannot be masked is MASK_TEXT as a whole. NULL for
 * NULL, and without memory.
 */
char *session_masked(const struct session *session, const char *text);

/* An error without; one that cannot be masked becomes the reason for that. */
void session_mask_err(const struct session *session, struct err *err);
bool session_print_err(const struct session *session, const struct err *err);

/* The result without: it is complete otherwise. */
void session_mask_result(struct session *session);

/* The last event, with the result. */
bool session_emit_finished(struct session *session, struct err *err);

/* Says what the receiver of the events, which is no longer waited for, did not get, if anything. */
void session_tell_lost_events(const struct session *session);
void session_close_relay(struct session *session);

/* Tells the caller and whoever gets the events something about the step. */
void session_note(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for those alone who get the events. */
void session_warn(struct session *session, const char *text);

/* Writes a record into the ledger of a durable step, before the effect that it announces. */
bool session_record(struct session *session, enum ledger_record record, json_t *members,
                    struct err *err);

/* Runs the cell until it has ended, its output is delivered and it is removed. */
bool session_run_cell(struct session *session, struct err *err);

/* Puts the result of a durable step on the disk. */
bool session_keep_result(struct session *session, struct err *err);

/* Keeps the step's output file, when the cell has ended. For session_run_cell. */
void session_keep_output(struct session *session);

/*
 * What the step has written to $STEPCELL_OUTPUT, in place of what `text` holds; nothing when there
 * was no cell. *too_long tells that it is longer than STEP_OUTPUT_MAX: then `text` is as it was.
 */
bool session_read_output(struct session *session, struct buf *text, bool *too_long,
                         struct err *err);

/* Cancellation before there is a cell: true, with err, when a signal asked for it. */
bool session_is_canceled(const struct session *session, struct err *err);

/* Lets others ask for the cell, and come in, in a moment. Without it the step is the same. */
void session_open_door(struct session *session);

/* Whether the cell, whose step has ended, is to be kept; and that it is. */
bool session_keeps(const struct session *session);
void session_keep(struct session *session);

/*
 * Holds a kept cell (session->deadline) until its deadline or a signal, when the result of the step
 * is out. Nothing of the caller's stays open.
 */
void session_hold(struct session *session);

/* Removes the cell and gives the scratch up, and looks whether anything is left. */
void session_clean_up(struct session *session);

void session_close(struct session *session);

#endif
