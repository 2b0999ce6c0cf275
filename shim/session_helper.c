/* A helper of the session's, which is waited for while signals are handled. */
#include "shim/session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "shim/helper.h"
#include "shim/helper_report.h"

#define REPORT_MAX (4 << 20) /* bytes of a helper's report */

/* The event of what a helper tells of a pull (shim/image/progress.h): what is known of it, and no
 * more. */
static json_t *progress_event(const json_t *told)
{
    static const char *const counts[] = {"bytes", "total", "layers", "layers_total"};
    const json_t *layer = json_object_get(told, "layer");
    const char *digest = json_text(layer, "digest"), *start = json_text(layer, "start");
    json_t *event = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        json_object_set_new(event, counts[i],
                            json_integer(json_integer_value(json_object_get(told, counts[i]))));
    if (digest && start)
        json_object_set_new(event, "layer",
                            json_pack("{s:s, s:I, s:s, s:f}", "digest", digest, "bytes",
                                      json_integer_value(json_object_get(layer, "bytes")), "start",
                                      start, "ms",
                                      json_number_value(json_object_get(layer, "ms"))));
    return event;
}

/* {"progress"} and {"warning"} on the way, and the report itself. */
static bool take_line(struct session *session, const char *line, size_t len, struct err *err)
{
    autojson *json = json_parse(line, len, "the report of a helper", ERR_ENGINE_FAILED, err);
    json_t *progress = json_object_get(json, "progress");
    const char *warning = json ? json_text(json, "warning") : NULL;

    if (!json)
        return false;
    if (progress) {
        if (!session->pulls)
            phases_enter(&session->result.phases, "pull");
        session->pulls = true;
        return events_emit(&session->events, "image.progress", progress_event(progress), err);
    }
    if (warning) {
        /* Printed it is already. */
        session_warn(session, warning);
        return true;
    }
    json_decref(session->helper_report);
    session->helper_report = TAKE_PTR(json);
    return true;
}

static bool take_lines(struct session *session, struct err *err)
{
    struct buf *report = &session->report;
    const char *end;

    while (report->len > 0 && (end = memchr(report->data, '\n', report->len))) {
        size_t len = (size_t)(end - report->data);

        if (!take_line(session, report->data, len, err))
            return false;
        report->len -= len + 1;
        memmove(report->data, end + 1, report->len);
    }
    return true;
}

static bool read_report(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    char chunk[4096];
    ssize_t n = read(session->report_fd, chunk, sizeof(chunk));

    (void)events;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n > 0)
        return buf_append(&session->report, chunk, (size_t)n)
                   ? take_lines(session, err)
                   : err_set(err, ERR_ENGINE_FAILED, "the report of a helper is too long");
    loop_remove(&session->loop, &session->report_io);
    loop_stop(&session->loop);
    return true;
}

static bool take_error(const json_t *error, struct err *err)
{
    if (!helper_report_take_err(error, err))
        err_set(err, ERR_ENGINE_FAILED, "a helper of stepcell failed without a reason");
    return false;
}

static bool take_report(struct session *session, const char *program, int status, struct err *err)
{
    const json_t *error;

    if (!session->helper_report)
        return err_set(err, ERR_ENGINE_FAILED, "%s ended without a report (status %d)", program,
                       status);
    error = json_object_get(session->helper_report, "error");
    return !json_is_object(error) || take_error(error, err);
}

bool session_run_helper(struct session *session, const char *program, char *const *words,
                        int shared, struct err *err)
{
    struct phases before = session->result.phases;
    int status;
    bool ok;

    session->pulls = false;
    buf_release(&session->report);
    session->report.max = REPORT_MAX;
    json_decref(session->helper_report);
    session->helper_report = NULL;
    if (!helper_start(program, words, shared, &session->helper, &session->report_fd, err))
        return false;
    session->report_io = (struct loop_io){session->report_fd, read_report, session};
    ok = loop_add(&session->loop, &session->report_io, EPOLLIN, err) &&
         loop_run(&session->loop, err);
    session->report_fd = close_fd(session->report_fd);
    if (!ok)
        kill(session->helper, SIGTERM);
    status = child_wait(session->helper);
    session->helper = 0;
    if (session_is_canceled(session, err))
        return false;
    if (!ok || !take_report(session, program, status, err))
        return false;
    /* The helper knows better than its lines when its pull began. */
    session->result.phases = before;
    return true;
}
