/* What follows from a report, for all its forms. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "shim/report/report.h"

#define US_PER_MS 1000.0

int64_t report_run(const struct report *report)
{
    int64_t end = report->ended >= 0 ? report->ended : report->end;

    return report->started >= 0 && end > report->started ? end - report->started : 0;
}

const char *report_state(const struct report *report, char text[REPORT_STATE_MAX])
{
    const char *outcome = json_text(report->result, "outcome");

    if (report->state != LEDGER_FINISHED)
        return report->state == LEDGER_ACCEPTED ? "accepted" : "running";
    snprintf(text, REPORT_STATE_MAX, "%.30s, status %d", outcome ? outcome : "?",
             (int)json_integer_value(json_object_get(report->result, "exit_code")));
    return text;
}

/* The one that decided, and what else was wrong. */
const json_t *report_error(const struct report *report, size_t i)
{
    const json_t *error = json_object_get(report->result, "error"), *violation;
    const char *message = json_text(error, "message"), *other;
    size_t j;

    if (!message || i == 0)
        return message ? error : NULL;
    json_array_foreach (json_object_get(report->result, "violations"), j, violation) {
        other = json_text(violation, "message");
        if (other && strcmp(other, message) != 0 && --i == 0)
            return violation;
    }
    return NULL;
}

static bool is_known(const struct report *report, enum usage_kind kind)
{
    for (size_t i = 0; i < report->samples->count; i++) {
        if (report->samples->items[i].values[kind] != USAGE_UNKNOWN)
            return true;
    }
    return false;
}

const char *report_why_unknown(const struct report *report, enum usage_kind kind)
{
    if (is_known(report, kind))
        return NULL;
    if (report->started < 0)
        return report->state == LEDGER_FINISHED ? "the command never ran"
                                                : "the command does not run yet";
    if (report_run(report) < 2 * SAMPLES_EVERY_MS * NS_PER_MS && report->ended < 0 &&
        report->state != LEDGER_FINISHED)
        return "nobody has looked yet";
    if (report_run(report) < 2 * SAMPLES_EVERY_MS * NS_PER_MS)
        return "the command ended before it was looked at, a tenth of a second after its start";
    if (!report->looked)
        return "no samples were kept";
    return "the processes of the cell cannot be seen from where stepcell ran";
}

uint64_t report_peak(const struct report *report, enum usage_kind kind, bool *whole)
{
    uint64_t peak = 0;

    *whole = kind == USAGE_MEMORY && report->samples->memory_peak != USAGE_UNKNOWN;
    if (*whole)
        return report->samples->memory_peak;
    for (size_t i = 0; i < report->samples->count; i++) {
        uint64_t value = report->samples->items[i].values[kind];

        if (value != USAGE_UNKNOWN && value > peak)
            peak = value;
    }
    return peak;
}

/* Processors in use since the sample before; before the first one there was nothing. */
static double processors(const struct sample *before, const struct sample *now)
{
    uint64_t from = before ? before->values[USAGE_CPU] : 0, ms = before ? before->ms : 0;
    uint64_t to = now->values[USAGE_CPU];

    if (from == USAGE_UNKNOWN || to == USAGE_UNKNOWN || to < from || now->ms <= ms)
        return -1;
    return (double)(to - from) / ((double)(now->ms - ms) * US_PER_MS);
}

size_t report_points(const struct report *report, enum usage_kind kind,
                     struct point points[REPORT_POINTS_MAX])
{
    const struct samples *samples = report->samples;
    size_t count = 0;

    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->items[i];
        uint64_t value = sample->values[kind];
        struct point point = {(int64_t)sample->ms * NS_PER_MS,
                              value == USAGE_UNKNOWN ? -1 : (double)value};

        if (kind == USAGE_CPU) {
            point.y = processors(i ? sample - 1 : NULL, sample);
            /* What is a mean over a span begins where the span does. */
            if (i == 0)
                points[count++] = (struct point){0, point.y};
        }
        points[count++] = point;
    }
    return count;
}
