#include "shim/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signals.h"
#include "shim/environment.h"

#define ONE_WISH_MS 300

static void check_done(struct session *session)
{
    if (session->ended && session->out.ended && session->err.ended &&
        sink_is_empty(&session->target))
        loop_stop(&session->loop);
}

/* The receiver of the events has taken what there was. */
static bool target_drained(void *data, struct err *err)
{
    struct session *session = data;

    if (!pump_resume(&session->out, err) || !pump_resume(&session->err, err))
        return false;
    check_done(session);
    return true;
}

static void output_done(void *data)
{
    check_done(data);
}

static void input_done(void *data)
{
    struct session *session = data;

    session->ends.in = close_fd(session->ends.in);
}

static const char *exit_kind_text(enum exit_kind kind)
{
    static const char *const texts[] = {
        [EXIT_UNKNOWN] = "unknown",
        [EXIT_STATUS] = "status",
        [EXIT_SIGNAL] = "signal",
        [EXIT_FAILED] = "failed",
    };

    return texts[kind];
}

/* Nothing more comes of the cell but what is in its streams. */
static bool cell_ended(struct session *session, struct err *err)
{
    const struct exit_record *record = session->engine->exit_record(session->cell);

    session->ended = true;
    sampler_stop(&session->sampler);
    terminal_restore(&session->terminal);
    loop_remove(&session->loop, &session->cell_io);
    loop_clear_timer(&session->loop, &session->timeout);
    loop_clear_timer(&session->loop, &session->grace);
    phases_enter(&session->result.phases, "drain");
    if (!session_record(
            session, LEDGER_ENDED,
            json_pack("{s:s, s:i}", "kind", exit_kind_text(record->kind), "value", record->value),
            err))
        return false;
    if (!pump_finish(&session->out, err) || !pump_finish(&session->err, err))
        return false;
    /* Who wanted the step to end does not wait for ever for a reader that reads nothing. */
    if (session->canceled || session->timed_out)
        loop_set_timer(&session->loop, &session->grace, session->options.grace_ms);
    check_done(session);
    return true;
}

/* Nobody waits any longer for those who should take the output. */
static bool give_up_delivery(struct session *session, struct err *err)
{
    sink_abandon(&session->target);
    return pump_abandon(&session->out, err) && pump_abandon(&session->err, err) &&
           target_drained(session, err);
}

static bool kill_cell(struct session *session, struct err *err)
{
    session->killed = true;
    return session->engine->signal(session->cell, SIGKILL, err);
}

static bool grace_over(void *data, struct err *err)
{
    struct session *session = data;

    return session->ended ? give_up_delivery(session, err) : kill_cell(session, err);
}

/* Asks the command to end, and sees to it that it does. */
static bool end_cell(struct session *session, int signal, struct err *err)
{
    if (!session->running && !session->engine->begins_unseen)
        return kill_cell(session, err);
    loop_set_timer(&session->loop, &session->grace, session->options.grace_ms);
    return session->engine->signal(session->cell, signal, err);
}

static bool time_is_up(void *data, struct err *err)
{
    struct session *session = data;

    if (session->ended || session->canceled)
        return true;
    session->timed_out = true;
    return end_cell(session, SIGTERM, err);
}

/* It may wait for a server that does not answer: who asks twice does not wait for it. */
static bool end_helper(struct session *session, bool again, struct err *err)
{
    int signal = again ? SIGKILL : SIGTERM;

    if (session->helper_ends && (signal = *session->helper_ends) != SIGKILL)
        session->helper_ends++;
    if (signal == SIGKILL)
        loop_stop(&session->loop);
    return kill(session->helper, signal) == 0 || errno == ESRCH ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot end a helper of stepcell");
}

static bool cancel(struct session *session, int signal, struct err *err)
{
    /* Who asks twice, or while the grace of the timeout runs, does not want to wait. */
    bool again = session->asked_at || session->timed_out;
    int64_t before = session->asked_at, now = clock_now();

    /* timeout(1) signals the process and then its group, which is one wish. */
    if (before && now - before < ONE_WISH_MS * NS_PER_MS)
        return true;
    session->asked_at = now;
    if (!again && !session->exited && !session->ended)
        session->canceled = signal;
    if (session->helper > 0)
        return end_helper(session, again, err);
    /* What has not been cleaned up yet is for the next call. */
    if (!session->cell || session->cleaning) {
        loop_stop(&session->loop);
        return true;
    }
    /* Only the delivery of the output is left, and the caller does not want to wait for it. */
    if (session->ended)
        return give_up_delivery(session, err);
    if (again && (session->exited || session->killed)) {
        session->given_up = true;
        return cell_ended(session, err);
    }
    if (session->exited)
        return true;
    return again ? kill_cell(session, err) : end_cell(session, signal, err);
}

static bool on_signal(void *data, int signal, struct err *err)
{
    struct session *session = data;

    if (session->holding) {
        if (signal == SIGINT || signal == SIGTERM)
            loop_stop(&session->loop);
        return true;
    }
    if (signal == SIGINT || signal == SIGTERM)
        return cancel(session, signal, err);
    if (session->options.terminal && (signal == SIGWINCH || signal == SIGCONT)) {
        if (session->terminal.raw)
            terminal_make_raw(&session->terminal, STDIN_FILENO);
        if (session->running && !session->ended)
            terminal_pass_size(session->ends.out);
        return true;
    }
    if (session->cell && (session->running || session->engine->begins_unseen) && !session->ended)
        return session->engine->signal(session->cell, signal, err);
    return true;
}

bool session_open(struct session *session, struct err *err)
{
    return loop_open(&session->loop, err) && signals_watch(&session->loop, on_signal, session, err);
}

bool session_is_canceled(const struct session *session, struct err *err)
{
    if (!session->canceled)
        return false;
    err_set(err, ERR_ENGINE_FAILED, "canceled by signal %d", session->canceled);
    return true;
}

static bool start_pump(struct session *session, struct pump *pump, int from, int to,
                       enum event_stream stream, struct err *err)
{
    const struct pump_ends ends = {
        .from = from,
        .to = session->followed ? -1 : to,
        .filter = &session->filters[stream].pump,
        .done = output_done,
        .data = session,
    };

    return pump_start(pump, &session->loop, &ends, err);
}

/* With the process that dies with this one, and whose end a recovery waits for. */
static bool record_started(struct session *session, struct err *err)
{
    json_t *leader = NULL;

    if (session->durable && session->ends.leader > 0 &&
        !(leader = ledger_pack_process(session->ends.leader)))
        return err_set(err, ERR_ENGINE_FAILED, "cannot look at the first process of the cell");
    return session_record(session, LEDGER_STARTED, leader, err);
}

/* Those that there are: a terminal has one, and none before the command runs. */
static bool start_pumps(struct session *session, struct err *err)
{
    const struct pump_ends in = {.from = STDIN_FILENO,
                                 .to = session->ends.in,
                                 .to_is_input = true,
                                 .done = input_done,
                                 .data = session};

    session->out.ended = session->ends.out < 0;
    session->err.ended = session->ends.err < 0;
    return (session->out.ended || start_pump(session, &session->out, session->ends.out,
                                             STDOUT_FILENO, EVENT_STDOUT, err)) &&
           (session->err.ended || start_pump(session, &session->err, session->ends.err,
                                             STDERR_FILENO, EVENT_STDERR, err)) &&
           (in.to < 0 || pump_start(&session->in, &session->loop, &in, err));
}

/* The relay first: the command may write as soon as it runs. */
static bool start_command(struct session *session, struct err *err)
{
    phases_enter(&session->result.phases, "start");
    if (!session_open_filters(session, err) || !start_pumps(session, err))
        return false;
    return sink_attach(&session->target, &session->loop, target_drained, session, err) &&
           record_started(session, err) && session->engine->start(session->cell, err);
}

static bool join_terminals(struct session *session, struct err *err)
{
    session->ends = session->engine->ends(session->cell);
    if (session->options.interactive)
        terminal_make_raw(&session->terminal, STDIN_FILENO);
    terminal_pass_size(session->ends.out);
    return start_pumps(session, err);
}

static bool command_runs(struct session *session, struct err *err)
{
    session->running = true;
    if (session->options.terminal && !join_terminals(session, err))
        return false;
    session_open_door(session);
    if (session->options.timeout_ms)
        loop_set_timer(&session->loop, &session->timeout, session->options.timeout_ms);
    phases_enter(&session->result.phases, "run");
    if (session->durable)
        sampler_start(&session->sampler, &session->loop, session->engine, session->cell,
                      session->dir.fd);
    return session_emit_started(session, err);
}

static bool cell_ready(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    enum cell_event event;

    (void)events;
    if (!session->engine->handle(session->cell, &event, err))
        return false;
    switch (event) {
    case CELL_READY:
        return command_runs(session, err);
    case CELL_EXITED:
        session->exited = true;
        loop_clear_timer(&session->loop, &session->timeout);
        loop_clear_timer(&session->loop, &session->grace);
        return true;
    case CELL_ENDED:
        return cell_ended(session, err);
    case CELL_NOTE:
        session_note(session, "%s", err->message);
        return true;
    case CELL_NOTHING:
    case CELL_CLEAN:
        break;
    }
    return true;
}

static bool cell_cleaned(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    enum cell_event event;

    (void)events;
    if (!session->engine->handle(session->cell, &event, err))
        return false;
    if (event == CELL_NOTE)
        session_note(session, "%s", err->message);
    if (event == CELL_CLEAN)
        loop_stop(&session->loop);
    return true;
}

/* Until it is done, or nobody wants to wait for it. */
static bool clean_cell(struct session *session, struct err *err)
{
    enum cell_event event;
    bool ok;

    session->cleaning = true;
    if (!session->engine->clean(session->cell, &event, err) || event == CELL_CLEAN)
        return event == CELL_CLEAN;
    session->cell_io = (struct loop_io){session->ends.events, cell_cleaned, session};
    ok = loop_add(&session->loop, &session->cell_io, EPOLLIN, err) && loop_run(&session->loop, err);
    loop_remove(&session->loop, &session->cell_io);
    return ok;
}

static void take_failure(struct session *session, const struct err *err)
{
    if (session->result.error.code == ERR_NONE)
        session->result.error = *err;
    else
        session_print_err(session, err);
}

static void close_cell(struct session *session)
{
    struct err err = ERR_INIT;

    if (session->cell) {
        loop_remove(&session->loop, &session->cell_io);
        if (!session->given_up && !clean_cell(session, &err))
            take_failure(session, &err);
        if (!session->engine->close(session->cell, &session->result.left, &err))
            take_failure(session, &err);
    }
    session->cell = NULL;
    session->cleaning = false;
}

/* A step whose cell is refused has the time for what else is wrong with it. */
static void look_further(struct session *session, const struct err *refusal)
{
    if (session->canceled || !session_passes(session, false, refusal))
        return;
    close_cell(session);
    session_look_inside(session);
}

static bool drive(struct session *session, struct err *err)
{
    struct root_filesystem root = {(const char *const *)session->layers.items,
                                   session->layers.count, session->image_id, &session->volumes};
    bool created;

    phases_enter(&session->result.phases, "create");
    if (!session_record(session, LEDGER_CELL,
                        json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "engine", session->engine->name,
                                  "scratch", session->scratch.path, "kubeconfig",
                                  session->cluster.kubeconfig, "context", session->cluster.context,
                                  "namespace", session->cluster.space),
                        err))
        return false;
    if (!session_ship(session, err))
        return false;
    created = session->engine->create(&session->spec, &root, &session->cell, err);
    /* What could not be created is cleaned up all the same. */
    if (session->cell)
        session->ends = session->engine->ends(session->cell);
    if (!created) {
        look_further(session, err);
        return false;
    }
    session->cell_io = (struct loop_io){session->ends.events, cell_ready, session};
    session->timeout = (struct loop_timer){.fire = time_is_up, .data = session};
    session->grace = (struct loop_timer){.fire = grace_over, .data = session};
    return start_command(session, err) &&
           loop_add(&session->loop, &session->cell_io, EPOLLIN, err) &&
           loop_run(&session->loop, err);
}

static void take_outcome(struct session *session, const struct exit_record *record)
{
    struct result *result = &session->result;

    result->error = record->error;
    result->oom_killed = record->oom_killed;
    switch (record->kind) {
    case EXIT_STATUS:
        result->outcome = OUTCOME_EXITED;
        result->exit_code = record->value;
        break;
    case EXIT_SIGNAL:
        result->outcome = OUTCOME_SIGNALED;
        result->signal = record->value;
        result->exit_code = 128 + record->value;
        break;
    case EXIT_FAILED:
        result->outcome = result_outcome_of(record->error.code);
        result->exit_code = 125;
        session_take_refusals(session, record);
        break;
    case EXIT_UNKNOWN:
        result->outcome = OUTCOME_UNKNOWN;
        result->exit_code = 125;
        if (session->timed_out || session->canceled) {
            result->signal = SIGKILL;
        } else if (record->error.code != ERR_NONE) {
            /* The engine knows why. */
        } else if (record->oom_killed) {
            err_set(&result->error, ERR_ENGINE_FAILED,
                    "the cell was killed for lack of memory while it was set up or ended");
            err_hint(&result->error, "give it more with --memory");
        } else {
            err_set(&result->error, ERR_ENGINE_FAILED,
                    "the cell was killed before its command reported a status");
        }
        break;
    }
    if (record->oom_killed)
        session_note(session, "the memory limit was hit: the kernel killed a process of the step");
    for (size_t i = 0; i < record->left_running.count; i++)
        session_note(session, "killed '%s', which the command had left running",
                     record->left_running.items[i]);
}

/*
 * The engine looks for processes, mounts, cgroups and files; what is left keeps its scratch, which
 * the next call removes.
 */
void session_clean_up(struct session *session)
{
    struct result *result = &session->result;
    struct strv *left = &result->left;
    autofree char *path = session->scratch.path ? strdup(session->scratch.path) : NULL;

    loop_clear_timer(&session->loop, &session->door_time);
    close_cell(session);
    session_unship(session);
    if (left->count > 0)
        scratch_leave(&session->scratch);
    else if (!scratch_release(&session->scratch) && path)
        strv_add(left, path);
    for (size_t i = 0; i < left->count; i++)
        session_note(session, "left behind: %s", left->items[i]);
    result->cleanup_verified = path && left->count == 0;
    /* Who waits for the end of the cell learns of it now. */
    door_close(&session->door);
}

bool session_run_cell(struct session *session, struct err *err)
{
    bool ok;

    session->engine = session_engine(session);
    /* Whoever wants a cell comes by here. */
    ok = session_admit(session, err) && drive(session, err);
    if (ok) {
        take_outcome(session, session->engine->exit_record(session->cell));
        session_bring_back(session);
        session_keep_output(session);
    }
    ok = ok && session_take_output_file(session, err);
    terminal_restore(&session->terminal);
    loop_clear_timer(&session->loop, &session->grace);
    sampler_stop(&session->sampler);
    pump_close(&session->out);
    pump_close(&session->err);
    pump_close(&session->in);
    session_close_filters(session);
    phases_enter(&session->result.phases, "cleanup");
    if (ok && session_keeps(session))
        session_keep(session);
    else if (session->scratch.path)
        session_clean_up(session);
    phases_leave(&session->result.phases);
    return ok;
}

void session_close(struct session *session)
{
    size_t made = session->options.mount_count + 1;

    if (session->scratch.path)
        session_clean_up(session);
    close_fd(session->ends.in);
    close_fd(session->output_fd);
    errs_release(&session->violations);
    errs_release(&session->result.violations);
    mount_plan_release(&session->plan);
    for (size_t i = 0; session->sources && i < session->spec_room; i++)
        mount_source_release(&session->sources[i]);
    /* The others' strings belong to the options. */
    for (size_t i = made; session->specs && i < session->spec_room; i++)
        mount_spec_release(&session->specs[i]);
    buf_release(&session->mountinfo);
    free(session->specs);
    free(session->sources);
    free(session->cwd);
    free(session->workdir);
    free(session->script_path);
    interpreter_release(&session->interpreter);
    free((void *)session->seccomp.code);
    free(session->seccomp_place);
    strv_release(&session->spec.argv);
    environment_wipe(&session->spec.env);
    buf_release(&session->env_origins);
    strv_release(&session->env_places);
    secrets_release(&session->secrets);
    strv_release(&session->layers);
    free(session->image_id);
    strv_release(&session->volumes);
    free(session->lock_file);
    free(session->lock_entry);
    free(session->locked_tag);
    free(session->locked_manifest);
    free(session->bound);
    free(session->shipped);
    free(session->returned);
    free(session->returned_inode);
    free(session->returned_owner);
    free(session->shipped_list);
    free(session->changes);
    strv_release(&session->hidden);
    policy_verdict_release(&session->verdict);
    policy_release(&session->policy);
    json_decref(session->signatures);
    strv_release(&session->result.left);
    cell_user_release(&session->user);
    image_release(&session->image);
    image_name_release(&session->name);
    reference_release(&session->reference);
    store_close(&session->store);
    json_decref(session->helper_report);
    cluster_config_release(&session->cluster_config);
    strv_release(&session->cluster_volumes);
    strv_release(&session->cluster_registries);
    buf_release(&session->report);
    loop_close(&session->loop);
    close_fd(session->script_fd);
    close_fd(session->events.log);
    session_close_relay(session);
    step_dir_close(&session->dir);
    result_close(&session->result_place);
    options_release(&session->options);
}
