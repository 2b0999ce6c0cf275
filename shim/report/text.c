/* A report for a terminal. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "shim/print.h"
#include "shim/report/report.h"
#include "shim/units.h"

#define BAR_WIDTH  40
#define LINE_WIDTH 60 /* columns of a number over time */

static const char levels[] = " .:-=+*#";

struct column {
    double sum;
    size_t count;
};

static bool add_time(struct buf *text, const char *label, int64_t at)
{
    char time[UNITS_MAX];

    return buf_printf(text, "  %-10s %12s  ", label, units_time(at, time));
}

/* Where the span lies in `whole`, at least one column. */
static bool add_bar(struct buf *text, const struct span *span, int64_t from, int64_t whole)
{
    int64_t start = (span->start - from) * BAR_WIDTH / (whole > 0 ? whole : 1);
    int64_t width = span->ns * BAR_WIDTH / (whole > 0 ? whole : 1);
    char bar[BAR_WIDTH + 1];

    start = start < 0 ? 0 : start >= BAR_WIDTH ? BAR_WIDTH - 1 : start;
    width = width < 1 ? 1 : start + width > BAR_WIDTH ? BAR_WIDTH - start : width;
    memset(bar, '.', BAR_WIDTH);
    memset(bar + start, '#', (size_t)width);
    bar[BAR_WIDTH] = '\0';
    return buf_printf(text, "|%s|", bar);
}

static bool add_spans(struct buf *text, const char *title, const struct spans *spans, int64_t from,
                      int64_t whole, bool with_bytes)
{
    bool ok = spans->count == 0 || buf_printf(text, "\n%s\n", title);

    for (size_t i = 0; ok && i < spans->count; i++) {
        const struct span *span = &spans->items[i];
        autobuf name = BUF_INIT(BUFSIZ);
        char time[UNITS_MAX], size[UNITS_MAX];

        ok = print_escape(&name, span->name) &&
             buf_printf(text, "  %-19.19s %12s  ", name.data ? name.data : "",
                        units_time(span->ns, time)) &&
             add_bar(text, span, from, whole) &&
             (!with_bytes || buf_printf(text, " %s", units_size(span->bytes, size))) &&
             buf_append_text(text, "\n");
    }
    return ok;
}

static bool add_columns(struct buf *text, const char *label, const struct column *columns,
                        const char *most)
{
    double peak = 0;
    bool ok = buf_printf(text, "  %-10s |", label);

    for (size_t i = 0; i < LINE_WIDTH; i++) {
        double value = columns[i].count ? columns[i].sum / (double)columns[i].count : 0;

        peak = value > peak ? value : peak;
    }
    for (size_t i = 0; ok && i < LINE_WIDTH; i++) {
        double value = columns[i].count ? columns[i].sum / (double)columns[i].count : 0;
        size_t level = peak > 0 ? (size_t)(value / peak * (sizeof(levels) - 2) + 0.5) : 0;

        ok = buf_append(text, &levels[level], 1);
    }
    return ok && buf_printf(text, "| %s\n", most);
}

static size_t column_of(int64_t x, int64_t run)
{
    int64_t column = x * LINE_WIDTH / (run > 0 ? run : 1);

    return column < 0 ? 0 : column >= LINE_WIDTH ? LINE_WIDTH - 1 : (size_t)column;
}

static bool add_output(struct buf *text, const struct report *report, int stream)
{
    const struct rate *rate = &report->output[stream];
    struct column columns[LINE_WIDTH] = {0};
    char size[UNITS_MAX];
    uint64_t all = 0;

    for (size_t i = 0; i < rate->count; i++) {
        size_t column = column_of((int64_t)i * rate->width, report_run(report));

        columns[column].sum += (double)rate->bins[i];
        columns[column].count = 1;
        all += rate->bins[i];
    }
    return all == 0 ||
           add_columns(text, stream ? "stderr" : "stdout", columns, units_size(all, size));
}

static bool add_usage(struct buf *text, const struct report *report, enum usage_kind kind)
{
    static const char *const labels[] = {"cpu", "memory", "pids"};
    const char *why = report_why_unknown(report, kind);
    struct column columns[LINE_WIDTH] = {0};
    struct point points[REPORT_POINTS_MAX];
    char most[2 * UNITS_MAX], value[UNITS_MAX];
    bool whole;
    uint64_t peak = report_peak(report, kind, &whole);

    if (why)
        return buf_printf(text, "  %-10s not measured: %s\n", labels[kind], why);
    for (size_t i = 0, count = report_points(report, kind, points); i < count; i++) {
        struct column *column = &columns[column_of(points[i].x, report_run(report))];

        if (points[i].y < 0)
            continue;
        column->sum += points[i].y;
        column->count++;
    }
    if (kind == USAGE_CPU)
        snprintf(most, sizeof(most), "%s %s", units_time((int64_t)peak * (NS_PER_MS / 1000), value),
                 report->samples->sources[kind] == USAGE_CGROUP ? "in all" : "seen");
    else if (kind == USAGE_MEMORY)
        snprintf(most, sizeof(most), "%s %s", units_size(peak, value), whole ? "at most" : "seen");
    else
        snprintf(most, sizeof(most), "%llu seen", (unsigned long long)peak);
    return add_columns(text, labels[kind], columns, most);
}

static bool add_run(struct buf *text, const struct report *report)
{
    char time[UNITS_MAX];

    if (report->started < 0)
        return true;
    return buf_printf(text, "\nwhile it ran, %s\n", units_time(report_run(report), time)) &&
           add_output(text, report, 0) && add_output(text, report, 1) &&
           add_usage(text, report, USAGE_CPU) && add_usage(text, report, USAGE_MEMORY) &&
           add_usage(text, report, USAGE_PIDS);
}

static bool add_marks(struct buf *text, const struct report *report)
{
    bool ok = buf_append_text(text, "\nwhat happened\n");

    for (size_t i = 0; ok && i < report->mark_count; i++) {
        const struct mark *mark = &report->marks[i];

        ok = add_time(text, mark->kind, mark->at) && print_escape(text, mark->text) &&
             buf_append_text(text, "\n");
    }
    if (ok && report->marks_more)
        ok = buf_printf(text, "  and %zu more\n", report->marks_more);
    if (ok && report->log_damaged)
        ok = buf_append_text(text, "  The event log is damaged: what stands behind is unknown.\n");
    return ok;
}

static bool add_line(struct buf *text, const char *label, const char *value)
{
    return !value || (buf_printf(text, "%-9s ", label) && print_escape(text, value) &&
                      buf_append_text(text, "\n"));
}

static bool add_errors(struct buf *text, const struct report *report)
{
    const json_t *error;
    bool ok = true;

    for (size_t i = 0; ok && (error = report_error(report, i)); i++)
        ok = add_line(text, "error", json_text(error, "message")) &&
             add_line(text, "hint", json_text(error, "hint"));
    return ok;
}

static bool add_head(struct buf *text, const struct report *report)
{
    const json_t *image = json_object_get(report->result, "image");
    char state[REPORT_STATE_MAX], when[CLOCK_TEXT_MAX], time[UNITS_MAX];

    clock_text(&report->accepted, when);
    return add_line(text, "step", report->id) &&
           add_line(text, "state", report_state(report, state)) &&
           add_line(text, "accepted", when) &&
           add_line(text, "took", units_time(report->end, time)) &&
           add_line(text, "image", json_text(image, "reference")) &&
           add_line(text, "digest", json_text(image, "digest")) && add_errors(text, report);
}

/* The layers came within a part of the whole, which may be a small one. */
static void bounds(const struct spans *spans, int64_t *from, int64_t *whole)
{
    int64_t to = 0;

    *from = INT64_MAX;
    for (size_t i = 0; i < spans->count; i++) {
        const struct span *span = &spans->items[i];

        *from = span->start < *from ? span->start : *from;
        to = span->start + span->ns > to ? span->start + span->ns : to;
    }
    *whole = to - *from;
}

bool report_text(const struct report *report, struct buf *text)
{
    int64_t from, whole;

    bounds(&report->layers, &from, &whole);
    return add_head(text, report) &&
           add_spans(text, "phases", &report->phases, 0, report->end, false) &&
           add_spans(text, "layers of the pull", &report->layers, from, whole, true) &&
           add_run(text, report) && add_marks(text, report);
}
