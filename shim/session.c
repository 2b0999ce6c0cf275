#include "shim/session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "shim/commands.h"
#include "shim/deliver.h"
#include "shim/durable.h"

#define DELIVERY_WAIT_MS 5000 /* that the end of a step waits for its last events to arrive */
#define DELIVERY_LOOK_MS 5

bool session_make_id(char id[STEP_ID_MAX + 1], struct err *err)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[SESSION_ID_LEN];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make an id for the step");
    for (size_t i = 0; i < SESSION_ID_LEN; i++)
        id[i] = hex[random[i] & 15];
    id[SESSION_ID_LEN] = '\0';
    return true;
}

/* Events by HTTP go through a log on the disk, also when the step is not durable. */
static bool open_log(struct session *session, struct err *err)
{
    autofree char *path = store_path(session->options.store, err);
    bool exists;

    return path && step_dir_make(path, session->id, NULL, NULL, &session->dir, &exists, err) &&
           (step_dir_lock(&session->dir) ||
            err_errno(err, ERR_ENGINE_FAILED, "cannot lock the event log of the step"));
}

static bool start_delivery(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    pid_t deliverer;

    return deliver_write_target(session->dir.fd, options->events, options->events_token_file,
                                session->policy.exists, err) &&
           deliver_start(session->dir.path, &deliverer, err);
}

/* Nobody is going to deliver it. */
static void remove_log(struct session *session)
{
    struct err ignored;
    autofree char *path = store_path(session->options.store, &ignored);

    session->events.log = close_fd(session->events.log);
    if (path)
        step_dir_remove(path, session->id, &session->dir, &ignored);
    step_dir_close(&session->dir);
}

static bool open_events(struct session *session, struct err *err)
{
    bool http = session->options.events && sink_is_http(session->options.events);
    bool makes_log = http && session->dir.fd < 0;

    /* The directory of a step with an id is its record: one that was not accepted has none. */
    if (makes_log && session->options.id)
        return true;
    if (makes_log && !open_log(session, err))
        return false;
    if (session->dir.fd >= 0) {
        session->events.log = step_dir_open_log(&session->dir, err);
        if (session->events.log < 0)
            return false;
    }
    if (!http || start_delivery(session, err))
        return true;
    if (makes_log)
        remove_log(session);
    return false;
}

bool session_begin(struct session *session, struct err *err)
{
    session->result.engine = session_engine(session)->name;
    session->result.labels = json_object_get(session->options.asked, "label");
    phases_enter(&session->result.phases, "resolve");
    return session_open(session, err) &&
           secrets_gather(&session->secrets, &session->options, environ, &session->loop,
                          &session->violations, err);
}

/* A step that is refused has the time for what else is wrong with it. */
static bool run_step(struct session *session, struct err *err)
{
    if (session_resolve(session, err))
        return session_run_cell(session, err);
    if (session->violations.count && !session->canceled)
        session_look_inside(session);
    return false;
}

/* With who carries the step on, which says nothing of the step, nor of its cell. */
static void lose_contact(struct result *result)
{
    result->outcome = OUTCOME_UNKNOWN;
    result->cleanup_verified = false;
    strv_add(&result->left, "the cell");
}

/* The outcome of a step that was not observed to its end, or was ended by stepcell. */
static void settle(struct session *session, bool ran, const struct err *err)
{
    struct result *result = &session->result;

    if (!ran) {
        result->error = *err;
        result->outcome = result_outcome_of(err->code);
        result->exit_code = STATUS_FAILED;
        if (session->attached)
            lose_contact(result);
        if (result->outcome == OUTCOME_REFUSED && !session->violations.count)
            errs_add(&session->violations, err);
    }
    if (session->timed_out) {
        result->outcome = OUTCOME_TIMED_OUT;
        result->exit_code = 124;
    }
    if (session->canceled) {
        result->outcome = OUTCOME_CANCELED;
        result->exit_code = 128 + session->canceled;
        result->error = ERR_INIT;
        errs_release(&session->violations);
    }
}

bool session_keep_result(struct session *session, struct err *err)
{
    autojson *result = session->durable ? result_json(&session->result) : NULL;
    autofree char *text = result ? json_dump_page(result) : NULL;

    if (!session->durable)
        return true;
    return text ? file_replace(session->dir.fd, STEP_RESULT, text, strlen(text), 0600,
                               ERR_ENGINE_FAILED, err)
                : err_set(err, ERR_ENGINE_FAILED, "not enough memory for the result");
}

/* From here on the step is what the result says. */
static bool record_finished(struct session *session, struct err *err)
{
    if (!session->durable)
        return true;
    if (fdatasync(session->events.log) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot flush the event log of the step");
    return session_record(session, LEDGER_FINISHED,
                          json_pack("{s:s, s:i}", "outcome",
                                    result_outcome_text(session->result.outcome), "exit_code",
                                    session->result.exit_code),
                          err);
}

bool session_record(struct session *session, enum ledger_record record, json_t *members,
                    struct err *err)
{
    if (session->durable)
        return ledger_append(session->dir.fd, record, members, err);
    json_decref(members);
    return true;
}

static bool print_error(const struct session *session, const struct err *err)
{
    return print_err(err) && print_err_detail(session->options.verbosity, err);
}

/* The one that decided, and what else was wrong. */
static void print_errors(const struct session *session)
{
    const struct result *result = &session->result;
    const struct errs *violations = &result->violations;
    bool taken = result->error.code == ERR_NONE || print_error(session, &result->error);

    for (size_t i = 0; taken && i < violations->count; i++)
        taken = strcmp(violations->items[i].message, result->error.message) == 0 ||
                print_error(session, &violations->items[i]);
}

static void print_outcome(struct session *session)
{
    const struct result *result = &session->result;
    enum verbosity verbosity = session->options.verbosity;

    print_errors(session);
    if (result->error.code == ERR_NONE && result->outcome == OUTCOME_TIMED_OUT)
        print_note(verbosity, "the step was ended by its timeout");
    else if (result->error.code == ERR_NONE && result->outcome == OUTCOME_CANCELED)
        print_note(verbosity, "the step was canceled by SIG%s", sigabbrev_np(session->canceled));
    for (size_t i = 0; i < result->phases.count; i++)
        print_detail(verbosity, "%-8s %8.3f ms", result->phases.items[i].name,
                     result->phases.items[i].ms);
}

/* What was not confirmed by then is delivered in the background. */
static void await_delivery(const struct session *session)
{
    int64_t deadline = clock_now() + DELIVERY_WAIT_MS * NS_PER_MS;
    const struct timespec look = {.tv_nsec = DELIVERY_LOOK_MS * NS_PER_MS};
    autofree char *name = session_masked(session, session->options.events);

    if (!session->options.events || !sink_is_http(session->options.events) ||
        session->events.log < 0 || session->durable)
        return;
    while (!deliver_is_done(session->dir.fd)) {
        if (clock_now() > deadline) {
            print_note(session->options.verbosity,
                       "events are still being delivered to '%s', in the background",
                       name ? name : "");
            return;
        }
        nanosleep(&look, NULL);
    }
}

/* A step that was not started, whyever, also by being canceled; one that was has its line. */
static void audit_refusal(struct session *session)
{
    struct err cause = session->result.error, err;

    if ((cause.code != ERR_NONE || session_is_canceled(session, &cause)) &&
        !session_audit(session, &cause, &err))
        session_print_err(session, &err);
}

static void fail_late(struct session *session, const struct err *err)
{
    session_print_err(session, err);
    session->result.exit_code = STATUS_FAILED;
}

static void report(struct session *session)
{
    bool has_place = session->result_place.dir >= 0 || session->result_place.fd >= 0;
    struct result *result = &session->result;
    struct err err;
    bool kept;

    phases_leave(&result->phases);
    result->id = session->id;
    result->digest = session->name.digest;
    result->manifest_digest = session->name.manifest_digest;
    result->verdict = &session->verdict;
    result->signatures = session->signatures;
    result->violations = session->violations;
    session->violations = (struct errs){0};
    result->helper_phases = json_object_get(session->helper_report, "phases");
    session_mask_result(session);
    result->outputs = session->outputs;
    print_outcome(session);
    kept = session_keep_result(session, &err) && session_emit_finished(session, &err) &&
           record_finished(session, &err);
    if (!kept)
        fail_late(session, &err);
    /* Whatever went wrong with the rest: the caller gets its result. */
    if (has_place && !result_write(result, &session->result_place, &err))
        fail_late(session, &err);
    await_delivery(session);
}

void session_perform(struct session *session, bool ready, struct err *err)
{
    bool ran = ready && session_open_mask(session, err) && open_events(session, err) &&
               session_open_relay(session, err) && run_step(session, err);

    /* A step that was refused with its scratch taken: what the result says of it has to be seen. */
    if (session->scratch.path && !session->deadline)
        session_clean_up(session);
    settle(session, ran, err);
    audit_refusal(session);
    report(session);
    /* What other steps have left is looked at when nobody waits for this one any more. */
    if (!session->durable && session->store.path)
        durable_sweep(session->store.path);
}
