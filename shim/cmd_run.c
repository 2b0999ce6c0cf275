/* `stepcell run`: one step, from its options to its result and exit status. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/path.h"
#include "shim/commands.h"
#include "shim/session.h"

static bool make_id(struct session *session, struct err *err)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[SESSION_ID_LEN];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make an id for the step");
    for (size_t i = 0; i < SESSION_ID_LEN; i++)
        session->id[i] = hex[random[i] & 15];
    return true;
}

static bool run_step(struct session *session, struct err *err)
{
    struct phases *phases = &session->result.phases;

    phases_enter(phases, "resolve");
    if (!session_open(session, err) || !session_find_sources(session, err) ||
        !session_read_profile(session, err) ||
        !secrets_gather(&session->secrets, &session->options, environ, &session->loop, err) ||
        !session_prepare(session, err))
        return false;
    phases_enter(phases, "plan");
    return session_plan(session, err) && session_run_cell(session, err);
}

/* The outcome of a step that was not observed to its end, or was ended by stepcell. */
static void settle(struct session *session, bool ran, const struct err *err)
{
    struct result *result = &session->result;

    if (!ran) {
        result->error = *err;
        result->outcome = result_outcome_of(err->code);
        result->exit_code = STATUS_FAILED;
    }
    if (session->timed_out) {
        result->outcome = OUTCOME_TIMED_OUT;
        result->exit_code = 124;
    }
    if (session->canceled) {
        result->outcome = OUTCOME_CANCELED;
        result->exit_code = 128 + session->canceled;
        result->error = ERR_INIT;
    }
}

static void report(struct session *session)
{
    bool has_place = session->result_place.dir >= 0 || session->result_place.fd >= 0;
    struct result *result = &session->result;
    enum verbosity verbosity = session->options.verbosity;
    struct err err;

    phases_leave(&result->phases);
    result->digest = session->name.digest;
    result->manifest_digest = session->name.manifest_digest;
    result->helper_phases = json_object_get(session->helper_report, "phases");
    if (result->error.code != ERR_NONE)
        print_err(&result->error);
    else if (result->outcome == OUTCOME_TIMED_OUT)
        print_note(verbosity, "the step was ended by its timeout");
    else if (result->outcome == OUTCOME_CANCELED)
        print_note(verbosity, "the step was canceled by SIG%s", sigabbrev_np(session->canceled));
    for (size_t i = 0; i < result->phases.count; i++)
        print_detail(verbosity, "%-8s %8.3f ms", result->phases.items[i].name,
                     result->phases.items[i].ms);
    if (has_place && !result_write(result, &session->result_place, &err)) {
        print_err(&err);
        result->exit_code = STATUS_FAILED;
    }
}

/*
 * A caller may have closed a standard descriptor. Its number must not become one of ours, or the
 * step's output would go there.
 */
static void open_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close_fd(fd);
}

int cmd_run(int argc, char **argv)
{
    struct session session = {
        .options = RUN_OPTIONS_INIT,
        .loop = LOOP_INIT,
        .store = STORE_INIT,
        .image = IMAGE_INIT,
        .scratch = SCRATCH_INIT,
        .streams = {-1, -1, -1},
        .report_fd = -1,
        .script_fd = -1,
        .output_fd = -1,
        .result_place = RESULT_PLACE_INIT,
    };
    struct err err = ERR_INIT, second;
    bool ran;
    int status;

    open_standard_descriptors();
    session.result.engine = "native";
    session.result.cleanup_verified = true; /* until there is something to clean up */
    session.result.id = session.id;
    ran = make_id(&session, &err) && options_parse(argc, argv, &session.options, &err);
    /* Also after a bad option: the result is written always. */
    if (session.options.result &&
        !result_open(session.options.result, &session.result_place, ran ? &err : &second))
        ran = false;
    if (ran && session.options.help) {
        autofree char *help = options_help();

        print_out("%s", help ? help : "");
        session_close(&session);
        return 0;
    }
    ran = ran && run_step(&session, &err);
    /* A step that was refused with its scratch taken: what the result says of it has to be seen. */
    if (session.scratch.path)
        session_clean_up(&session);
    settle(&session, ran, &err);
    report(&session);
    status = session.result.exit_code;
    session_close(&session);
    return status;
}
