/* The parts of a report: escaped text, plots, bins, and numbers as people read them. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "shim/print.h"
#include "shim/report/plot.h"
#include "shim/report/report.h"
#include "shim/units.h"

#define TEXT_MAX 65536

static void text_is_escaped(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *html;
    } cases[] = {
        {"", 0, ""},
        {"plain", 5, "plain"},
        {"<script>&\"'", 11, "&lt;script&gt;&amp;&quot;&#39;"},
        {"&amp;", 5, "&amp;amp;"},
        {"a\nb\tc", 5, "a\nb\tc"},
        {"\r\x1b[1m\x7f", 6, "\\x0d\\x1b[1m\\x7f"},
        {"a\0b", 3, "a\\x00b"},
        {"\xc3\xa4", 2, "\xc3\xa4"},
        {"\xc3", 1, "\\xc3"},
        {"\xc3<", 2, "\\xc3&lt;"},
        {"\xc0\xbc", 2, "\\xc0\\xbc"}, /* "<" in two bytes */
        {"\xc2\x85", 2, "\\xc2\\x85"},
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
        {"\xe2\x80\xae", 3, "\\xe2\\x80\\xae"},
        {"\xf0\x9f\x9a\x80", 4, "\xf0\x9f\x9a\x80"},
        {"\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autobuf html = BUF_INIT(TEXT_MAX);

        assert_true(plot_text(&html, cases[i].text, cases[i].len));
        assert_string_equal(html.data ? html.data : "", cases[i].html);
    }
}

static void no_bytes_get_through(void **state)
{
    (void)state;
    for (unsigned int seed = 1; seed < 2000; seed++) {
        autobuf html = BUF_INIT(TEXT_MAX);
        char bytes[32];

        srand(seed);
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)rand();
        assert_true(plot_text(&html, bytes, sizeof(bytes)));
        assert_int_equal(strcspn(html.data, "<>\"'"), html.len);
    }
}

/* A text that does not fit is refused, not cut. */
static void limits_hold(void **state)
{
    autobuf html = BUF_INIT(4);

    (void)state;
    assert_false(plot_text(&html, "<a", 2));
}

static void bars_stay_in_their_box(void **state)
{
    static const struct {
        int64_t start, ns, whole;
        const char *has;
    } cases[] = {
        {0, 100, 100, "x=0.0 width=1000.0"},   {50, 25, 100, "x=500.0 width=250.0"},
        {0, 0, 100, "x=0.0 width=3.0"},        {100, 0, 100, "x=997.0 width=3.0"},
        {-50, 25, 100, "x=0.0 width=250.0"},   {50, 5000, 100, "x=500.0 width=500.0"},
        {500, 5000, 100, "x=997.0 width=3.0"}, {0, 0, 0, "x=0.0 width=3.0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autobuf html = BUF_INIT(TEXT_MAX);

        assert_true(plot_bar(&html, "run", cases[i].start, cases[i].ns, cases[i].whole));
        print_message("%s\n", html.data);
        assert_non_null(strstr(html.data, cases[i].has));
    }
}

static void lines_have_gaps(void **state)
{
    const struct point points[] = {{0, 1}, {10, 2}, {20, -1}, {30, 1}, {40, -1}, {50, -1}};
    autobuf html = BUF_INIT(TEXT_MAX), none = BUF_INIT(TEXT_MAX);

    (void)state;
    assert_true(plot_line(&html, points, COUNT(points), 50, 2));
    assert_string_equal(html.data, "<path class=area d=\"M0.0 100 L0.0 50.0 L200.0 0.0 V100 Z\"/>"
                                   "<path class=line d=\"M0.0 50.0 L200.0 0.0\"/>"
                                   "<path class=area d=\"M600.0 100 L600.0 50.0 h3.0 V100 Z\"/>"
                                   "<path class=line d=\"M600.0 50.0 h3.0\"/>");
    assert_true(plot_line(&none, points + 4, 2, 50, 2));
    assert_int_equal(none.len, 0);
}

static void bins_keep_everything(void **state)
{
    struct rate rate = {0}, other = {0};
    uint64_t all = 0;

    (void)state;
    for (int64_t at = -5; at < 1000; at++)
        rate_add(&rate, at * 100000000, 3);
    for (size_t i = 0; i < RATE_BINS; i++)
        all += rate.bins[i];
    assert_int_equal(all, 1005 * 3);
    assert_true(rate.count <= RATE_BINS && rate.count > RATE_BINS / 2);
    assert_true((int64_t)rate.count * rate.width > 999 * INT64_C(100000000));
    rate_add(&rate, INT64_MAX, 1);
    assert_true(rate.count <= RATE_BINS);
    rate_add(&other, 0, 7);
    rate_align(&other, &rate);
    assert_true(other.width == rate.width && other.bins[0] == 7 && other.count == 1);
}

static void times_and_sizes(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } times[] = {
        {-1, "0.0 ms"},
        {400000, "0.4 ms"},
        {12000000, "12 ms"},
        {1500000000, "1.5 s"},
        {INT64_C(307000000000), "5 min 07 s"},
        {INT64_C(7500000000000), "2 h 05 min"},
        {INT64_MAX, "2562047 h 47 min"},
    };
    char text[UNITS_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++)
        assert_string_equal(units_time(times[i].ns, text), times[i].text);
    assert_string_equal(units_size(999, text), "999 B");
    assert_string_equal(units_size(1200, text), "1.2 kB");
    assert_string_equal(units_size(129000000, text), "129 MB");
    assert_string_equal(units_size(UINT64_MAX, text), "18446744 TB");
}

static void times_are_read_as_they_are_written(void **state)
{
    static const char *const bad[] = {
        "",
        "now",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.000000006",
        "2026-01-02T03:04:05.000000006Z ",
        "2026-13-02T03:04:05.000000006Z",
        "2026-02-30T03:04:05.000000006Z",
        "2026-01-02T24:04:05.000000006Z",
        "2026-01-02T03:04:05.-00000006Z",
        "+026-01-02T03:04:05.000000006Z",
        "2026-01-02 03:04:05.000000006Z",
        " 2026-01-02T03:04:05.000000006Z",
    };
    const struct timespec times[] = {{0, 0}, {1767323045, 6}, {4102444800, 999999999}};
    struct timespec back;
    char text[CLOCK_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        clock_text(&times[i], text);
        assert_true(clock_parse(text, &back));
        assert_int_equal(back.tv_sec, times[i].tv_sec);
        assert_int_equal(back.tv_nsec, times[i].tv_nsec);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(clock_parse(bad[i], &back));
}

static void what_is_not_measured_says_why(void **state)
{
    static const struct {
        enum ledger_record state;
        int64_t started, ended, end;
        const char *why;
    } cases[] = {
        {LEDGER_SUPERVISED, -1, -1, 50, "the command does not run yet"},
        {LEDGER_FINISHED, -1, -1, 50, "the command never ran"},
        {LEDGER_STARTED, 10, -1, 60, "nobody has looked yet"},
        {LEDGER_STARTED, 10, -1, 600, "no samples were kept"},
        {LEDGER_ENDED, 10, 60, 60, "the command ended before it was looked at"},
        {LEDGER_FINISHED, 10, 60, 600, "the command ended before it was looked at"},
    };
    struct samples *samples = calloc(1, sizeof(*samples));

    (void)state;
    assert_non_null(samples);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct report report = REPORT_INIT;
        const char *why;

        report.samples = samples;
        report.state = cases[i].state;
        report.started = cases[i].started < 0 ? -1 : cases[i].started * NS_PER_MS;
        report.ended = cases[i].ended < 0 ? -1 : cases[i].ended * NS_PER_MS;
        report.end = cases[i].end * NS_PER_MS;
        why = report_why_unknown(&report, USAGE_CPU);
        assert_memory_equal(why, cases[i].why, strlen(cases[i].why));
    }
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(no_bytes_get_through),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(bars_stay_in_their_box),
        cmocka_unit_test(lines_have_gaps),
        cmocka_unit_test(bins_keep_everything),
        cmocka_unit_test(times_and_sizes),
        cmocka_unit_test(times_are_read_as_they_are_written),
        cmocka_unit_test(what_is_not_measured_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
