/*
 * The parts of a page: escaped text and plots (pure). What these append is safe whatever it is made
 * of: numbers are numbers, and texts are escaped.
 */
#ifndef STEPCELL_SHIM_REPORT_PLOT_H
#define STEPCELL_SHIM_REPORT_PLOT_H

#include "shim/report/report.h"

/* All plots are drawn in a box of this size, which the page stretches. */
#define PLOT_WIDTH  1000
#define PLOT_HEIGHT 100

/*
 * Appends text for HTML: & < > " ' as references; control characters but newline and tab, bytes
 * that are no UTF-8, and what changes the direction of a text, as \xNN.
 */
bool plot_text(struct buf *html, const char *bytes, size_t len);

/* A bar for what took from `start` to `start + ns` out of `whole`. `kind` is a class, static. */
bool plot_bar(struct buf *html, const char *kind, int64_t start, int64_t ns, int64_t whole);

/* A line with its area through points, of which those below 0 are gaps, up to `x` and `y`. */
bool plot_line(struct buf *html, const struct point *points, size_t count, int64_t x, double y);

/*
 * Columns of what came in each bin, up to `x` and `y`, standing on those of `below`, which has bins
 * of the same width, unless that is NULL. `kind` is a class, static.
 */
bool plot_columns(struct buf *html, const char *kind, const struct rate *rate,
                  const struct rate *below, int64_t x, double y);

#endif
