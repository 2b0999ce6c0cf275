/* A helper of the session's, which is waited for while signals are handled. */
#include "shim/session.h"

#include <errno.h>
#include <unistd.h>

#include "base/child.h"
#include "shim/helper.h"

#define REPORT_MAX (4 << 20) /* bytes of a helper's report */

static bool read_report(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    char chunk[4096];
    ssize_t n = read(session->report_fd, chunk, sizeof(chunk));

    (void)events;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n > 0)
        return buf_append(&session->report, chunk, (size_t)n) ||
               err_set(err, ERR_ENGINE_FAILED, "the report of a helper is too long");
    loop_remove(&session->loop, &session->report_io);
    loop_stop(&session->loop);
    return true;
}

/* {"error": {"code", "message", "hint"}} */
static bool take_error(const json_t *error, struct err *err)
{
    const char *code = json_text(error, "code"), *message = json_text(error, "message");
    const char *hint = json_text(error, "hint");
    enum err_code known = code ? err_code_parse(code) : ERR_COUNT;

    if (known == ERR_COUNT || !message)
        return err_set(err, ERR_ENGINE_FAILED, "a helper of stepcell failed without a reason");
    err_set(err, known, "%s", message);
    return hint ? err_hint(err, "%s", hint) : false;
}

static bool take_report(struct session *session, const char *program, int status, struct err *err)
{
    const json_t *error;

    if (!session->report.len)
        return err_set(err, ERR_ENGINE_FAILED, "%s ended without a report (status %d)", program,
                       status);
    json_decref(session->helper_report);
    session->helper_report = json_parse(session->report.data, session->report.len,
                                        "the report of a helper", ERR_ENGINE_FAILED, err);
    if (!session->helper_report)
        return false;
    error = json_object_get(session->helper_report, "error");
    return !json_is_object(error) || take_error(error, err);
}

bool session_run_helper(struct session *session, const char *program, char *const *words,
                        int shared, struct err *err)
{
    int status;
    bool ok;

    buf_release(&session->report);
    session->report.max = REPORT_MAX;
    if (!helper_start(program, words, shared, &session->helper, &session->report_fd, err))
        return false;
    session->report_io = (struct loop_io){session->report_fd, read_report, session};
    ok = loop_add(&session->loop, &session->report_io, EPOLLIN, err) &&
         loop_run(&session->loop, err);
    session->report_fd = close_fd(session->report_fd);
    status = child_wait(session->helper);
    session->helper = 0;
    if (session_is_canceled(session, err))
        return false;
    return ok && take_report(session, program, status, err);
}
