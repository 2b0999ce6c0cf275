#include "shim/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "shim/abandoned.h"
#include "shim/commands.h"
#include "shim/deliver.h"

#define CELL_END_MS  10000 /* that the cell of a killed supervisor takes to end, at the most */
#define CELL_LOOK_MS 20
#define SWEPT_NAME   ".swept"
#define SWEEP_S      60
#define EXPIRY_S     (7 * 24 * 3600) /* of a step that has finished */

/* What the log of a step holds, counted again. */
struct counted {
    uint64_t next; /* the number of the next event */
    uint64_t bytes[2];
    struct counter counters[2];
    json_t *result; /* of the last event, when there is one */
    bool damaged;   /* a line of it cannot be understood: nothing is known of lines and digests */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to settle the step");
}

static void count_output(struct counted *counted, const json_t *event)
{
    autooutput output = {0};
    struct err ignored;

    if (!event_read_output(event, &output, &ignored)) {
        counted->damaged = true;
        return;
    }
    counter_add(&counted->counters[output.stream], output.bytes, output.len);
    counted->bytes[output.stream] += output.len;
}

static void count_event(struct counted *counted, const char *line, size_t len)
{
    struct err ignored;
    autojson *event =
        json_parse(line, len, "the event log of the step", ERR_ENGINE_FAILED, &ignored);
    const char *type = event ? json_text(event, "type") : NULL;

    if (!type) {
        counted->damaged = true;
        return;
    }
    counted->next = (uint64_t)json_integer_value(json_object_get(event, "seq")) + 1;
    if (strcmp(type, "step.finished") == 0 && !counted->result)
        counted->result = json_incref(json_object_get(event, "result"));
    else if (strcmp(type, "output") == 0)
        count_output(counted, event);
}

static bool count_log(int log, struct counted *counted, struct err *err)
{
    autofile *file = fdopen(fcntl(log, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), "r");
    autofree char *line = NULL;
    size_t size = 0;
    ssize_t n;

    if (!file || !counter_open(&counted->counters[EVENT_STDOUT]) ||
        !counter_open(&counted->counters[EVENT_STDERR]))
        return no_memory(err);
    rewind(file);
    while ((n = getline(&line, &size, file)) > 0)
        count_event(counted, line, (size_t)n);
    return true;
}

static void counted_release(struct counted *counted)
{
    counter_release(&counted->counters[EVENT_STDOUT]);
    counter_release(&counted->counters[EVENT_STDERR]);
    json_decref(counted->result);
}

static struct stream_count stream_count(struct counted *counted, enum event_stream stream)
{
    struct stream_count count = {.bytes = counted->bytes[stream]};

    count.counted = counter_finish(&counted->counters[stream], &count.counts) && !counted->damaged;
    return count;
}

/* False: it is not clean. */
static bool name_left(struct strv *left, pid_t leader)
{
    autofree char *text = text_printf(
        "process %d, the first one of the cell, which does not end when it is killed", (int)leader);

    if (text)
        strv_add(left, text);
    return false;
}

/* The first process of the cell dies with its supervisor, and all others with it. */
static bool await_cell(const json_t *records, struct result *result)
{
    const struct timespec look = {.tv_nsec = CELL_LOOK_MS * NS_PER_MS};
    int64_t deadline = clock_now() + CELL_END_MS * NS_PER_MS;
    struct process leader;

    if (!ledger_unpack_process(ledger_find(records, LEDGER_STARTED), &leader))
        return true;
    while (process_lives(&leader)) {
        if (clock_now() > deadline)
            return name_left(&result->left, leader.pid);
        nanosleep(&look, NULL);
    }
    return true;
}

/* Undoes what is left of the cell, as every call does for cells that are gone. */
static void undo_cell(const char *store, const json_t *records, struct result *result)
{
    const json_t *cell = ledger_find(records, LEDGER_CELL);
    const json_t *accepted = json_object_get(ledger_find(records, LEDGER_ACCEPTED), "step");
    const char *path = json_text(cell, "scratch"), *engine = json_text(cell, "engine");
    struct scratch scratch = SCRATCH_INIT;
    autofd dir = -1;
    struct err err;

    result->cleanup_verified = await_cell(records, result);
    if (engine && strcmp(engine, "native") != 0 &&
        !abandoned_remove(engine, cell, accepted, result->id)) {
        result->cleanup_verified = false;
        strv_add(&result->left, strcmp(engine, "kubernetes") == 0 ? "the Pod of the step"
                                                                  : "the container of the step");
    }
    if (!records) {
        /* Of a step that is not durable nobody has noted where its cell was. */
        result->cleanup_verified = false;
        strv_add(&result->left, "the cell");
    }
    if (!path)
        return;
    dir = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0 && scratch_take(dir, store, &scratch, &err))
        scratch_release(&scratch);
    if (!scratch_is_clear(path, result->id)) {
        result->cleanup_verified = false;
        strv_add(&result->left, path);
    }
}

static const char *engine_of(const json_t *accepted)
{
    const char *engine = json_text(accepted, "engine");

    return engine ? engine : "native";
}

static void fill_result(struct result *result, const json_t *records, struct counted *counted)
{
    const json_t *accepted = json_object_get(ledger_find(records, LEDGER_ACCEPTED), "step");

    result->outcome = OUTCOME_UNKNOWN;
    result->exit_code = STATUS_FAILED;
    result->engine = engine_of(accepted);
    result->labels = json_object_get(accepted, "label");
    result->reference = json_text(accepted, "image");
    result->out = stream_count(counted, EVENT_STDOUT);
    result->err = stream_count(counted, EVENT_STDERR);
    err_set(&result->error, ERR_ENGINE_FAILED,
            "the supervisor of the step was killed, so how the step ended is not known");
    err_hint(&result->error,
             "the cell died with it; look at what the step has done before it is run again, under "
             "another id");
}

/* Everything that the supervisor would have written at the end, as far as it is not there. */
static bool write_end(const struct step_dir *step, const char *id, int log, json_t *result,
                      const struct counted *counted, bool durable, struct err *err)
{
    struct events events = EVENTS_INIT;
    autofree char *text = json_dump_page(result);
    bool ok;

    events.step = id;
    events.next = counted->next;
    events.log = log;
    if (!text)
        return no_memory(err);
    ok = (!durable ||
          file_replace(step->fd, STEP_RESULT, text, strlen(text), 0600, ERR_ENGINE_FAILED, err)) &&
         (counted->result ||
          events_emit(&events, "step.finished", json_pack("{s:O}", "result", result), err)) &&
         (fdatasync(log) == 0 ||
          err_errno(err, ERR_ENGINE_FAILED, "cannot flush the event log of the step"));
    events_release(&events);
    return ok &&
           (!durable ||
            ledger_append(step->fd, LEDGER_FINISHED,
                          json_pack("{s:O, s:O}", "outcome", json_object_get(result, "outcome"),
                                    "exit_code", json_object_get(result, "exit_code")),
                          err));
}

/* Settles a step whose lock this process holds. A result that is on the disk is what happened. */
static bool settle(const char *store, const struct step_dir *step, const char *id,
                   const json_t *records, bool durable, struct err *err)
{
    struct counted counted = {.next = 0};
    struct result result = {.id = id};
    struct err unread;
    autojson *known =
        durable ? json_read_file(step->fd, STEP_RESULT, STEP_RESULT_MAX, ERR_ENGINE_FAILED, &unread)
                : NULL;
    autofd log = step_dir_open_log(step, err);
    bool ok = log >= 0 && count_log(log, &counted, err);

    if (ok && !known && counted.result)
        known = json_incref(counted.result);
    if (ok && !known) {
        undo_cell(store, records, &result);
        fill_result(&result, records, &counted);
        known = result_json(&result);
        ok = known || no_memory(err);
    }
    ok = ok && write_end(step, id, log, known, &counted, durable, err);
    strv_release(&result.left);
    counted_release(&counted);
    return ok;
}

/* Whether a supervisor has written to the log: then there was one, whatever the ledger has lost. */
static bool has_begun(const struct step_dir *step)
{
    struct stat st;

    return fstatat(step->fd, STEP_EVENTS, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0;
}

static bool is_at_rest(const struct step_dir *step, enum ledger_record state)
{
    return state == LEDGER_FINISHED || (state == LEDGER_ACCEPTED && !has_begun(step));
}

/* Somebody else settles it, or removes it because it has ended. */
static bool is_looked_after(enum ledger_record *state, struct err *err)
{
    if (errno == EAGAIN)
        return true;
    if (errno != ENOENT)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot settle a step whose supervisor is gone");
    *state = LEDGER_FINISHED;
    return true;
}

/* The receiver of the events waits for the last one, which was not there for the supervisor's
 * deliverer. */
static void deliver_end(const struct step_dir *step)
{
    struct err ignored;
    pid_t deliverer;

    if (faccessat(step->fd, STEP_TARGET, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        deliver_start(step->path, &deliverer, &ignored);
}

bool durable_look_after(const char *store, struct step_dir *step, const char *id,
                        enum ledger_record *state, struct err *err)
{
    autojson *records = NULL;
    bool ok;

    if (!ledger_read(step->fd, state, &records, err))
        return false;
    if (is_at_rest(step, *state) || step_dir_holder(step) != 0)
        return true;
    if (!step_dir_lock(step))
        return is_looked_after(state, err);
    json_decref(TAKE_PTR(records));
    ok = ledger_read(step->fd, state, &records, err);
    if (ok && !is_at_rest(step, *state)) {
        ok = settle(store, step, id, records, true, err);
        *state = ok ? LEDGER_FINISHED : *state;
        deliver_end(step);
    }
    step_dir_unlock(step);
    return ok;
}

enum ledger_record durable_state(const struct step_dir *step, enum ledger_record state)
{
    bool has_result = faccessat(step->fd, STEP_RESULT, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

    return has_result ? LEDGER_FINISHED : state;
}

bool durable_cancel(struct step_dir *step, const char *id, int signal, struct err *err)
{
    struct counted counted = {.next = 0};
    struct result result = {
        .id = id, .outcome = OUTCOME_CANCELED, .exit_code = 128 + signal, .cleanup_verified = true};
    autojson *records = NULL, *json = NULL;
    enum ledger_record state;
    autofd log = -1;
    bool ok = false;

    if (!step_dir_lock(step))
        return err_set(err, ERR_STORE_BUSY, "somebody has taken charge of step '%s'", id);
    if (!ledger_read(step->fd, &state, &records, err)) {
        step_dir_unlock(step);
        return false;
    }
    if (state != LEDGER_ACCEPTED || has_begun(step)) {
        err_set(err, ERR_STORE_BUSY, "somebody has taken charge of step '%s'", id);
    } else if ((log = step_dir_open_log(step, err)) >= 0 && count_log(log, &counted, err)) {
        const json_t *accepted = json_object_get(ledger_find(records, LEDGER_ACCEPTED), "step");

        result.engine = engine_of(accepted);
        result.labels = json_object_get(accepted, "label");
        result.reference = json_text(accepted, "image");
        result.out = stream_count(&counted, EVENT_STDOUT);
        result.err = stream_count(&counted, EVENT_STDERR);
        json = result_json(&result);
        ok = (json || no_memory(err)) && write_end(step, id, log, json, &counted, true, err);
        deliver_end(step);
    }
    step_dir_unlock(step);
    counted_release(&counted);
    return ok;
}

struct sweep {
    const char *store;
    time_t now;
};

static bool is_expired(const struct sweep *sweep, int dirfd, const char *name)
{
    struct stat st;

    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           sweep->now - st.st_mtime > EXPIRY_S;
}

/* A step without a ledger has a directory for the sake of its events alone. */
static bool settle_events(const struct sweep *sweep, struct step_dir *step, const char *id)
{
    struct err ignored;
    bool ok;

    if (step_dir_holder(step) != 0 || !step_dir_lock(step))
        return true;
    ok = settle(sweep->store, step, id, NULL, false, &ignored);
    step_dir_unlock(step);
    return ok;
}

void durable_resume_delivery(const struct step_dir *step)
{
    bool durable = faccessat(step->fd, STEP_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    struct err ignored;
    pid_t deliverer;

    /* A directory that is there for its events alone is removed by who delivers them. */
    if (faccessat(step->fd, STEP_TARGET, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!durable || !deliver_is_done(step->fd)))
        deliver_start(step->path, &deliverer, &ignored);
}

static void sweep_step(const struct sweep *sweep, struct step_dir *step, const char *id)
{
    bool durable = faccessat(step->fd, STEP_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    enum ledger_record state = LEDGER_NONE;
    struct err ignored;

    if (durable ? !durable_look_after(sweep->store, step, id, &state, &ignored)
                : !settle_events(sweep, step, id))
        return;
    if (is_expired(sweep, step->fd, durable ? STEP_LEDGER : STEP_EVENTS) && step_dir_lock(step)) {
        step_dir_remove(sweep->store, id, step, &ignored);
        return;
    }
    durable_resume_delivery(step);
}

static bool sweep_entry(void *data, int dirfd, const char *name)
{
    const struct sweep *sweep = data;
    autostepdir step = STEP_DIR_INIT;
    struct err ignored;
    bool found;

    if (step_id_is_good(name)) {
        if (step_dir_open(sweep->store, name, &step, &found, &ignored) && found)
            sweep_step(sweep, &step, name);
    } else if (strcmp(name, SWEPT_NAME) != 0 && is_expired(sweep, dirfd, name)) {
        /* What a call that was killed was about to make, or to remove. */
        file_remove_tree(dirfd, name);
    }
    return true;
}

void durable_sweep(const char *store)
{
    struct sweep sweep = {.store = store, .now = time(NULL)};
    autofd steps = steps_open(store), swept = -1;
    struct stat st;
    bool new;

    if (steps < 0)
        return;
    new = faccessat(steps, SWEPT_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    swept = openat(steps, SWEPT_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (swept < 0 || fstat(swept, &st) < 0 || (!new &&sweep.now - st.st_mtime < SWEEP_S) ||
        futimens(swept, NULL) < 0)
        return;
    file_each_entry(steps, ".", sweep_entry, &sweep);
}
