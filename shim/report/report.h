/*
 * The report of a durable step: what happened when (docs/design/report.md). Read once out of the
 * step's directory, then shown as text, as JSON or as a page.
 *
 * All times are nanoseconds since the step was accepted. Everything that is text may come from the
 * step, and is shown escaped.
 */
#ifndef STEPCELL_SHIM_REPORT_REPORT_H
#define STEPCELL_SHIM_REPORT_REPORT_H

#include "base/buf.h"
#include "shim/report/rate.h"
#include "shim/state/ledger.h"
#include "shim/state/samples.h"
#include "shim/state/step_dir.h"

#define REPORT_SPANS_MAX 160  /* phases, or layers */
#define REPORT_MARKS_MAX 200  /* things that were said; further ones are counted */
#define REPORT_TAIL_MAX  8192 /* bytes of the end of the output */

/* Something that took its time. */
struct span {
    char *name;
    int64_t start, ns;
    uint64_t bytes; /* of a layer */
};

struct spans {
    struct span items[REPORT_SPANS_MAX];
    size_t count;
};

/* Something that was said. */
struct mark {
    int64_t at;
    const char *kind; /* static */
    char *text;
};

struct report {
    const char *id; /* borrowed */
    enum ledger_record state;
    json_t *records, *result; /* of the ledger; NULL while there is none */
    struct timespec accepted;
    int64_t end;            /* of the step, or of what is known of it */
    int64_t started, ended; /* of the command: -1 for not */
    struct spans phases, layers;
    struct mark marks[REPORT_MARKS_MAX];
    size_t mark_count, marks_more;
    struct rate output[2]; /* since the command has started */
    struct samples *samples;
    bool looked; /* there is a file of them, though it may hold none */
    struct buf tail;
    bool tail_cut, log_damaged;
};

#define REPORT_INIT ((struct report){.started = -1, .ended = -1, .tail = {.max = REPORT_TAIL_MAX}})

bool report_read(const struct step_dir *step, const char *id, enum ledger_record state,
                 struct report *report, struct err *err);
void report_release(struct report *report);
#define autoreport CLEANUP(report_release) struct report

/* What went wrong, as in the result (`code`, `message`, `hint`), from 0 on; NULL for no more. */
const json_t *report_error(const struct report *report, size_t i);

/* Why a number of the cell is not there, or NULL when it is. */
const char *report_why_unknown(const struct report *report, enum usage_kind kind);

/*
 * The most of it that there was, where the kernel has counted that (`*whole`), else that was seen;
 * the last, and so the whole, of processor time.
 */
uint64_t report_peak(const struct report *report, enum usage_kind kind, bool *whole);

/*
 * A number of the cell over time, as points: `x` in ns since the command has started, `y` in bytes,
 * tasks or processors. How many; gaps have a negative `y`.
 */
#define REPORT_POINTS_MAX (SAMPLES_MAX + 1)
struct point {
    int64_t x;
    double y;
};

size_t report_points(const struct report *report, enum usage_kind kind,
                     struct point points[REPORT_POINTS_MAX]);

/* How long the command ran, or has run; 0 when it never did. */
int64_t report_run(const struct report *report);

/* "exited 7", "running": how the step stands, static or in `text`. */
#define REPORT_STATE_MAX 64
const char *report_state(const struct report *report, char text[REPORT_STATE_MAX]);

json_t *report_json(const struct report *report);
bool report_text(const struct report *report, struct buf *text);
bool report_page(const struct report *report, struct buf *html);

#endif
