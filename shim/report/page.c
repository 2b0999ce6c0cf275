/*
 * A report as a page: one file that loads nothing and runs nothing. What comes from the step goes
 * through plot_text; everything else is a literal or a number. The policy in its head forbids
 * whatever would get past that.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "shim/report/plot.h"
#include "shim/report/style.h"
#include "shim/units.h"

#define LAYER_NAME 12 /* digits of a digest that are shown */

static bool put(struct buf *html, const char *literal)
{
    return buf_append_text(html, literal);
}

static bool put_text(struct buf *html, const char *text)
{
    return plot_text(html, text, strlen(text));
}

/* ---- the head ---- */

static const char *state_class(const struct report *report)
{
    const char *outcome = json_text(report->result, "outcome");

    if (report->state != LEDGER_FINISHED)
        return "now";
    return outcome && strcmp(outcome, "exited") == 0 &&
                   json_integer_value(json_object_get(report->result, "exit_code")) == 0
               ? "good"
               : "bad";
}

static bool put_head(struct buf *html, const struct report *report)
{
    char state[REPORT_STATE_MAX];

    return put(html, "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
                     "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=color-scheme content=\"light dark\">\n"
                     "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'\">\n<title>step ") &&
           put_text(html, report->id) && put(html, "</title>\n<style>") &&
           put(html, report_style) &&
           put(html, "</style>\n</head>\n<body>\n<main>\n<p class=kind>step</p>\n<h1>") &&
           put_text(html, report->id) &&
           buf_printf(html, "</h1>\n<p class=\"state %s\">", state_class(report)) &&
           put_text(html, report_state(report, state)) && put(html, "</p>\n");
}

static bool put_errors(struct buf *html, const struct report *report)
{
    const json_t *error;
    bool ok = true;

    for (size_t i = 0; ok && (error = report_error(report, i)); i++) {
        const char *message = json_text(error, "message"), *hint = json_text(error, "hint");

        ok = put(html, "<section class=error>\n<p>") && put_text(html, message) &&
             put(html, "</p>\n") &&
             (!hint ||
              (put(html, "<p class=dim>") && put_text(html, hint) && put(html, "</p>\n"))) &&
             put(html, "</section>\n");
    }
    return ok;
}

static bool put_fact(struct buf *html, const char *label, const char *value, bool wide)
{
    return !value || !*value ||
           (buf_printf(html, "<div%s><dt>%s</dt><dd>", wide ? " class=wide" : "", label) &&
            put_text(html, value) && put(html, "</dd></div>\n"));
}

static uint64_t output_bytes(const struct report *report, int stream)
{
    uint64_t all = 0;

    for (size_t i = 0; i < report->output[stream].count; i++)
        all += report->output[stream].bins[i];
    return all;
}

static bool put_facts(struct buf *html, const struct report *report)
{
    const json_t *image = json_object_get(report->result, "image");
    char when[CLOCK_TEXT_MAX], took[UNITS_MAX], ran[UNITS_MAX], out[UNITS_MAX], err[UNITS_MAX];

    clock_text(&report->accepted, when);
    when[strlen("2026-01-02T03:04:05")] = '\0';
    *strchr(when, 'T') = ' ';
    strcat(when, " UTC");
    return put(html, "<section>\n<dl>\n") && put_fact(html, "accepted", when, false) &&
           put_fact(html, "took", units_time(report->end, took), false) &&
           put_fact(html, "the command ran",
                    report->started >= 0 ? units_time(report_run(report), ran) : "never", false) &&
           put_fact(html, "engine", json_text(report->result, "engine"), false) &&
           put_fact(html, "platform", json_text(image, "platform"), false) &&
           put_fact(html, "stdout", units_size(output_bytes(report, 0), out), false) &&
           put_fact(html, "stderr", units_size(output_bytes(report, 1), err), false) &&
           put_fact(html, "image", json_text(image, "reference"), true) &&
           put_fact(html, "digest", json_text(image, "digest"), true) &&
           put(html, "</dl>\n</section>\n");
}

/* ---- time lines ---- */

static const char *phase_class(const char *name)
{
    if (strcmp(name, "run") == 0)
        return "run";
    return strcmp(name, "pull") == 0 || strcmp(name, "unpack") == 0 ? "pull" : "other";
}

static bool put_axis(struct buf *html, int64_t whole)
{
    char half[UNITS_MAX], all[UNITS_MAX];

    return buf_printf(html, "<div class=axis><span>0</span><span>%s</span><span>%s</span></div>\n",
                      units_time(whole / 2, half), units_time(whole, all));
}

static bool put_row_axis(struct buf *html, int64_t whole)
{
    return put(html, "<div class=row>") && put_axis(html, whole) && put(html, "</div>\n");
}

static bool put_row(struct buf *html, const char *name, size_t name_len, const struct span *span,
                    const char *kind, int64_t from, int64_t whole)
{
    char time[UNITS_MAX];

    return put(html, "<div class=row><span class=name>") && plot_text(html, name, name_len) &&
           put(html, "</span>") && plot_bar(html, kind, span->start - from, span->ns, whole) &&
           buf_printf(html, "<span class=num>%s", units_time(span->ns, time));
}

static bool put_phases(struct buf *html, const struct report *report)
{
    bool ok;

    if (report->phases.count == 0)
        return true;
    ok = put(html, "<section>\n<h2>Phases</h2>\n");
    for (size_t i = 0; ok && i < report->phases.count; i++) {
        const struct span *span = &report->phases.items[i];

        ok = put_row(html, span->name, strlen(span->name), span, phase_class(span->name), 0,
                     report->end) &&
             put(html, "</span></div>\n");
    }
    return ok && put_row_axis(html, report->end) && put(html, "</section>\n");
}

/* Of "sha256:0123…" the first digits, as everybody shows them. */
static const char *layer_name(const char *name, size_t *len)
{
    const char *colon = strchr(name, ':');

    name = colon ? colon + 1 : name;
    *len = strlen(name) < LAYER_NAME ? strlen(name) : LAYER_NAME;
    return name;
}

static bool put_layers(struct buf *html, const struct report *report)
{
    const struct spans *layers = &report->layers;
    int64_t from = INT64_MAX, to = 0;
    char size[UNITS_MAX];
    bool ok = true;

    for (size_t i = 0; i < layers->count; i++) {
        const struct span *span = &layers->items[i];

        from = span->start < from ? span->start : from;
        to = span->start + span->ns > to ? span->start + span->ns : to;
    }
    if (layers->count == 0)
        return true;
    ok = put(html, "<section>\n<h2>Layers of the pull</h2>\n");
    for (size_t i = 0; ok && i < layers->count; i++) {
        const struct span *span = &layers->items[i];
        size_t len;
        const char *name = layer_name(span->name, &len);

        ok = put_row(html, name, len, span, "pull", from, to - from) &&
             buf_printf(html, " <span class=dim>%s</span></span></div>\n",
                        units_size(span->bytes, size));
    }
    return ok && put_row_axis(html, to - from) && put(html, "</section>\n");
}

/* ---- plots ---- */

static bool begin_plot(struct buf *html, const char *title)
{
    return buf_printf(html, "<div class=plot><header><h3>%s</h3>\n<span>", title);
}

static bool begin_box(struct buf *html)
{
    return buf_printf(html,
                      "</span></header>\n<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=none "
                      "aria-hidden=true>",
                      PLOT_WIDTH, PLOT_HEIGHT);
}

static bool end_plot(struct buf *html, int64_t whole)
{
    return put(html, "</svg>\n") && put_axis(html, whole) && put(html, "</div>\n");
}

static double most_in(const struct rate *out, const struct rate *err)
{
    double most = 0;

    for (size_t i = 0; i < RATE_BINS; i++) {
        double both = (double)out->bins[i] + (double)err->bins[i];

        most = both > most ? both : most;
    }
    return most;
}

static bool put_output(struct buf *html, const struct report *report)
{
    const struct rate *out = &report->output[0], *err = &report->output[1];
    double most = most_in(out, err);
    int64_t run = report_run(report);
    char sizes[3][UNITS_MAX], width[UNITS_MAX];

    if (most == 0)
        return begin_plot(html, "Output") && put(html, "none</span></header></div>\n");
    return begin_plot(html, "Output") &&
           buf_printf(html,
                      "<i class=\"key out\"></i>stdout %s<i class=\"key err\"></i>stderr %s, "
                      "together at most %s in %s",
                      units_size(output_bytes(report, 0), sizes[0]),
                      units_size(output_bytes(report, 1), sizes[1]),
                      units_size((uint64_t)most, sizes[2]), units_time(out->width, width)) &&
           begin_box(html) && plot_columns(html, "out", out, NULL, run, most) &&
           plot_columns(html, "err", err, out, run, most) && end_plot(html, run);
}

/* What stands beside the title: the numbers that a plot cannot tell. */
static bool put_numbers(struct buf *html, const struct report *report, enum usage_kind kind,
                        double most)
{
    bool cgroup = report->samples->sources[kind] == USAGE_CGROUP;
    char text[UNITS_MAX];
    bool whole;
    uint64_t peak = report_peak(report, kind, &whole);

    switch (kind) {
    case USAGE_CPU:
        return buf_printf(html,
                          cgroup ? "%s in all, at most %.2f processors at once"
                                 : "%s and %.2f processors at once seen",
                          units_time((int64_t)peak * (NS_PER_MS / 1000), text), most);
    case USAGE_MEMORY:
        return buf_printf(html, "%s %s%s", units_size(peak, text), whole ? "at most" : "seen",
                          cgroup ? ", with the page cache"
                                 : ", resident; what processes share counts for each");
    case USAGE_PIDS:
    case USAGE_KINDS:
        break;
    }
    return buf_printf(html, "%llu seen", (unsigned long long)peak);
}

static bool put_usage(struct buf *html, const struct report *report, enum usage_kind kind)
{
    static const char *const titles[] = {[USAGE_CPU] = "Processors",
                                         [USAGE_MEMORY] = "Memory",
                                         [USAGE_PIDS] = "Processes and threads"};
    const char *why = report_why_unknown(report, kind);
    struct point points[REPORT_POINTS_MAX];
    size_t count = report_points(report, kind, points);
    int64_t run = report_run(report);
    double most = 0;

    if (why)
        return begin_plot(html, titles[kind]) &&
               buf_printf(html, "not measured: %s</span></header></div>\n", why);
    for (size_t i = 0; i < count; i++)
        most = points[i].y > most ? points[i].y : most;
    return begin_plot(html, titles[kind]) && put_numbers(html, report, kind, most) &&
           begin_box(html) && plot_line(html, points, count, run, most * 1.05) &&
           end_plot(html, run);
}

static bool put_run(struct buf *html, const struct report *report)
{
    if (report->started < 0)
        return true;
    return put(html, "<section>\n<h2>While the command ran</h2>\n") && put_output(html, report) &&
           put_usage(html, report, USAGE_CPU) && put_usage(html, report, USAGE_MEMORY) &&
           put_usage(html, report, USAGE_PIDS) && put(html, "</section>\n");
}

/* ---- what was said ---- */

static bool put_marks(struct buf *html, const struct report *report)
{
    bool ok = put(html, "<section>\n<h2>What happened</h2>\n<ol>\n");
    char time[UNITS_MAX];

    for (size_t i = 0; ok && i < report->mark_count; i++) {
        const struct mark *mark = &report->marks[i];

        ok = buf_printf(html, "<li class=%s><span class=at>%s</span><span class=what>%s</span><p>",
                        mark->kind, units_time(mark->at, time), mark->kind) &&
             put_text(html, mark->text) && put(html, "</p></li>\n");
    }
    ok = ok && put(html, "</ol>\n");
    if (ok && report->marks_more)
        ok = buf_printf(html, "<p class=dim>and %zu more</p>\n", report->marks_more);
    if (ok && report->log_damaged)
        ok = put(html,
                 "<p class=dim>The event log is damaged: what stands behind is unknown.</p>\n");
    return ok && put(html, "</section>\n");
}

/* What is cut begins with a whole line, where there is one. */
static bool put_tail(struct buf *html, const struct report *report)
{
    const char *text = report->tail.data, *newline;
    size_t len = report->tail.len;

    if (len == 0)
        return true;
    newline = report->tail_cut ? memchr(text, '\n', len - 1) : NULL;
    if (newline) {
        len -= (size_t)(newline + 1 - text);
        text = newline + 1;
    }
    return buf_printf(html, "<section>\n<h2>%s</h2>\n<div class=tail><pre>",
                      report->tail_cut ? "The end of its output" : "Its output") &&
           plot_text(html, text, len) && put(html, "</pre></div>\n</section>\n");
}

/* Of a step that failed, its last words first. */
static bool put_course(struct buf *html, const struct report *report)
{
    bool failed = strcmp(state_class(report), "bad") == 0;

    return (!failed || put_tail(html, report)) && put_phases(html, report) &&
           put_layers(html, report) && put_run(html, report) && (failed || put_tail(html, report));
}

bool report_page(const struct report *report, struct buf *html)
{
    return put_head(html, report) && put_errors(html, report) && put_facts(html, report) &&
           put_course(html, report) && put_marks(html, report) &&
           put(html, "<footer>Made by stepcell " STEPCELL_VERSION ". Times are counted from when "
                     "the step was accepted.</footer>\n</main>\n</body>\n</html>\n");
}
