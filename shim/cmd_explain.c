/* `stepcell explain`: everything that `run` would do, without doing it. */
#include "shim/commands.h"
#include "shim/explain.h"

/* False when the search was ended; what is wrong with the step is in its violations. */
static bool resolve(struct session *session, bool *looked, struct err *err)
{
    struct err ignored;
    bool ok;

    *looked = false;
    /* One that is not understood is told of with the image. */
    ok = session_read_policy(session, &ignored);
    if (!session_passes(session, session_open_result(session, err), err) ||
        !session_passes(session, !ok || session_settle(session, err), err) ||
        !session_begin(session, err) || !session_open_mask(session, err) ||
        !session_passes(session, session_open_target(session, err), err))
        return false;
    ok = session_resolve(session, err);
    if (!ok && (session->violations.count == 0 || err->code == ERR_ENGINE_FAILED))
        return false;
    *looked = session_look_inside(session);
    return !session_is_canceled(session, err);
}

static int print(struct session *session, bool looked)
{
    autojson *json = explain_json(session, looked);
    autofree char *text = json && !session->options.json ? explain_text(json) : NULL;
    struct err err;

    if (session->options.json) {
        if (command_print_json(json_incref(json)) != 0)
            return STATUS_FAILED;
    } else if (text) {
        print_out("%s", text);
    } else {
        err_set(&err, ERR_ENGINE_FAILED, "not enough memory to explain the step");
        return command_failed(&err);
    }
    return session->violations.count ? STATUS_FAILED : 0;
}

/* Options that cannot be understood are no step: there is nothing else to tell of. */
static int refuse(const struct run_options *options, const struct err *err)
{
    const struct errs *wrong = &options->wrong;

    if (wrong->count == 0 || err->code == ERR_ENGINE_FAILED)
        return command_failed(err);
    if (options->json)
        (void)!command_print_json(json_pack("{s:s, s:{s:s, s:b, s:o}}", "schema", STEP_SCHEMA,
                                            "explain", "schema", EXPLAIN_SCHEMA, "can_start", 0,
                                            "violations", result_violations_json(wrong)));
    for (size_t i = 0; !options->json && i < wrong->count && print_err(&wrong->items[i]); i++)
        ;
    return STATUS_FAILED;
}

static int fail(const struct session *session, struct err *err)
{
    const struct errs *violations = &session->violations;
    bool taken = session_print_err(session, err);

    for (size_t i = 0; taken && i < violations->count; i++)
        taken = session_print_err(session, &violations->items[i]);
    return session->canceled ? 128 + session->canceled : STATUS_FAILED;
}

int cmd_explain(int argc, char **argv)
{
    struct session session = SESSION_INIT;
    struct err err = ERR_INIT;
    bool looked, ok;
    int status;

    session.options.explains = true;
    if (!session_make_id(session.id, &err) || !options_parse(argc, argv, &session.options, &err)) {
        status = refuse(&session.options, &err);
    } else if (session.options.help) {
        autofree char *help = options_help("explain");

        print_out("%s", help ? help : "");
        status = 0;
    } else {
        ok = resolve(&session, &looked, &err) &&
             (!session.options.json || explain_fits_json(&session, argc, argv, &err));
        status = ok ? print(&session, looked) : fail(&session, &err);
    }
    session_close(&session);
    return status;
}
