#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "shim/relay/events.h"

/* Events whose log is in memory. */
struct log {
    struct events events;
    int fd;
};

static struct log open_log(void)
{
    int fd = memfd_create("events", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    return (struct log){{.step = "step-1", .log = fd}, fd};
}

static void close_log(struct log *log)
{
    events_release(&log->events);
    close(log->fd);
}

/* All events, each of which is an object with the number that it should have. */
static json_t *events_of(const struct log *log)
{
    autobuf text = BUF_INIT(64 << 20);
    json_t *list = json_array();
    char chunk[65536], *line, *end;
    off_t at = 0;
    ssize_t n;
    struct err err;

    while ((n = pread(log->fd, chunk, sizeof(chunk), at)) > 0) {
        assert_true(buf_append(&text, chunk, (size_t)n));
        at += n;
    }
    for (line = text.data; line && (end = strchr(line, '\n')); line = end + 1) {
        json_t *event = json_parse(line, (size_t)(end - line), "an event", ERR_ENGINE_FAILED, &err);

        if (!event)
            fail_msg("%s: %.*s", err.message, (int)(end - line), line);
        assert_int_equal(json_integer_value(json_object_get(event, "seq")), json_array_size(list));
        assert_string_equal(json_text(event, "schema"), "stepcell.event/1");
        assert_string_equal(json_text(event, "step"), "step-1");
        assert_int_equal(strlen(json_text(event, "time")),
                         strlen("2026-01-01T00:00:00.123456789Z"));
        json_array_append_new(list, event);
    }
    return list;
}

/* The events as text| and [base64], one behind the other; what they give goes to `bytes`. */
static void check_events(const struct log *log, const char *expected, struct buf *bytes)
{
    autojson *list = events_of(log);
    autobuf shown = BUF_INIT(64 << 20);
    json_t *event;
    size_t i;

    assert_true(buf_append(&shown, "", 0));
    json_array_foreach (list, i, event) {
        const json_t *text = json_object_get(event, "text");
        const char *base64 = json_text(event, "base64");
        size_t len;
        autofree char *decoded = base64 ? base64_decode(base64, &len) : NULL;

        assert_string_equal(json_text(event, "type"), "output");
        assert_true(!text != !base64);
        assert_true(text ? buf_append(bytes, json_string_value(text), json_string_length(text))
                         : buf_append(bytes, decoded, len));
        assert_true(text ? buf_printf(&shown, "%s|", json_string_value(text))
                         : buf_printf(&shown, "[%s]", base64));
    }
    if (expected)
        assert_string_equal(shown.data, expected);
}

static void members_come_behind_what_every_event_has(void **state)
{
    struct log log = open_log();
    struct err err;

    (void)state;
    assert_ok(events_emit(&log.events, "warning", json_pack("{s:s}", "message", "\"\n\x01"), &err));
    assert_ok(events_emit(&log.events, "nothing", json_object(), &err));
    assert_refused(events_emit(&log.events, "none", NULL, &err), ERR_ENGINE_FAILED);
    assert_ok(events_emit(&log.events, "last", json_pack("{s:i}", "n", 1), &err));

    autojson *list = events_of(&log);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_text(json_array_get(list, 0), "message"), "\"\n\x01");
    assert_int_equal(json_object_size(json_array_get(list, 1)), 5);
    close_log(&log);
}

static void without_anybody_nothing_is_numbered(void **state)
{
    struct events events = EVENTS_INIT;
    struct err err;

    (void)state;
    assert_false(events_are_wanted(&events));
    assert_ok(events_emit(&events, "warning", json_object(), &err));
    assert_ok(events_output(&events, EVENT_STDOUT, "x", 1, &err));
    assert_ok(events_output_end(&events, EVENT_STDOUT, &err));
    assert_false(events_are_full(&events));
    assert_int_equal(events.next, 0);
    events_release(&events);
}

static void characters_that_writes_cut_are_whole(void **state)
{
    static const struct {
        const char *pieces[6], *expected;
    } cases[] = {
        {{"plain"}, "plain|"},
        {{"a\xc3", "\xa9"}, "a|\xc3\xa9|"},
        {{"\xe2", "\x82", "\xac!"}, "\xe2\x82\xac!|"},
        {{"\xf0", "\x9f", "\x98", "\x80", "\n"}, "\xf0\x9f\x98\x80|\n|"},
        /* A rest that is none, that never comes, and bytes that begin nothing. */
        {{"a\xc3", "b"}, "a|[ww==]b|"},
        {{"\xe2\x82", "\xe2\x82\xac"}, "[4oI=]\xe2\x82\xac|"},
        {{"a\xe2\x82"}, "a|[4oI=]"},
        {{"\xff"}, "[/w==]"},
        {{"\xc3", "\xff"}, "[ww==][/w==]"},
        {{"ok \x80 no"}, "[b2sggCBubw==]"},
        {{"\"\\\b\f\n\r\t\x1f"}, "\"\\\b\f\n\r\t\x1f|"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct log log = open_log();
        autobuf bytes = BUF_INIT(1024), given = BUF_INIT(1024);
        struct err err;

        for (size_t j = 0; cases[i].pieces[j]; j++) {
            const char *piece = cases[i].pieces[j];

            assert_ok(events_output(&log.events, EVENT_STDOUT, piece, strlen(piece), &err));
            buf_append_text(&given, piece);
        }
        assert_ok(events_output_end(&log.events, EVENT_STDOUT, &err));
        check_events(&log, cases[i].expected, &bytes);
        assert_string_equal(bytes.data, given.data);
        close_log(&log);
    }
}

static void streams_do_not_mix(void **state)
{
    struct log log = open_log();
    struct err err;

    (void)state;
    assert_ok(events_output(&log.events, EVENT_STDOUT, "\xc3", 1, &err));
    assert_ok(events_output(&log.events, EVENT_STDERR, "\xa9", 1, &err));
    assert_ok(events_output(&log.events, EVENT_STDOUT, "\xa9", 1, &err));

    autojson *list = events_of(&log);
    assert_string_equal(json_text(json_array_get(list, 0), "stream"), "stderr");
    assert_string_equal(json_text(json_array_get(list, 0), "base64"), "qQ==");
    assert_string_equal(json_text(json_array_get(list, 1), "text"), "\xc3\xa9");
    close_log(&log);
}

/* Whatever the bytes and however they are cut, the events give them again. */
static void any_bytes_add_up(void **state)
{
    static const char *const words[] = {"a",    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                        "\x80", "\n",       "\"\\",         "\xed\xa0\x80",
                                        "\xf4", ""};
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct log log = open_log();
        autobuf given = BUF_INIT(1 << 20), bytes = BUF_INIT(1 << 20);
        struct err err;

        while (given.len < 400) {
            const char *word = words[(unsigned)rand_r(&seed) % COUNT(words)];

            assert_true(buf_append(&given, word, *word ? strlen(word) : 1));
        }
        for (size_t at = 0, n; at < given.len; at += n) {
            n = 1 + (unsigned)rand_r(&seed) % (round % 2 ? 3 : 50);
            n = n < given.len - at ? n : given.len - at;
            assert_ok(events_output(&log.events, EVENT_STDERR, given.data + at, n, &err));
        }
        assert_ok(events_output_end(&log.events, EVENT_STDERR, &err));
        check_events(&log, NULL, &bytes);
        assert_int_equal(bytes.len, given.len);
        assert_memory_equal(bytes.data, given.data, given.len);
        close_log(&log);
    }
}

static void much_output_becomes_several_events(void **state)
{
    struct log log = open_log();
    autofree char *bytes = malloc(3 * EVENT_TEXT_MAX);
    autobuf got = BUF_INIT(1 << 20);
    struct err err;

    (void)state;
    /* The border of an event falls into a character. */
    for (size_t i = 0; i < EVENT_TEXT_MAX; i++)
        memcpy(bytes + 3 * i, "\xe2\x82\xac", 3);
    assert_ok(events_output(&log.events, EVENT_STDOUT, bytes, 3 * EVENT_TEXT_MAX, &err));
    check_events(&log, NULL, &got);
    assert_int_equal(got.len, 3 * EVENT_TEXT_MAX);
    assert_memory_equal(got.data, bytes, got.len);

    autojson *list = events_of(&log);
    assert_int_equal(json_array_size(list), 4);
    assert_int_equal(json_string_length(json_object_get(json_array_get(list, 0), "text")),
                     EVENT_TEXT_MAX - 1);
    close_log(&log);
}

/* What did not get into the log is no event: its number is given again. */
static void a_log_that_is_full_keeps_whole_lines(void **state)
{
    struct log log = open_log();
    autofree char *bytes = malloc(4 * EVENT_TEXT_MAX);
    struct rlimit before, limit;
    struct err err;

    (void)state;
    memset(bytes, 'x', 4 * EVENT_TEXT_MAX);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 5 * EVENT_TEXT_MAX / 2;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_refused(events_output(&log.events, EVENT_STDOUT, bytes, 4 * EVENT_TEXT_MAX, &err),
                   ERR_ENGINE_FAILED);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(log.events.next, 2);
    assert_ok(events_output(&log.events, EVENT_STDOUT, bytes, 1, &err));

    autojson *list = events_of(&log);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_text(json_array_get(list, 2), "text"), "x");
    close_log(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_behind_what_every_event_has),
        cmocka_unit_test(without_anybody_nothing_is_numbered),
        cmocka_unit_test(characters_that_writes_cut_are_whole),
        cmocka_unit_test(streams_do_not_mix),
        cmocka_unit_test(any_bytes_add_up),
        cmocka_unit_test(much_output_becomes_several_events),
        cmocka_unit_test(a_log_that_is_full_keeps_whole_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
