#include "shim/state/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/signals.h"
#include "shim/relay/event_line.h"

#define CHUNK         65536
#define LINE_MAX_LEN  SINK_QUEUE_MAX /* bytes of an event */
#define LOOK_AFTER_MS 200
#define POLL_MS       20 /* where nobody tells that the log has grown */

struct follower {
    const struct follow_request *request;
    struct loop loop;
    struct loop_io changed;
    struct loop_timer timer, timeout;
    const struct step_dir *step;
    int log, inotify;
    struct buf line; /* the beginning of the next event */
    struct buf text; /* of an event of output */
    struct sink out, err;
    json_t *result;
    bool at_end, finished;
};

/* Whether anything in the log is of interest but its end. */
static bool reads(const struct follow_request *request)
{
    return request->output || request->lines || request->target;
}

static bool damaged(struct err *err)
{
    err_set(err, ERR_ENGINE_FAILED, "the event log of the step is damaged");
    return err_hint(err, "'stepcell status' tells how the step has ended");
}

static bool is_full(const struct follower *follower)
{
    return sink_is_full(&follower->out) || sink_is_full(&follower->err) ||
           (follower->request->target && sink_is_full(follower->request->target));
}

/* Everything that is wanted has been read, and taken by its readers. */
static void stop_if_done(struct follower *follower)
{
    const struct follow_request *request = follower->request;
    bool done = follower->result || (follower->at_end && !request->to_the_end);

    if (done && sink_is_empty(&follower->out) && sink_is_empty(&follower->err) &&
        (!request->target || sink_is_empty(request->target)))
        loop_stop(&follower->loop);
}

static bool give(struct follower *follower, enum event_stream stream, const char *bytes, size_t len,
                 struct err *err)
{
    return sink_write(stream == EVENT_STDERR ? &follower->err : &follower->out, bytes, len, err);
}

/* Output that is no UTF-8. */
static bool give_base64(struct follower *follower, const json_t *event, struct err *err)
{
    autooutput output = {0};

    return event_read_output(event, &output, err) &&
           give(follower, output.stream, output.bytes, output.len, err);
}

static bool take_event(struct follower *follower, const json_t *event, struct err *err)
{
    const struct follow_request *request = follower->request;
    const char *type = json_text(event, "type");

    if (!type || !request->output)
        return true;
    if (strcmp(type, "output") == 0)
        return give_base64(follower, event, err);
    if (strcmp(type, "warning") == 0 && json_text(event, "message"))
        print_note(request->verbosity, "%s", json_text(event, "message"));
    return true;
}

/* Hands a line on as it is, with its line end. */
static bool hand_on(struct follower *follower, const char *line, size_t len, struct err *err)
{
    const struct follow_request *request = follower->request;

    return (!request->lines || sink_write(&follower->out, line, len + 1, err)) &&
           (!request->target || sink_write(request->target, line, len + 1, err));
}

static bool take_line(struct follower *follower, const char *line, size_t len, struct err *err)
{
    const struct follow_request *request = follower->request;
    struct buf *text = &follower->text;
    autojson *event = NULL;
    enum event_stream stream;
    const char *type;
    uint64_t seq;

    if (event_line_read(line, len, &seq, &stream, text))
        return seq < request->since ||
               (hand_on(follower, line, len, err) &&
                (!request->output || give(follower, stream, text->data, text->len, err)));
    event = json_parse(line, len, "the event log of the step", ERR_ENGINE_FAILED, err);
    if (!event)
        return !reads(request) || damaged(err);
    type = json_text(event, "type");
    if (type && strcmp(type, "step.finished") == 0)
        follower->result = json_incref(json_object_get(event, "result"));
    if (json_integer_value(json_object_get(event, "seq")) < (json_int_t)request->since)
        return true;
    return hand_on(follower, line, len, err) && take_event(follower, event, err);
}

/* Takes the lines that are whole out of what was read. */
static bool take_lines(struct follower *follower, struct err *err)
{
    struct buf *line = &follower->line;
    size_t start = 0;
    const char *end;

    while (!follower->result && start < line->len &&
           (end = memchr(line->data + start, '\n', line->len - start))) {
        if (!take_line(follower, line->data + start, (size_t)(end - line->data) - start, err))
            return false;
        start = (size_t)(end - line->data) + 1;
    }
    if (start > 0) {
        memmove(line->data, line->data + start, line->len - start);
        line->len -= start;
    }
    return true;
}

/* The step has ended, and its log has no end: the result is on the disk all the same. */
static bool read_result(struct follower *follower, struct err *err)
{
    if (reads(follower->request))
        return damaged(err);
    follower->result =
        json_read_file(follower->step->fd, STEP_RESULT, STEP_RESULT_MAX, ERR_ENGINE_FAILED, err);
    return follower->result != NULL;
}

/* Reads what there is, as long as the readers take it. */
static bool read_log(struct follower *follower, struct err *err)
{
    char chunk[CHUNK];

    follower->at_end = false;
    while (!follower->result && !is_full(follower)) {
        ssize_t n = read(follower->log, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot read the event log of the step");
        follower->at_end = n == 0;
        if (n == 0 && follower->finished && !read_result(follower, err))
            return false;
        if (n == 0)
            break;
        if (!buf_append(&follower->line, chunk, (size_t)n))
            return err_set(err, ERR_ENGINE_FAILED, "an event in the log of the step is too long");
        if (!take_lines(follower, err))
            return false;
    }
    stop_if_done(follower);
    return true;
}

static bool log_changed(void *data, uint32_t events, struct err *err)
{
    struct follower *follower = data;
    char changes[4096];

    (void)events;
    while (read(follower->inotify, changes, sizeof(changes)) > 0) {
    }
    return read_log(follower, err);
}

static bool reader_drained(void *data, struct err *err)
{
    return read_log(data, err);
}

static bool look_after(struct follower *follower, struct err *err)
{
    const struct follow_request *request = follower->request;

    return follower->finished || request->look_after(request->data, &follower->finished, err);
}

static bool time_to_look(void *data, struct err *err)
{
    struct follower *follower = data;

    loop_set_timer(&follower->loop, &follower->timer,
                   follower->inotify >= 0 ? LOOK_AFTER_MS : POLL_MS);
    return look_after(follower, err) && read_log(follower, err);
}

/* A step that has ended needs no signal: nobody wants to wait for its readers any longer. */
static bool on_signal(void *data, int signal, struct err *err)
{
    struct follower *follower = data;

    if ((signal == SIGINT || signal == SIGTERM) && !look_after(follower, err))
        return false;
    if (!follower->finished || (signal != SIGINT && signal != SIGTERM))
        return follower->request->on_signal(follower->request->data, signal, err);
    sink_abandon(&follower->out);
    sink_abandon(&follower->err);
    if (follower->request->target)
        sink_abandon(follower->request->target);
    return read_log(follower, err);
}

static bool time_is_up(void *data, struct err *err)
{
    struct follower *follower = data;

    (void)err;
    loop_stop(&follower->loop);
    return true;
}

/* A user may have few of them; then the log is looked at now and then. */
static int watch_log(const struct step_dir *step)
{
    autofd inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    autofree char *path = text_printf("%s/%s", step->path, STEP_EVENTS);

    if (inotify < 0 || !path || inotify_add_watch(inotify, path, IN_MODIFY) < 0)
        return -1;
    return TAKE_FD(inotify);
}

static bool open_follower(struct follower *follower, const struct step_dir *step, struct err *err)
{
    const struct follow_request *request = follower->request;

    follower->log = openat(step->fd, STEP_EVENTS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (follower->log < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the event log of the step");
    follower->step = step;
    follower->inotify = watch_log(step);
    if (!loop_open(&follower->loop, err) ||
        !signals_watch(&follower->loop, on_signal, follower, err) ||
        !sink_open_fd(STDOUT_FILENO, &follower->out, err) ||
        !sink_open_fd(STDERR_FILENO, &follower->err, err))
        return false;
    if (!sink_attach(&follower->out, &follower->loop, reader_drained, follower, err) ||
        !sink_attach(&follower->err, &follower->loop, reader_drained, follower, err) ||
        (request->target &&
         !sink_attach(request->target, &follower->loop, reader_drained, follower, err)))
        return false;
    follower->changed = (struct loop_io){follower->inotify, log_changed, follower};
    follower->timer = (struct loop_timer){.fire = time_to_look, .data = follower};
    follower->timeout = (struct loop_timer){.fire = time_is_up, .data = follower};
    return true;
}

static void close_follower(struct follower *follower)
{
    sink_close(&follower->out);
    sink_close(&follower->err);
    close_fd(follower->log);
    close_fd(follower->inotify);
    buf_release(&follower->line);
    buf_release(&follower->text);
    loop_close(&follower->loop);
}

/* What is in the log already needs no change to be seen. */
static bool run(struct follower *follower, struct err *err)
{
    if (follower->request->timeout_ms)
        loop_set_timer(&follower->loop, &follower->timeout, follower->request->timeout_ms);
    loop_set_timer(&follower->loop, &follower->timer, 0);
    return (follower->inotify < 0 || loop_add(&follower->loop, &follower->changed, EPOLLIN, err)) &&
           loop_run(&follower->loop, err);
}

static bool is_unread(const struct sink *sink)
{
    return sink->lost == 0 || sink->error == EPIPE || sink->error == ECONNRESET;
}

bool follow(const struct step_dir *step, const struct follow_request *request, json_t **result,
            struct follow_lost *lost, struct err *err)
{
    struct follower follower = {
        .request = request,
        .loop = LOOP_INIT,
        .log = -1,
        .inotify = -1,
        .line = BUF_INIT(LINE_MAX_LEN),
        .text = BUF_INIT(LINE_MAX_LEN),
        .out = SINK_INIT,
        .err = SINK_INIT,
    };
    bool ok = open_follower(&follower, step, err) && run(&follower, err);

    *lost = (struct follow_lost){.bytes = follower.out.lost + follower.err.lost,
                                 .unread = is_unread(&follower.out) && is_unread(&follower.err)};
    close_follower(&follower);
    if (!ok) {
        json_decref(follower.result);
        return false;
    }
    *result = follower.result;
    return true;
}
