#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "shim/relay/event_line.h"

#define ROUNDS 3000
#define HEAD                                                                                       \
    "{\"schema\":\"stepcell.event/1\",\"seq\":7,\"time\":\"2026-01-02T03:04:05.000000006Z\","      \
    "\"step\":\"s\",\"type\":\"output\",\"stream\":\"stdout\",\"text\":\""

static void other_lines_are_left_alone(void **state)
{
    static const char *const lines[] = {
        "",
        "{}",
        HEAD,
        HEAD "a",
        HEAD "a\"",
        HEAD "a\",\"more\":\"b\"}",
        HEAD "a\\\"}",
        HEAD "\\x\"}",
        HEAD "\\u0041\"}",
        HEAD "\\u00e9\"}",
        HEAD "\\u001\"}",
        HEAD "\\u0g00\"}",
        "{\"schema\":\"stepcell.event/"
        "1\",\"seq\":x,\"time\":\"t\",\"step\":\"s\",\"type\":\"output\","
        "\"stream\":\"stdout\",\"text\":\"a\"}",
        "{\"schema\":\"stepcell.event/"
        "1\",\"seq\":99999999999999999999999,\"time\":\"t\",\"step\":\"s\","
        "\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"a\"}",
        "{\"schema\":\"stepcell.event/"
        "1\",\"seq\":7,\"time\":\"t\",\"step\":\"s\",\"type\":\"output\","
        "\"stream\":\"stdout\",\"base64\":\"AAA*\"}",
        "{\"schema\":\"stepcell.event/"
        "1\",\"seq\":7,\"time\":\"t\",\"step\":\"s\",\"type\":\"output\","
        "\"stream\":\"other\",\"text\":\"a\"}",
        "{\"schema\":\"stepcell.event/"
        "1\",\"seq\":7,\"time\":\"t\",\"step\":\"s\",\"type\":\"warning\","
        "\"message\":\"a\"}",
    };
    autobuf text = BUF_INIT(1024);
    enum event_stream stream;
    uint64_t seq;

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++)
        assert_false(event_line_read(lines[i], strlen(lines[i]), &seq, &stream, &text));
    assert_true(event_line_read(HEAD "a\"}", strlen(HEAD "a\"}"), &seq, &stream, &text));
    assert_int_equal(seq, 7);
    assert_int_equal(stream, EVENT_STDOUT);
    assert_string_equal(text.data, "a");
}

/* Bytes of which many need an escape, are no ASCII, or are no UTF-8. */
static size_t some_bytes(char *bytes, size_t max)
{
    static const char *const pieces[] = {
        "\n",  "\"", "\\", "\t", "\x01", "\x1f", "\xc3\xa9",        "\xe2\x82\xac",
        "abc", " ",  "\r", "/",  "\x7f", "\xff", "\xf0\x9f\x98\x80"};
    size_t want = (size_t)rand() % max, len = 0;

    while (len < want) {
        /* The bytes that are no UTF-8 are rare, or nothing would be text. */
        size_t which = (size_t)rand() % COUNT(pieces);
        const char *piece = pieces[which];

        if (*piece == '\xff' && rand() % 50)
            continue;
        if (len + strlen(piece) > max)
            break;
        memcpy(bytes + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return len;
}

/* Reads one line with both parsers, and appends what it holds. */
static void take_line(const char *line, size_t len, struct buf *all)
{
    struct err err;
    autojson *event = json_parse(line, len, "an event", ERR_ENGINE_FAILED, &err);
    autobuf text = BUF_INIT(1 << 20);
    autooutput output = {0};
    enum event_stream stream;
    uint64_t seq;

    assert_non_null(event);
    assert_true(event_line_read(line, len, &seq, &stream, &text));
    assert_ok(event_read_output(event, &output, &err));
    assert_int_equal(seq, json_integer_value(json_object_get(event, "seq")));
    assert_int_equal(stream, output.stream);
    assert_int_equal(text.len, output.len);
    assert_memory_equal(text.data, output.bytes, text.len);
    assert_true(buf_append(all, text.data, text.len));
}

static void what_is_written_is_read(void **state)
{
    struct events events = EVENTS_INIT;
    char bytes[2000];
    struct err err;

    (void)state;
    srand(1);
    events.step = "some-step";
    events.log = memfd_create("log", MFD_CLOEXEC);
    for (int i = 0; i < ROUNDS; i++) {
        autobuf all = BUF_INIT(1 << 20);
        size_t len = some_bytes(bytes, sizeof(bytes));
        enum event_stream stream = i % 2 ? EVENT_STDERR : EVENT_STDOUT;
        char log[65536], *line = log, *end;
        ssize_t n;

        assert_int_equal(ftruncate(events.log, 0), 0);
        lseek(events.log, 0, SEEK_SET);
        assert_ok(events_output(&events, stream, bytes, len, &err));
        assert_ok(events_output_end(&events, stream, &err));
        n = pread(events.log, log, sizeof(log), 0);
        assert_true(n >= 0);
        for (; (end = memchr(line, '\n', (size_t)(log + n - line))); line = end + 1)
            take_line(line, (size_t)(end - line), &all);
        assert_ptr_equal(line, log + n);
        assert_int_equal(all.len, len);
        assert_memory_equal(all.data ? all.data : "", bytes, len);
    }
    close(events.log);
    events_release(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_lines_are_left_alone),
        cmocka_unit_test(what_is_written_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
