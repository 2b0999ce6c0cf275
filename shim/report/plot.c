#include "shim/report/plot.h"

#include "base/utf8.h"

#define BAR_HEIGHT 10
#define BAR_LEAST  3.0 /* of a bar's width, so that it can be seen */
#define RISE_LEAST 2.0 /* of a column's height, likewise */

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

bool plot_text(struct buf *html, const char *bytes, size_t len)
{
    bool ok = true;

    for (size_t i = 0; ok && i < len;) {
        const char *reference = entity(bytes[i]);
        size_t n = bytes[i] == '\n' || bytes[i] == '\t' ? 1 : utf8_harmless(bytes + i, len - i);

        if (reference)
            ok = buf_append_text(html, reference);
        else if (n)
            ok = buf_append(html, bytes + i, n);
        else
            ok = buf_printf(html, "\\x%02x", (unsigned char)bytes[i]);
        i += n ? n : 1;
    }
    return ok;
}

/* Between 0 and `most`. */
static double scaled(double value, double whole, double most)
{
    double at = whole > 0 ? value / whole * most : 0;

    return at < 0 ? 0 : at > most ? most : at;
}

static double at_most(double value, double most)
{
    return value > most ? most : value;
}

/* Where something begins that can be seen. */
static double beginning(double value, double whole)
{
    return at_most(scaled(value, whole, PLOT_WIDTH), PLOT_WIDTH - BAR_LEAST);
}

bool plot_bar(struct buf *html, const char *kind, int64_t start, int64_t ns, int64_t whole)
{
    double from = beginning((double)start, (double)whole);
    double width = at_most(scaled((double)ns, (double)whole, PLOT_WIDTH), PLOT_WIDTH - from);

    return buf_printf(html,
                      "<svg class=bar viewBox=\"0 0 %d %d\" preserveAspectRatio=none "
                      "aria-hidden=true><rect class=%s x=%.1f width=%.1f height=%d /></svg>",
                      PLOT_WIDTH, BAR_HEIGHT, kind, from, width < BAR_LEAST ? BAR_LEAST : width,
                      BAR_HEIGHT);
}

/* The points from *from on up to the next gap, as one path. */
static bool add_path(struct buf *html, const struct point *points, size_t from, size_t to,
                     int64_t x, double y, bool area)
{
    double first = scaled((double)points[from].x, (double)x, PLOT_WIDTH), last = first;
    bool ok = buf_printf(html, "<path class=%s d=\"M", area ? "area" : "line");

    if (area)
        ok = ok && buf_printf(html, "%.1f %d L", first, PLOT_HEIGHT);
    for (size_t i = from; ok && i < to; i++) {
        last = scaled((double)points[i].x, (double)x, PLOT_WIDTH);
        ok = buf_printf(html, "%s%.1f %.1f", i > from ? " L" : "", last,
                        PLOT_HEIGHT - scaled(points[i].y, y, PLOT_HEIGHT));
    }
    /* One point alone is a short line. */
    if (to - from == 1)
        ok = ok && buf_printf(html, " h%.1f", BAR_LEAST);
    if (area)
        ok = ok && buf_printf(html, " V%d Z", PLOT_HEIGHT);
    return ok && buf_append_text(html, "\"/>");
}

bool plot_line(struct buf *html, const struct point *points, size_t count, int64_t x, double y)
{
    bool ok = true;

    for (size_t from = 0, to; ok && from < count; from = to) {
        to = from + 1;
        if (points[from].y < 0)
            continue;
        while (to < count && points[to].y >= 0)
            to++;
        ok = add_path(html, points, from, to, x, y, true) &&
             add_path(html, points, from, to, x, y, false);
    }
    return ok;
}

/* Of what came in a bin of `rate`, if there is one. */
static double rise(const struct rate *rate, size_t i, double y)
{
    double height = rate ? scaled((double)rate->bins[i], y, PLOT_HEIGHT) : 0;

    return rate && rate->bins[i] > 0 && height < RISE_LEAST ? RISE_LEAST : height;
}

bool plot_columns(struct buf *html, const char *kind, const struct rate *rate,
                  const struct rate *below, int64_t x, double y)
{
    double width = scaled((double)rate->width, (double)x, PLOT_WIDTH);
    bool ok = true;

    for (size_t i = 0; ok && i < rate->count; i++) {
        double from = beginning((double)i * (double)rate->width, (double)x);
        double height = rise(rate, i, y);
        double base = at_most(rise(below, i, y), PLOT_HEIGHT - height);

        if (rate->bins[i] > 0)
            ok = buf_printf(html, "<rect class=%s x=%.1f y=%.1f width=%.1f height=%.1f />", kind,
                            from, PLOT_HEIGHT - base - height,
                            width < BAR_LEAST ? BAR_LEAST : width, height);
    }
    return ok;
}
