#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "shim/relay/event_line.h"
#include "shim/report/report.h"

#define NS_PER_S     INT64_C(1000000000)
#define SPAN_MAX_S   INT64_C(1000000000) /* what is farther away is as good as this */
#define SECOND_LEN   19                  /* bytes of "2026-01-02T03:04:05" */
#define NAME_MAX_LEN 128                 /* bytes of the name of a phase or a layer */

/* What the reading of the log needs besides the report. */
struct reading {
    struct report *report;
    struct buf text;         /* of an event of output */
    char second[SECOND_LEN]; /* of the last event: most have the one of the event before */
    struct timespec at_second;
    int64_t last; /* event but the end */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "there is not enough memory for the report");
}

static int64_t since(const struct timespec *from, const struct timespec *to)
{
    int64_t seconds = (int64_t)to->tv_sec - from->tv_sec;

    if (seconds > SPAN_MAX_S)
        seconds = SPAN_MAX_S;
    if (seconds < -SPAN_MAX_S)
        seconds = -SPAN_MAX_S;
    return seconds * NS_PER_S + to->tv_nsec - from->tv_nsec;
}

/* A time that is a member of an object; -1 when there is none. */
static int64_t time_of(const struct report *report, const json_t *object, const char *key)
{
    const char *text = json_text(object, key);
    struct timespec time;

    return text && clock_parse(text, &time) ? since(&report->accepted, &time) : -1;
}

static void extend(struct report *report, int64_t at)
{
    if (at > report->end)
        report->end = at;
}

/* Owns the text. */
static void add_mark(struct report *report, int64_t at, const char *kind, char *text)
{
    if (report->mark_count == REPORT_MARKS_MAX || !text) {
        report->marks_more++;
        free(text);
        return;
    }
    report->marks[report->mark_count++] = (struct mark){at, kind, text};
}

static void add_span(struct report *report, struct spans *spans, const json_t *json,
                     const char *name_key)
{
    const char *name = json_text(json, name_key);
    double ms = json_number_value(json_object_get(json, "ms"));
    json_int_t bytes = json_integer_value(json_object_get(json, "bytes"));
    struct span span = {.start = time_of(report, json, "start"),
                        .bytes = bytes > 0 ? (uint64_t)bytes : 0};

    if (!name || spans->count == REPORT_SPANS_MAX || !(ms >= 0) || ms > (double)SPAN_MAX_S * 1000)
        return;
    span.ns = (int64_t)(ms * (double)NS_PER_MS);
    span.name = strndup(name, NAME_MAX_LEN);
    if (!span.name)
        return;
    spans->items[spans->count++] = span;
    extend(report, span.start + span.ns);
}

/* ---- the ledger ---- */

/* Of a cell that was killed as a whole, nobody has seen how its command ended. */
static const char *killed_text(const struct report *report)
{
    const char *outcome = json_text(report->result, "outcome");

    if (outcome && strcmp(outcome, "timed-out") == 0)
        return ": killed after the timeout";
    return outcome && strcmp(outcome, "canceled") == 0 ? ": killed when it was canceled" : "";
}

static char *record_text(const struct report *report, enum ledger_record record, const json_t *json)
{
    static const char *const texts[] = {
        [LEDGER_ACCEPTED] = "the step was accepted",
        [LEDGER_SUPERVISED] = "a supervisor took charge of it",
        [LEDGER_CELL] = "its cell was about to be made",
        [LEDGER_STARTED] = "its command was about to start",
        [LEDGER_ENDED] = "the cell ended",
        [LEDGER_FINISHED] = "its result was kept",
    };
    const char *engine = json_text(json, "engine"), *kind = json_text(json, "kind");

    if (record == LEDGER_ENDED && kind && strcmp(kind, "unknown") == 0)
        return text_printf("%s%s", texts[record], killed_text(report));
    if (record == LEDGER_ENDED && kind)
        return text_printf("%s: %s %" JSON_INTEGER_FORMAT, texts[record], kind,
                           json_integer_value(json_object_get(json, "value")));
    if (record == LEDGER_CELL && engine)
        return text_printf("%s by the engine '%s'", texts[record], engine);
    return strdup(texts[record]);
}

static bool take_beginning(struct report *report, struct err *err)
{
    const json_t *accepted = ledger_find(report->records, LEDGER_ACCEPTED);
    const char *text = json_text(accepted, "time");

    return (text && clock_parse(text, &report->accepted)) ||
           err_set(err, ERR_ENGINE_FAILED, "the ledger of the step does not say when it began");
}

static void take_records(struct report *report)
{
    for (enum ledger_record i = LEDGER_ACCEPTED; i <= LEDGER_FINISHED; i++) {
        const json_t *record = ledger_find(report->records, i);
        int64_t at = record ? time_of(report, record, "time") : -1;

        if (at < 0)
            continue;
        add_mark(report, at, "step", record_text(report, i, record));
        if (i < LEDGER_FINISHED)
            extend(report, at);
        if (i == LEDGER_STARTED)
            report->started = at;
        if (i == LEDGER_ENDED)
            report->ended = at;
    }
}

/* ---- the event log ---- */

static int64_t event_time(struct reading *reading, const char *line, size_t len)
{
    const char *at = event_line_time(line, len), *end = at ? strchr(at, '"') : NULL;
    char text[CLOCK_TEXT_MAX];
    struct timespec time;

    if (!end || end - at >= CLOCK_TEXT_MAX)
        return -1;
    memcpy(text, at, (size_t)(end - at));
    text[end - at] = '\0';
    if (end - at > SECOND_LEN && memcmp(text, reading->second, SECOND_LEN) == 0) {
        time = reading->at_second;
        time.tv_nsec = strtol(text + SECOND_LEN + 1, NULL, 10);
    } else if (clock_parse(text, &time)) {
        memcpy(reading->second, text, SECOND_LEN);
        reading->at_second = time;
    } else {
        return -1;
    }
    return since(&reading->report->accepted, &time);
}

static void keep_tail(struct report *report, const char *bytes, size_t len)
{
    struct buf *tail = &report->tail;

    report->tail_cut = report->tail_cut || tail->len + len > REPORT_TAIL_MAX;
    if (len > REPORT_TAIL_MAX) {
        bytes += len - REPORT_TAIL_MAX;
        len = REPORT_TAIL_MAX;
    }
    if (tail->len + len > REPORT_TAIL_MAX) {
        size_t over = tail->len + len - REPORT_TAIL_MAX;

        memmove(tail->data, tail->data + over, tail->len - over);
        tail->len -= over;
    }
    buf_append(tail, bytes, len);
}

static void take_output(struct report *report, int64_t at, enum event_stream stream,
                        const char *bytes, size_t len)
{
    rate_add(&report->output[stream], report->started >= 0 ? at - report->started : 0, len);
    keep_tail(report, bytes, len);
}

static char *progress_text(const json_t *event)
{
    const char *message = json_text(event, "message");

    return text_printf("%" JSON_INTEGER_FORMAT " %% %s",
                       json_integer_value(json_object_get(event, "percentage")),
                       message ? message : "");
}

static void take_event(struct reading *reading, const json_t *event, int64_t at)
{
    struct report *report = reading->report;
    const char *type = json_text(event, "type"), *message = json_text(event, "message");
    const json_t *layer = json_object_get(event, "layer");
    autooutput output = {0};
    struct err ignored;

    if (!type || strcmp(type, "step.finished") == 0)
        return;
    if (strcmp(type, "image.progress") == 0 && layer)
        add_span(report, &report->layers, layer, "digest");
    else if (strcmp(type, "cell.started") == 0)
        report->started = at;
    else if (strcmp(type, "warning") == 0 && message)
        add_mark(report, at, "warning", strdup(message));
    else if (strcmp(type, "progress") == 0)
        add_mark(report, at, "progress", progress_text(event));
    else if (strcmp(type, "output") == 0 && event_read_output(event, &output, &ignored))
        take_output(report, at, output.stream, output.bytes, output.len);
    extend(report, at);
}

static bool take_line(struct reading *reading, const char *line, size_t len)
{
    int64_t at = event_time(reading, line, len);
    enum event_stream stream;
    autojson *event = NULL;
    struct err ignored;
    uint64_t seq;

    if (at >= 0 && event_line_read(line, len, &seq, &stream, &reading->text)) {
        take_output(reading->report, at, stream, reading->text.data, reading->text.len);
        extend(reading->report, at);
        return true;
    }
    event = json_parse(line, len, "the event log of the step", ERR_ENGINE_FAILED, &ignored);
    if (!event)
        return false;
    take_event(reading, event, at < 0 ? 0 : at);
    return true;
}

/* The line that somebody is writing just now, or was when it was killed, has no end yet. */
static bool read_log(const struct step_dir *step, struct report *report, struct err *err)
{
    int fd = openat(step->fd, STEP_EVENTS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    autofile *log = fd < 0 ? NULL : fdopen(fd, "r");
    struct reading reading = {.report = report, .text = BUF_INIT(SINK_QUEUE_MAX)};
    autofree char *line = NULL;
    size_t size = 0;
    ssize_t n;

    if (!log)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the event log of the step");
    while (!report->log_damaged && (n = getline(&line, &size, log)) > 0 && line[n - 1] == '\n')
        report->log_damaged = !take_line(&reading, line, (size_t)n - 1);
    buf_release(&reading.text);
    rate_align(&report->output[EVENT_STDOUT], &report->output[EVENT_STDERR]);
    rate_align(&report->output[EVENT_STDERR], &report->output[EVENT_STDOUT]);
    return true;
}

/* ---- the rest ---- */

static bool read_result(const struct step_dir *step, struct report *report, struct err *err)
{
    const json_t *phases, *phase;
    const char *outcome;
    size_t i;

    if (report->state != LEDGER_FINISHED)
        return true;
    report->result = json_read_file(step->fd, STEP_RESULT, STEP_RESULT_MAX, ERR_ENGINE_FAILED, err);
    if (!report->result)
        return false;
    phases = json_object_get(report->result, "phases");
    json_array_foreach (phases, i, phase)
        add_span(report, &report->phases, phase, "name");
    /* One that was lost was settled some time later. */
    outcome = json_text(report->result, "outcome");
    if (!outcome || strcmp(outcome, "unknown") != 0)
        extend(report, time_of(report, ledger_find(report->records, LEDGER_FINISHED), "time"));
    return true;
}

static bool read_samples(const struct step_dir *step, struct report *report, struct err *err)
{
    autobuf text = BUF_INIT(SAMPLES_FILE_MAX);
    struct err ignored;

    report->samples = calloc(1, sizeof(*report->samples));
    if (!report->samples)
        return no_memory(err);
    report->samples->memory_peak = USAGE_UNKNOWN;
    /* Most steps are too short to have any. */
    if (!file_read(step->fd, STEP_SAMPLES, &text, ERR_ENGINE_FAILED, &ignored) || !text.data ||
        !samples_parse(text.data, text.len, report->samples)) {
        report->samples->count = 0;
        return true;
    }
    report->looked = true;
    if (report->samples->count > 0)
        extend(report,
               since(&report->accepted, &report->samples->start) +
                   (int64_t)report->samples->items[report->samples->count - 1].ms * NS_PER_MS);
    return true;
}

/* The cell was about to run the command, and found that it cannot be executed. */
static bool never_ran(const struct report *report)
{
    const char *code = json_text(json_object_get(report->result, "error"), "code");

    return code && strncmp(code, "command.", strlen("command.")) == 0;
}

static int by_time(const void *left, const void *right)
{
    const struct mark *a = left, *b = right;

    return a->at < b->at ? -1 : a->at > b->at;
}

bool report_read(const struct step_dir *step, const char *id, enum ledger_record state,
                 struct report *report, struct err *err)
{
    enum ledger_record last;
    struct timespec now;

    report->id = id;
    report->state = state;
    if (!ledger_read(step->fd, &last, &report->records, err) || !take_beginning(report, err) ||
        !read_result(step, report, err))
        return false;
    take_records(report);
    if (!read_log(step, report, err) || !read_samples(step, report, err))
        return false;
    if (never_ran(report))
        report->started = report->ended = -1;
    if (state != LEDGER_FINISHED) {
        clock_gettime(CLOCK_REALTIME, &now);
        extend(report, since(&report->accepted, &now));
    }
    qsort(report->marks, report->mark_count, sizeof(report->marks[0]), by_time);
    return true;
}

static void release_spans(struct spans *spans)
{
    for (size_t i = 0; i < spans->count; i++)
        free(spans->items[i].name);
}

void report_release(struct report *report)
{
    json_decref(report->records);
    json_decref(report->result);
    release_spans(&report->phases);
    release_spans(&report->layers);
    for (size_t i = 0; i < report->mark_count; i++)
        free(report->marks[i].text);
    free(report->samples);
    buf_release(&report->tail);
}
