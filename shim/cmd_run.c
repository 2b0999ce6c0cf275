/*
 * `stepcell run`: one step, from its options to its result and exit status. `stepcell start`: the
 * same step, without waiting for its end. `stepcell shell`: the same cell, with a shell in it.
 */
#include <string.h>

#include "shim/commands.h"
#include "shim/durable.h"
#include "shim/front.h"

/* The policy refuses the store or the token: neither is opened. What else is wrong is told. */
static void look_at_rest(struct session *session, const struct err *err)
{
    struct err second = *err;

    if (session_passes(session, false, &second) && session_begin(session, &second) &&
        session_open_mask(session, &second) && !session_resolve(session, &second))
        session_look_inside(session);
}

/* Reads the options and gives the step its id. The result's place is settled first: it is written
 * always, also after a bad option, but where the policy does not let it lie. */
static bool prepare(int argc, char **argv, struct session *session, struct err *err)
{
    struct run_options *options = &session->options;
    struct err second;
    bool ok = session_make_id(session->id, err) && options_parse(argc, argv, options, err);

    session->violations = options->wrong;
    options->wrong = (struct errs){0};
    if (options->help)
        return ok;
    if (!session_read_policy(session, ok ? err : &second))
        ok = false;
    /* Where the step is not another one's already, the rest of it is looked at as well. */
    if (!session_open_result(session, ok ? err : &second) &&
        (!ok || options->id || !session_passes(session, false, err)))
        ok = false;
    if (ok && options->id)
        strcpy(session->id, options->id);
    if (!ok || session_settle(session, err))
        return ok;
    look_at_rest(session, err);
    return false;
}

static int print_help(struct session *session, const char *command)
{
    autofree char *help = options_help(command);

    print_out("%s", help ? help : "");
    session_close(session);
    return 0;
}

/* *status is that of the step, which somebody else has run. */
static bool run_durable(struct session *session, int *status, struct err *err)
{
    const struct result_place *place = &session->result_place;
    autojson *result = NULL;

    if (!durable_ensure(session, err) || !durable_attach(session, &result, err))
        return false;
    durable_print_outcome(result, session->options.verbosity);
    *status = result_status(result);
    return (place->dir < 0 && place->fd < 0) || result_write_json(result, place, err);
}

/* Whoever waits for the step asks by the id. */
static bool start_durable(struct session *session, int *status, struct err *err)
{
    if (!durable_ensure(session, err))
        return false;
    print_out("%s\n", session->id);
    *status = 0;
    return true;
}

/* *status is what another process makes of the step; false: none does, or with err. */
static bool run_elsewhere(struct session *session, int *status, struct err *err)
{
    if (session->detached)
        return start_durable(session, status, err);
    if (session->options.id)
        return run_durable(session, status, err);
    return session->options.keep != KEEP_NEVER && front_run(session, status, err);
}

static int run(int argc, char **argv, struct session *session, const char *command)
{
    struct err err = ERR_INIT;
    bool ready;
    int status;

    ready = prepare(argc, argv, session, &err);
    if (ready && session->options.help)
        return print_help(session, command);
    if (ready && !session->violations.count && run_elsewhere(session, &status, &err)) {
        session_close(session);
        return status;
    }
    ready = ready && (err.code == ERR_NONE || session->violations.count) &&
            session_begin(session, &err);
    session_perform(session, ready, &err);
    status = session->result.exit_code;
    session_close(session);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct session session = SESSION_INIT;

    return run(argc, argv, &session, "run");
}

int cmd_shell(int argc, char **argv)
{
    struct session session = SESSION_INIT;
    struct run_options *options = &session.options;

    options->opens_shell = options->interactive = options->terminal = true;
    return run(argc, argv, &session, "shell");
}

int cmd_start(int argc, char **argv)
{
    struct session session = SESSION_INIT;

    /* The supervisor writes the result, and sends the events: nobody else waits for them. */
    session.detached = true;
    return run(argc, argv, &session, "start");
}
