#include "shim/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/path.h"
#include "base/process.h"
#include "shim/commands.h"
#include "shim/deliver.h"
#include "shim/durable_contents.h"
#include "shim/helper_report.h"
#include "shim/state/follow.h"

#define TARGET_MAX       65536 /* bytes of target.json */
#define SUPERVISOR_TRIES 5     /* of which each is killed before it takes charge */

static bool failed(const char *what, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

/* Variables by their names: what stands for a value says nothing of it, and older records have
 * something else there. */
static bool are_same_names(const json_t *one, const json_t *other)
{
    const json_t *item;
    size_t i;

    json_array_foreach (one, i, item) {
        const char *a = json_string_value(item);
        const char *b = json_string_value(json_array_get(other, i));

        if (!a || !b || strncmp(a, b, strcspn(a, "=") + 1) != 0)
            return false;
    }
    return json_array_size(one) == json_array_size(other);
}

static bool is_same(const char *member, const json_t *one, const json_t *other)
{
    bool is_digest;

    contents_name(member, &is_digest);
    if (strcmp(member, "env") == 0)
        return are_same_names(one, other);
    return (is_digest && !other) || json_equal(one, other);
}

/* The same words about two steps: for who compares them, and says what differs. */
static bool check_same(const json_t *records, const struct session *session, struct err *err)
{
    const json_t *accepted = ledger_find(records, LEDGER_ACCEPTED);
    const json_t *then = json_object_get(accepted, "step"), *now = session->options.asked;
    const char *key, *differs = NULL;
    bool is_digest;
    json_t *value;

    json_object_foreach ((json_t *)now, key, value) {
        if (!differs && !is_same(key, value, json_object_get(then, key)))
            differs = key;
    }
    json_object_foreach ((json_t *)then, key, value) {
        if (!differs && !is_same(key, value, json_object_get(now, key)))
            differs = key;
    }
    if (!differs)
        return true;
    err_set(err, ERR_STEP_CONFLICT, "another step has the id '%s': its '%s' is not the same",
            session->id, contents_name(differs, &is_digest));
    return err_hint(err,
                    "give this step an id of its own; 'stepcell status --id %s' tells about "
                    "the other one",
                    session->id);
}

/* From here on this process is the one that carries the step on; false when another one does. */
static bool take_charge(struct session *session, struct err *err)
{
    enum ledger_record last;
    autojson *records = NULL;
    json_t *self;

    if (!step_dir_lock(&session->dir))
        return errno == EAGAIN ? false : failed("lock the step", err);
    if (!ledger_read(session->dir.fd, &last, &records, err) || last != LEDGER_ACCEPTED)
        return false;
    self = ledger_pack_process(getpid());
    if (!self)
        return failed("look at the supervisor's own process", err);
    return ledger_append(session->dir.fd, LEDGER_SUPERVISED, self, err);
}

/*
 * The supervisor: a process that outlives whoever asked. Nothing of the caller's stays open but its
 * stdin, which may be the script. `told` gets an error, or its end when there is none.
 */
_Noreturn static void supervise(struct session *session, int told)
{
    const char *script = session->options.script;
    const int keep[] = {
        script && strcmp(script, "-") == 0 ? STDIN_FILENO : -1,
        session->dir.fd,
        told,
        session->detached ? session->target.fd : -1,
        session->detached ? session->result_place.dir : -1,
        session->detached ? session->result_place.fd : -1,
    };
    struct err err = ERR_INIT;
    char *store;
    bool ok;

    setsid();
    /* The file of the script is shared with a supervisor that was killed while it read. */
    if (script && strcmp(script, "-") == 0)
        lseek(STDIN_FILENO, 0, SEEK_SET);
    if (!child_keep_only(keep, ARRAY_SIZE(keep)))
        _exit(STATUS_FAILED);
    /* Closed, with all others; whoever is attached gives its caller the result and the events. */
    session->loop = LOOP_INIT;
    if (!session->detached) {
        session->result_place = RESULT_PLACE_INIT;
        session->target = SINK_INIT;
    }
    ok = take_charge(session, &err);
    if (err.code != ERR_NONE)
        (void)!write(told, &err, sizeof(err));
    close(told);
    if (!ok)
        _exit(STATUS_FAILED);
    session->durable = session->followed = true;
    session->result.phases = (struct phases){.count = 0};
    phases_enter(&session->result.phases, "resolve");
    session_perform(session, session_open(session, &err), &err);
    store = store_path(session->options.store, &err);
    if (session->deadline)
        session_hold(session);
    session_close(session);
    /* Nobody waits for this process any more. */
    if (store)
        durable_sweep(store);
    _exit(0);
}

/* Forks twice: a supervisor is nobody's child. Returns when it has taken charge of the step, or has
 * found that it may not. */
static bool start_supervisor(struct session *session, struct err *err)
{
    int told[2];
    autofd reader = -1;
    struct err its;
    pid_t child;

    if (pipe2(told, O_CLOEXEC) < 0)
        return failed("make a pipe", err);
    reader = told[0];
    child = fork();
    if (child == 0) {
        pid_t supervisor = fork();

        if (supervisor == 0)
            supervise(session, told[1]);
        _exit(supervisor < 0 ? STATUS_FAILED : 0);
    }
    close(told[1]);
    if (child < 0 || child_wait(child) != 0)
        return failed("start a supervisor for the step", err);
    if (read(reader, &its, sizeof(its)) == (ssize_t)sizeof(its)) {
        *err = its;
        return false;
    }
    return true;
}

/* Whoever only attaches to a step need not give its script again; a step that begins needs it. */
static bool check_stdin(const struct session *session, struct err *err)
{
    const char *script = session->options.script;
    struct stat st;

    /* It is a file by now: contents_take. */
    if (!script || strcmp(script, "-") != 0 || fstat(STDIN_FILENO, &st) < 0 || st.st_size > 0)
        return true;
    err_set(err, ERR_SCRIPT_MISSING, "stdin holds no script");
    return err_hint(err, "what should have written it may have failed; call again with the script");
}

/* What the caller has to give is looked at before anything is promised. */
static bool gather(struct session *session, struct err *err)
{
    if (!check_stdin(session, err) || !session_open_target(session, err) ||
        (!session->gathered && !session_begin(session, err)))
        return false;
    session->gathered = true;
    if (session->violations.count)
        *err = session->violations.items[0];
    return session->violations.count == 0;
}

/* Settles the step, or starts its supervisor, as is due; one that is killed at once is followed. */
static bool carry_on(struct session *session, const char *store, enum ledger_record *state,
                     struct err *err)
{
    for (int try = 0; try < SUPERVISOR_TRIES; try++) {
        if (!durable_look_after(store, &session->dir, session->id, state, err))
            return false;
        if (*state != LEDGER_ACCEPTED || step_dir_holder(&session->dir) != 0)
            return true;
        if (!gather(session, err) || !start_supervisor(session, err))
            return false;
    }
    return err_set(err, ERR_ENGINE_FAILED,
                   "the supervisor of step '%s' ends before it takes charge of it", session->id);
}

/* The receiver by HTTP gets the log from its beginning, whenever it is named; there is one. */
static bool name_receiver(const struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    autojson *there = NULL;
    const char *url;
    struct err none;

    if (!options->events || !sink_is_http(options->events))
        return true;
    there = json_read_file(session->dir.fd, STEP_TARGET, TARGET_MAX, ERR_ENGINE_FAILED, &none);
    url = there ? json_text(there, "url") : NULL;
    if (url && strcmp(url, options->events) != 0) {
        err_set(err, ERR_OPTION_INVALID, "the events of step '%s' go to another receiver already",
                session->id);
        return err_hint(err, "they go to '%s'; leave --events out, or name a file", url);
    }
    return url || deliver_write_target(session->dir.fd, options->events, options->events_token_file,
                                       session->policy.exists, err);
}

/* What the step may write to, where it is now; what JSON has no place for by what it lies in. */
static json_t *writable_places(const struct run_options *options)
{
    autostrv places = {0};
    autojson *list = json_array();

    if (!list || !options_add_writable(options, &places))
        return NULL;
    for (size_t i = 0; i < places.count; i++) {
        autofree char *path = path_resolve(places.items[i], NULL);
        json_t *text = path ? json_string(path) : NULL;
        char *slash;

        while (path && !text && path[1] && (slash = strrchr(path, '/'))) {
            slash[slash == path] = '\0';
            text = json_string(path);
        }
        if (json_array_append_new(list, text) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

/* Records the step, unless somebody else has by now. */
static bool accept_step(struct session *session, const char *store, const struct contents *contents,
                        bool *exists, struct err *err)
{
    bool known = contents_are_known(contents);
    json_t *asked = session->options.asked;
    autojson *accepted = NULL;
    struct step_key key;

    if (!gather(session, err) ||
        (known && (!step_key_make(&key, err) || !contents_note(contents, &key, asked, err))))
        return false;
    accepted =
        json_pack("{s:O, s:o}", "step", asked, "writable", writable_places(&session->options));
    if (!accepted)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the step");
    return step_dir_make(store, session->id, accepted, known ? &key : NULL, &session->dir, exists,
                         err);
}

bool durable_ensure(struct session *session, struct err *err)
{
    autofree char *store = store_path(session->options.store, err);
    struct contents contents;
    enum ledger_record state;
    autojson *records = NULL;
    struct step_key key;
    bool exists;

    if (!store || !contents_take(&session->options, environ, &contents, err))
        return false;
    /* Opening a file empties it: a call that finds the step there, unattached, does not. */
    if (!session->detached && !session_open_target(session, err))
        return false;
    if (!step_dir_open(store, session->id, &session->dir, &exists, err))
        return false;
    if (!exists && !accept_step(session, store, &contents, &exists, err))
        return false;
    if (exists && step_key_read(&session->dir, &key) &&
        !contents_note(&contents, &key, session->options.asked, err))
        return false;
    if (!ledger_read(session->dir.fd, &state, &records, err) ||
        !check_same(records, session, err) || !name_receiver(session, err) ||
        !carry_on(session, store, &state, err))
        return false;
    durable_resume_delivery(&session->dir);
    return true;
}

bool durable_signal(const struct step_dir *step, int signal)
{
    autojson *records = NULL;
    enum ledger_record last;
    struct process supervisor;
    struct err ignored;
    autofd process = -1;

    /* Who settles a step holds its lock as well, and is somebody else's process. */
    if (!ledger_read(step->fd, &last, &records, &ignored) ||
        !ledger_unpack_process(ledger_find(records, LEDGER_SUPERVISED), &supervisor) ||
        step_dir_holder(step) != supervisor.pid)
        return false;
    process = (int)syscall(SYS_pidfd_open, supervisor.pid, 0);
    return process >= 0 && process_lives(&supervisor) &&
           syscall(SYS_pidfd_send_signal, process, signal, NULL, 0) == 0;
}

/* Where the step could write, as its first record says; older ones have its working directory. */
static bool add_writable(const json_t *accepted, struct strv *places)
{
    const json_t *list = json_object_get(accepted, "writable"), *place;
    const json_t *step = json_object_get(accepted, "step");
    const char *workdir = json_text(step, "workdir"), *cwd = json_text(step, "cwd");
    bool ok = true;
    size_t i;

    if (!list)
        return strv_take(places, text_printf("%s/%s", cwd ? cwd : "", workdir ? workdir : ""));
    json_array_foreach (list, i, place)
        ok = ok && json_is_string(place) && strv_add(places, json_string_value(place));
    return ok;
}

bool durable_find_outlets(const struct step_dir *step, const char *store_option,
                          struct outlets *outlets, struct err *err)
{
    autopolicy policy = {0};
    autojson *records = NULL;
    enum ledger_record last;

    if (!policy_load(&policy, err) || !session_guard_outlets(&policy, store_option, outlets, err) ||
        !ledger_read(step->fd, &last, &records, err))
        return false;
    return add_writable(ledger_find(records, LEDGER_ACCEPTED), &outlets->shared) ||
           err_set(err, ERR_ENGINE_FAILED, "not enough memory for what is to be written");
}

bool durable_stop_looking(int signal, struct err *err)
{
    if (signal != SIGINT && signal != SIGTERM && signal != SIGHUP && signal != SIGQUIT)
        return true;
    err_set(err, ERR_ENGINE_FAILED, "ended by SIG%s", sigabbrev_np(signal));
    return err_hint(err, "the step goes on; 'stepcell cancel' ends it");
}

struct attached {
    struct session *session;
    char *store;
    int wanted; /* a signal for the step, which nobody could be given yet */
};

static bool on_signal(void *data, int signal, struct err *err)
{
    struct attached *attached = data;

    if (signal == SIGHUP)
        return durable_stop_looking(signal, err);
    if (signal != SIGWINCH && signal != SIGCONT)
        attached->wanted = durable_signal(&attached->session->dir, signal) ? 0 : signal;
    return true;
}

/* A step that nobody has begun is not begun for the sake of its end. */
static bool pass_wanted(struct attached *attached, struct err *err)
{
    struct session *session = attached->session;
    bool ends = attached->wanted == SIGINT || attached->wanted == SIGTERM;

    if (durable_signal(&session->dir, attached->wanted))
        attached->wanted = 0;
    else if (ends && step_dir_holder(&session->dir) == 0)
        return durable_cancel(&session->dir, session->id, attached->wanted, err) ||
               err->code == ERR_STORE_BUSY;
    return true;
}

static bool look_after(void *data, bool *finished, struct err *err)
{
    struct attached *attached = data;
    enum ledger_record state;

    if ((attached->wanted && !pass_wanted(attached, err)) ||
        !carry_on(attached->session, attached->store, &state, err))
        return false;
    *finished = state == LEDGER_FINISHED;
    return true;
}

bool durable_attach(struct session *session, json_t **result, struct err *err)
{
    struct attached attached = {session, store_path(session->options.store, err), 0};
    struct follow_request request = {
        .target = session->target.fd >= 0 ? &session->target : NULL,
        .since = session->options.since,
        .output = true,
        .to_the_end = true,
        .verbosity = session->options.verbosity,
        .look_after = look_after,
        .on_signal = on_signal,
        .data = &attached,
    };
    struct follow_lost lost = {0};
    bool ok;

    session->attached = true;
    ok = attached.store && follow(&session->dir, &request, result, &lost, err);
    free(attached.store);
    if (ok && lost.bytes > 0)
        print_note(session->options.verbosity,
                   "%" PRIu64 " bytes of the output were not taken by who reads it", lost.bytes);
    session_tell_lost_events(session);
    return ok;
}

static bool print_error(const json_t *error, enum verbosity verbosity)
{
    struct err err;

    return !helper_report_take_err(error, &err) ||
           (print_err(&err) && print_err_detail(verbosity, &err));
}

/* The one that decided, and what else was wrong before the start. */
static void print_errors(const json_t *result, enum verbosity verbosity)
{
    const json_t *error = json_object_get(result, "error"), *violation;
    bool taken = print_error(error, verbosity);
    size_t i;

    json_array_foreach (json_object_get(result, "violations"), i, violation)
        taken = taken && (json_equal(violation, error) || print_error(violation, verbosity));
}

void durable_print_outcome(const json_t *result, enum verbosity verbosity)
{
    const char *outcome = json_text(result, "outcome");

    print_errors(result, verbosity);
    if (outcome && strcmp(outcome, "timed-out") == 0)
        print_note(verbosity, "the step was ended by its timeout");
    else if (outcome && strcmp(outcome, "canceled") == 0)
        print_note(verbosity, "the step was canceled");
}
