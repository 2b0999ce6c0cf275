/* `stepcell status, logs, wait, cancel, forget`: durable steps, by their id. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "shim/cells.h"
#include "shim/commands.h"
#include "shim/deliver.h"
#include "shim/durable.h"
#include "shim/session.h"
#include "shim/state/follow.h"

#define CANCEL_TRIES   50 /* to find the supervisor of a step that is about to be taken charge of */
#define DELIVERY_TRIES 250 /* of CANCEL_MS, that the last events may take */
#define FORGET_TRIES   50  /* of CANCEL_MS, that a supervisor takes to go */
#define CANCEL_MS      20

/* What all five begin with. */
struct request {
    const char *id, *store_option, *since, *timeout, *result;
    bool json, follow;
    bool damaged_too; /* a step of which nobody can tell what it did */
    bool cells_too;   /* one that is not durable, while it has a cell */
    struct found_cell cell;
    char *store;
    struct step_dir step;
    enum ledger_record state;
};

#define REQUEST_INIT ((struct request){.step = STEP_DIR_INIT, .cell = FOUND_CELL_INIT})

static void request_release(struct request *request)
{
    step_dir_close(&request->step);
    found_cell_release(&request->cell);
    free(request->store);
}

#define autorequest CLEANUP(request_release) struct request

/* Its door is -1 when there is none. */
static bool find_cell(struct request *request, struct err *err)
{
    return cells_find(request->store, request->id, &request->cell, err);
}

/* Finds the step, and settles it when its supervisor is gone. */
static bool find_step(struct request *request, struct err *err)
{
    bool opened, found;

    request->store = session_believed_store(request->store_option, err);
    if (!request->store)
        return false;
    if (!request->id) {
        err_set(err, ERR_OPTION_INVALID, "no step was named");
        return err_hint(err, "give --id ID");
    }
    if (!step_id_is_good(request->id))
        return cells_unknown_step(request->store, request->id, err);
    opened = step_dir_open(request->store, request->id, &request->step, &found, err);
    /* Root may end cells of others, whose records it does not believe. */
    if (!opened && !request->cells_too)
        return false;
    if (!opened || !found ||
        faccessat(request->step.fd, STEP_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        if (request->cells_too && !find_cell(request, err))
            return false;
        return request->cell.door >= 0 ||
               (opened && cells_unknown_step(request->store, request->id, err));
    }
    durable_resume_delivery(&request->step);
    return durable_look_after(request->store, &request->step, request->id, &request->state, err) ||
           request->damaged_too;
}

/* Reads the options; the id may stand alone. False with *status when that was all: help, or an
 * error. */
static bool begin(int argc, char **argv, struct request *request, const struct command *command,
                  int *status)
{
    struct err err;
    size_t words;

    if (!command_begin(argc, argv, command, &words, status))
        return false;
    if (words == 1 && !request->id)
        request->id = argv[0];
    else if (words > 0)
        err_set(&err, ERR_OPTION_INVALID, "'%s' is one word too many", argv[words - 1]);
    if ((words == 0 || request->id == argv[0]) && find_step(request, &err))
        return true;
    *status = command_failed(&err);
    return false;
}

#define ID_OPTIONS                                                                                 \
    OPTION("--id", "ID", &request.id, "the step; its id may also stand alone"),                    \
        OPTION("--store", "DIR", &request.store_option, "the store that it was started with")

static const char *state_text(const struct request *request)
{
    if (request->state == LEDGER_FINISHED)
        return "finished";
    return request->state == LEDGER_ACCEPTED ? "accepted" : "running";
}

static json_t *read_result(const struct request *request, struct err *err)
{
    return json_read_file(request->step.fd, STEP_RESULT, STEP_RESULT_MAX, ERR_ENGINE_FAILED, err);
}

/* Until when its cell is kept, if that is still there, or does not answer; else NULL. */
static const char *kept_until(struct request *request, const json_t *result)
{
    const char *until = json_text(result, "kept_until");
    struct err ignored;

    return until && find_cell(request, &ignored) && request->cell.door < 0 ? NULL : until;
}

static json_t *status_json(struct request *request, struct err *err)
{
    autojson *records = NULL;
    enum ledger_record last;
    pid_t holder = request->state == LEDGER_FINISHED ? 0 : step_dir_holder(&request->step);
    json_t *result = json_null();

    if (!ledger_read(request->step.fd, &last, &records, err))
        return NULL;
    if (request->state == LEDGER_FINISHED) {
        result = read_result(request, err);
        if (!result)
            return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:O, s:s?, s:o}", "schema", "stepcell.status/1",
                     "id", request->id, "state", state_text(request), "record",
                     ledger_record_text(last), "supervisor",
                     holder > 0 ? json_integer(holder) : json_null(), "ledger", records,
                     "kept_until", kept_until(request, result), "result", result);
}

int cmd_status(int argc, char **argv)
{
    autorequest request = REQUEST_INIT;
    const struct option_spec options[] = {
        ID_OPTIONS,
        FLAG("--json", &request.json, "as JSON, with the result and the ledger"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell status [OPTIONS] --id ID",
        .about = "Tells what is known of a durable step.",
        .words_max = 1,
        .options = options,
    };
    const char *outcome, *until;
    json_t *status;
    struct err err;
    int ended;

    if (!begin(argc, argv, &request, &command, &ended))
        return ended;
    request.state = durable_state(&request.step, request.state);
    status = status_json(&request, &err);
    if (!status)
        return command_failed(&err);
    if (request.json)
        return command_print_json(status);
    outcome = json_text(json_object_get(status, "result"), "outcome");
    until = json_text(status, "kept_until");
    if (outcome)
        print_fact(
            "%s %s %" JSON_INTEGER_FORMAT "%s%s", state_text(&request), outcome,
            json_integer_value(json_object_get(json_object_get(status, "result"), "exit_code")),
            until ? ", its cell is kept until " : "", until ? until : "");
    else
        print_out("%s\n", state_text(&request));
    json_decref(status);
    return 0;
}

static bool look_after(void *data, bool *finished, struct err *err)
{
    struct request *request = data;

    if (!durable_look_after(request->store, &request->step, request->id, &request->state, err))
        return false;
    *finished = request->state == LEDGER_FINISHED;
    return true;
}

static bool stop_looking(void *data, int signal, struct err *err)
{
    (void)data;
    return durable_stop_looking(signal, err);
}

int cmd_logs(int argc, char **argv)
{
    autorequest request = REQUEST_INIT;
    const struct option_spec options[] = {
        ID_OPTIONS,
        OPTION("--since", "SEQ", &request.since, "begin with the event of this number"),
        FLAG("--json", &request.json, "the events instead, one JSON object on each line"),
        {.name = "--follow",
         .shorthand = "-f",
         .flag = &request.follow,
         .help = "wait for what is still to come, until the step has ended"},
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell logs [OPTIONS] --id ID",
        .about =
            "Replays the output of a durable step: its stdout to stdout, its stderr to stderr.",
        .words_max = 1,
        .options = options,
    };
    struct follow_request what = {.look_after = look_after,
                                  .on_signal = stop_looking,
                                  .verbosity = PRINT_NORMAL,
                                  .data = &request};
    autojson *result = NULL;
    struct err err;
    struct follow_lost lost;
    int status;

    if (!begin(argc, argv, &request, &command, &status))
        return status;
    if (request.since && !num_parse(request.since, INT64_MAX, &what.since)) {
        err_set(&err, ERR_OPTION_INVALID, "'%s' is no number of an event", request.since);
        return command_failed(&err);
    }
    what.output = !request.json;
    what.lines = request.json;
    what.to_the_end = request.follow;
    if (!follow(&request.step, &what, &result, &lost, &err))
        return command_failed(&err);
    /* A reader that went away has what it wanted; one that is waited for no longer has not, nor a
     * file that is full. */
    if (lost.bytes == 0 || lost.unread)
        return 0;
    err_set(&err, ERR_ENGINE_FAILED, "%" PRIu64 " bytes of the logs could not be written",
            lost.bytes);
    err_hint(&err, "make room where they are written to, and let who reads them go on");
    return command_failed(&err);
}

static int give_result(const struct request *request, const json_t *result)
{
    struct result_place place = RESULT_PLACE_INIT;
    autooutlets outlets = {0};
    struct err err;
    bool ok = !request->result ||
              (durable_find_outlets(&request->step, request->store_option, &outlets, &err) &&
               result_open(request->result, &outlets, &place, &err) &&
               result_write_json(result, &place, &err));

    result_close(&place);
    return ok ? result_status(result) : command_failed(&err);
}

int cmd_wait(int argc, char **argv)
{
    autorequest request = REQUEST_INIT;
    const struct option_spec options[] = {
        ID_OPTIONS,
        OPTION("--timeout", "DUR", &request.timeout, "wait no longer: 124, and the step goes on"),
        OPTION("--result", "FILE", &request.result, "write the result of the step there"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell wait [OPTIONS] --id ID",
        .about = "Waits until a durable step has ended, and ends with its exit status.",
        .words_max = 1,
        .options = options,
    };
    struct follow_request what = {
        .to_the_end = true, .look_after = look_after, .on_signal = stop_looking, .data = &request};
    autojson *result = NULL;
    struct err err;
    struct follow_lost lost;
    int status;

    if (!begin(argc, argv, &request, &command, &status))
        return status;
    if (request.timeout && !num_parse_duration(request.timeout, &what.timeout_ms)) {
        err_set(&err, ERR_OPTION_INVALID, "'%s' is no value for --timeout", request.timeout);
        return command_failed(&err);
    }
    if (!follow(&request.step, &what, &result, &lost, &err))
        return command_failed(&err);
    if (!result) {
        print_note(PRINT_NORMAL, "the step has not ended in time; it goes on");
        return 124;
    }
    return give_result(&request, result);
}

int cmd_cancel(int argc, char **argv)
{
    autorequest request = REQUEST_INIT;
    const struct option_spec options[] = {
        ID_OPTIONS,
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell cancel [OPTIONS] --id ID",
        .about =
            "Asks a step to end: TERM, and KILL after its grace, or at once when asked again. Its\n"
            "outcome is 'canceled', its exit status 143. A cell that is kept ends, too, and is\n"
            "waited for. A step that is not durable has the id that 'stepcell ps' tells.",
        .words_max = 1,
        .options = options,
    };
    const struct timespec moment = {.tv_nsec = CANCEL_MS * 1000000L};
    bool finished = false;
    struct err err;
    int status;

    request.cells_too = true;
    if (!begin(argc, argv, &request, &command, &status))
        return status;
    if (request.cell.door >= 0)
        return cells_end(&request.cell);
    for (int i = 0; i < CANCEL_TRIES; i++) {
        if (finished || request.state == LEDGER_FINISHED) {
            if (!find_cell(&request, &err))
                return command_failed(&err);
            if (request.cell.door >= 0)
                return cells_end(&request.cell);
            print_note(PRINT_NORMAL, "the step has ended already");
            return 0;
        }
        if (durable_signal(&request.step, SIGTERM) ||
            (request.state == LEDGER_ACCEPTED &&
             durable_cancel(&request.step, request.id, SIGTERM, &err)))
            return 0;
        nanosleep(&moment, NULL);
        if (!look_after(&request, &finished, &err))
            return command_failed(&err);
    }
    err_set(&err, ERR_STORE_BUSY, "the supervisor of step '%s' cannot be reached", request.id);
    return command_failed(&err);
}

/* The supervisor of a step that has ended needs a moment to go. */
static bool lock_ended(struct request *request)
{
    const struct timespec moment = {.tv_nsec = CANCEL_MS * 1000000L};

    for (int i = 0; !step_dir_lock(&request->step); i++) {
        if (errno != EAGAIN || i == FORGET_TRIES)
            return false;
        if (faccessat(request->step.fd, STEP_RESULT, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
            errno = EAGAIN;
            return false;
        }
        nanosleep(&moment, NULL);
    }
    return true;
}

/* Under the lock: the step may not be used again while it is removed. */
static bool may_forget(struct request *request, struct err *err)
{
    autojson *records = NULL;

    if (!lock_ended(request)) {
        if (errno != EAGAIN)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot lock step '%s'", request->id);
    } else if (!ledger_read(request->step.fd, &request->state, &records, err) ||
               request->state > LEDGER_ACCEPTED) {
        /* Nobody carries it on, and it has ended, or could not be settled: on a full disk, say. */
        return true;
    }
    err_set(err, ERR_STORE_BUSY, "step '%s' has not ended", request->id);
    return err_hint(err, "end it with 'stepcell cancel', or wait for it with 'stepcell wait'");
}

/* Events that the receiver has not confirmed would be lost. */
static bool is_delivered(const struct request *request, struct err *err)
{
    const struct timespec moment = {.tv_nsec = CANCEL_MS * 1000000L};

    if (faccessat(request->step.fd, STEP_TARGET, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    for (int i = 0; i < DELIVERY_TRIES; i++) {
        if (deliver_is_done(request->step.fd))
            return true;
        nanosleep(&moment, NULL);
    }
    err_set(err, ERR_STORE_BUSY, "events of step '%s' have not reached their receiver yet",
            request->id);
    return err_hint(err, "forget it later, or lose them with --force");
}

int cmd_forget(int argc, char **argv)
{
    autorequest request = REQUEST_INIT;
    bool force = false;
    const struct option_spec options[] = {
        ID_OPTIONS,
        FLAG("--force", &force, "also events that no receiver has confirmed"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell forget [OPTIONS] --id ID",
        .about =
            "Removes what is kept of a durable step that has ended: its output, its result, its\n"
            "cell if that is kept, and its id, which may then be used again.",
        .words_max = 1,
        .options = options,
    };
    struct err err;
    int status;

    request.damaged_too = true;
    if (!begin(argc, argv, &request, &command, &status))
        return status;
    if (!may_forget(&request, &err) || (!force && !is_delivered(&request, &err)) ||
        !find_cell(&request, &err))
        return command_failed(&err);
    status = request.cell.door < 0 ? 0 : cells_end(&request.cell);
    if (status == 0 && !step_dir_remove(request.store, request.id, &request.step, &err))
        return command_failed(&err);
    return status;
}
