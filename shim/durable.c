#include "shim/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/process.h"
#include "base/signals.h"
#include "shim/commands.h"
#include "shim/deliver.h"
#include "shim/state/follow.h"

static bool failed(const char *what, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

/* The same words about two steps: for who compares them, and says what differs. */
static bool check_same(const json_t *records, const struct session *session, struct err *err)
{
    const json_t *accepted = ledger_find(records, LEDGER_ACCEPTED);
    const json_t *then = json_object_get(accepted, "step"), *now = session->options.asked;
    const char *key, *differs = NULL;
    json_t *value;

    json_object_foreach ((json_t *)now, key, value) {
        if (!differs && !json_equal(value, json_object_get(then, key)))
            differs = key;
    }
    json_object_foreach ((json_t *)then, key, value) {
        if (!differs && !json_object_get(now, key))
            differs = key;
    }
    if (!differs)
        return true;
    err_set(err, ERR_STEP_CONFLICT, "another step has the id '%s': its '%s' is not the same",
            session->options.id, differs);
    return err_hint(err,
                    "give this step an id of its own; 'stepcell status --id %s' tells about "
                    "the other one",
                    session->options.id);
}

/* From here on this process is the one that carries the step on; false when another one does. */
static bool take_charge(struct session *session, struct err *err)
{
    struct process self;
    enum ledger_record last;
    autojson *records = NULL;

    if (!step_dir_lock(&session->dir))
        return errno != EAGAIN && errno != EACCES ? failed("lock the step", err) : false;
    if (!ledger_read(session->dir.fd, &last, &records, err) || last != LEDGER_ACCEPTED)
        return false;
    if (!process_look(getpid(), &self))
        return failed("look at the supervisor's own process", err);
    return ledger_append(session->dir.fd, LEDGER_SUPERVISED,
                         json_pack("{s:i, s:I, s:s}", "pid", (int)self.pid, "start",
                                   (json_int_t)self.start, "boot", self.boot),
                         err);
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
        session->target.fd,
        session->detached ? session->result_place.dir : -1,
        session->detached ? session->result_place.fd : -1,
    };
    struct err err = ERR_INIT;
    bool ok;

    setsid();
    if (!child_keep_only(keep, ARRAY_SIZE(keep)))
        _exit(STATUS_FAILED);
    /* Closed, with all the others. Whoever is attached writes the result where its caller wants. */
    session->loop = LOOP_INIT;
    if (!session->detached)
        session->result_place = RESULT_PLACE_INIT;
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
    session_close(session);
    _exit(0);
}

/* Forks twice: a supervisor is nobody's child. Returns when it has taken charge of the step. */
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

static bool ensure_supervisor(struct session *session, struct err *err)
{
    if (!session->gathered && !session_begin(session, err))
        return false;
    session->gathered = true;
    return start_supervisor(session, err);
}

bool durable_ensure(struct session *session, struct err *err)
{
    autofree char *store = store_path(session->options.store, err);
    enum ledger_record last = LEDGER_ACCEPTED;
    autojson *records = NULL;
    bool exists;

    if (!store)
        return false;
    durable_sweep(store);
    if (!step_dir_open(store, session->id, &session->dir, &exists, err))
        return false;
    if (!exists) {
        /* What the caller has to give is looked at before anything is promised. */
        if (!session_begin(session, err) ||
            !step_dir_make(store, session->id, session->options.asked, &session->dir, &exists, err))
            return false;
        session->gathered = true;
    }
    if (!ledger_read(session->dir.fd, &last, &records, err) || !check_same(records, session, err))
        return false;
    return last != LEDGER_ACCEPTED || step_dir_holder(&session->dir) != 0 ||
           ensure_supervisor(session, err);
}

struct attached {
    struct session *session;
    char *store;
    int wanted; /* a signal for the step, which nobody could be given yet */
};

static bool pass_signal(struct attached *attached, struct err *err)
{
    pid_t holder = step_dir_holder(&attached->session->dir);

    if (holder <= 0)
        return true;
    if (kill(holder, attached->wanted) < 0 && errno != ESRCH)
        return failed("signal the supervisor of the step", err);
    attached->wanted = 0;
    return true;
}

static bool on_signal(void *data, int signal, struct err *err)
{
    struct attached *attached = data;

    if (signal == SIGWINCH || signal == SIGCONT)
        return true;
    attached->wanted = signal;
    return pass_signal(attached, err);
}

static bool look_after(void *data, struct err *err)
{
    struct attached *attached = data;
    struct session *session = attached->session;
    enum ledger_record state;

    if (attached->wanted && !pass_signal(attached, err))
        return false;
    if (!durable_look_after(attached->store, &session->dir, session->id, &state, err))
        return false;
    return state != LEDGER_ACCEPTED || step_dir_holder(&session->dir) != 0 ||
           ensure_supervisor(session, err);
}

bool durable_attach(struct session *session, json_t **result, struct err *err)
{
    struct attached attached = {session, store_path(session->options.store, err), 0};
    const char *target = session->options.events;
    struct follow_request request = {
        .since = session->options.since,
        .output = true,
        .to_the_end = true,
        .verbosity = session->options.verbosity,
        .look_after = look_after,
        .on_signal = on_signal,
        .data = &attached,
    };
    bool ok = attached.store != NULL, timed_out;

    if (ok && target && !sink_is_http(target)) {
        ok = sink_open(target, &session->target, err);
        request.target = &session->target;
    }
    ok = ok && follow(&session->dir, &request, result, &timed_out, err);
    free(attached.store);
    return ok;
}

static void print_error(const json_t *error)
{
    const char *message = json_text(error, "message"), *hint = json_text(error, "hint");
    struct err err;

    if (!message)
        return;
    err_set(&err, ERR_ENGINE_FAILED, "%s", message);
    if (hint)
        err_hint(&err, "%s", hint);
    print_err(&err);
}

void durable_print_outcome(const json_t *result, enum verbosity verbosity)
{
    const char *outcome = json_text(result, "outcome");

    print_error(json_object_get(result, "error"));
    if (outcome && strcmp(outcome, "timed-out") == 0)
        print_note(verbosity, "the step was ended by its timeout");
    else if (outcome && strcmp(outcome, "canceled") == 0)
        print_note(verbosity, "the step was canceled");
}
