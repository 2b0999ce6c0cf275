/* A report as JSON: docs/report.md. */
#include <string.h>

#include "base/clock.h"
#include "shim/report/report.h"

static const char *const kinds[USAGE_KINDS] = {
    [USAGE_CPU] = "cpu", [USAGE_MEMORY] = "memory", [USAGE_PIDS] = "pids"};

static double ms_of(int64_t ns)
{
    return (double)(ns / 1000) / 1000;
}

static json_t *spans_json(const struct spans *spans, bool with_bytes)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < spans->count; i++) {
        const struct span *span = &spans->items[i];
        json_t *item = json_pack("{s:s, s:f, s:f}", with_bytes ? "layer" : "name", span->name,
                                 "at_ms", ms_of(span->start), "ms", ms_of(span->ns));

        if (with_bytes)
            json_object_set_new(item, "bytes", json_integer((json_int_t)span->bytes));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *marks_json(const struct report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < report->mark_count; i++) {
        const struct mark *mark = &report->marks[i];

        json_array_append_new(list, json_pack("{s:f, s:s, s:o}", "at_ms", ms_of(mark->at), "kind",
                                              mark->kind, "text",
                                              json_bytes(mark->text, strlen(mark->text))));
    }
    return list;
}

static json_t *bins_json(const struct rate *rate)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < rate->count; i++)
        json_array_append_new(list, json_integer((json_int_t)rate->bins[i]));
    return list;
}

static json_t *output_json(const struct report *report)
{
    return json_pack("{s:f, s:o, s:o}", "every_ms", ms_of(report->output[0].width), "stdout",
                     bins_json(&report->output[0]), "stderr", bins_json(&report->output[1]));
}

static json_t *number_json(uint64_t value)
{
    return value == USAGE_UNKNOWN ? json_null() : json_integer((json_int_t)value);
}

static json_t *samples_json(const struct samples *samples)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < samples->count; i++) {
        const struct sample *sample = &samples->items[i];

        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:o}", "ms", (json_int_t)sample->ms,
                                              "cpu_us", number_json(sample->values[USAGE_CPU]),
                                              "memory", number_json(sample->values[USAGE_MEMORY]),
                                              "pids", number_json(sample->values[USAGE_PIDS])));
    }
    return list;
}

/* Where a number comes from, or why there is none. */
static json_t *sources_json(const struct report *report)
{
    static const char *const names[] = {[USAGE_CGROUP] = "cgroup", [USAGE_PROCESSES] = "processes"};
    json_t *sources = json_object();

    for (int kind = 0; sources && kind < USAGE_KINDS; kind++) {
        const char *why = report_why_unknown(report, (enum usage_kind)kind);

        json_object_set_new(sources, kinds[kind],
                            why ? json_pack("{s:n, s:s}", "source", "not_measured", why)
                                : json_pack("{s:s, s:n}", "source",
                                            names[report->samples->sources[kind]], "not_measured"));
    }
    json_object_set_new(json_object_get(sources, kinds[USAGE_MEMORY]), "peak",
                        number_json(report->samples->memory_peak));
    return sources;
}

json_t *report_json(const struct report *report)
{
    const char *state = report->state == LEDGER_FINISHED   ? "finished"
                        : report->state == LEDGER_ACCEPTED ? "accepted"
                                                           : "running";
    char when[CLOCK_TEXT_MAX];

    clock_text(&report->accepted, when);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:f, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:b, s:O?}",
        "schema", "stepcell.report/1", "id", report->id, "state", state, "accepted", when, "ms",
        ms_of(report->end), "started_at_ms",
        report->started >= 0 ? json_real(ms_of(report->started)) : json_null(), "run_ms",
        ms_of(report_run(report)), "phases", spans_json(&report->phases, false), "layers",
        spans_json(&report->layers, true), "output", output_json(report), "usage",
        sources_json(report), "samples", samples_json(report->samples), "marks", marks_json(report),
        "marks_left_out", (json_int_t)report->marks_more, "log_damaged", report->log_damaged,
        "result", report->result);
}
