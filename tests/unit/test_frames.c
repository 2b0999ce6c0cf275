#include "tests/unit/unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "runtime/kubernetes/frames.h"

#define TIME "2026-01-01T00:00:00.000000001Z "
#define MARK TIME "stepcell/1 "

struct seen {
    struct buf text; /* what came, one letter for each kind and the bytes */
    bool stops;
};

static bool take(void *data, const struct frame *frame, struct err *err)
{
    static const char letters[] = "roevAlfxidE";
    struct seen *seen = data;

    if (seen->stops)
        return err_set(err, ERR_ENGINE_FAILED, "no more");
    assert_true(buf_printf(&seen->text, "%c%.*s", letters[frame->kind], (int)frame->len,
                           frame->bytes ? frame->bytes : ""));
    if (frame->kind >= FRAME_EXEC)
        assert_true(buf_printf(&seen->text, "%s%d%s", frame->is_signal ? "s" : "", frame->value,
                               frame->oom_killed ? "o" : ""));
    if (frame->kind == FRAME_FAIL)
        assert_true(buf_printf(&seen->text, "%s:%s:%s", err_code_text(frame->error.code),
                               frame->error.message, frame->error.hint));
    return true;
}

static const struct {
    const char *log;
    enum frame_progress progress;
    const char *seen;
} logs[] = {
    {MARK "1 ready;\n" MARK "2 out YQ==;\n" MARK "3 end exit 7 0 1 0 0;\n", FRAMES_ENDED, "roaE7"},
    {MARK "1 end signal 9 1 0 0 0;\n", FRAMES_ENDED, "Es9o"},
    {MARK "1 asked;\n", FRAMES_MORE, "A"},
    {MARK "1 exec 2;\n" MARK "2 end exit 125 0 0 0 0;\n", FRAMES_ENDED, "x2E125"},
    {MARK "1 fail mount.conflict bm8= -;\n", FRAMES_MORE, "fmount.conflict:no:"},
    {MARK "1 fail mount.conflict bm8= aGludA==;\n", FRAMES_MORE, "fmount.conflict:no:hint"},
    {MARK "1 var YQ==;\n" MARK "2 left YmM=;\n", FRAMES_MORE, "valbc"},
    /* Read once more. */
    {MARK "1 ready;\n" MARK "2 out YQ==;\n" MARK "1 ready;\n" MARK "2 out YQ==;\n" MARK
          "3 err YQ==;\n",
     FRAMES_MORE, "roaea"},
    /* Cut, and other words. */
    {MARK "1 ready;\n" MARK "2 out YQ", FRAMES_MORE, "r"},
    {"", FRAMES_MORE, ""},
    {"\n\n" TIME "hello\n" TIME "\nstepcell/1 1 ready\n", FRAMES_MORE, ""},
    {MARK "2 ready;\n", FRAMES_GAP, ""},
    {MARK "1 ready;\n" MARK "3 out YQ==;\n", FRAMES_GAP, "r"},
    /* Cut by a rotation: the rest comes by itself, and with a time. */
    {MARK "1 ready;\n" MARK "2 out YW\n" TIME "Jj;\n" MARK "3 out ZA==;\n", FRAMES_MORE, "roabcod"},
    {MARK "1 out YWJj\n" TIME ";\n", FRAMES_MORE, "oabc"},
    {TIME "step\n" TIME "cell/1 1 ready;\n", FRAMES_MORE, "r"},
    {MARK "1 out YW\n" TIME "some other words\n" TIME "Jj;\n", FRAMES_MORE, "oabc"},
    /* The rest of another one, or the beginning alone: what looks whole is not taken. */
    {MARK "1 out YWJj\n" MARK "2 ready;\n", FRAMES_GAP, ""},
    {MARK "1 end exit 0 0 0 0 0\n", FRAMES_MORE, ""},
    {MARK "1 ready;\n" TIME "YWJj;\n" MARK "3 out YQ==;\n", FRAMES_GAP, "r"},
    {MARK "1 out Y\n" TIME "YWJjZA==;\n" MARK "2 out YQ==;\n", FRAMES_GAP, ""},
    /* Frames that are none: their numbers are missing. */
    {MARK "1 out -;\n" MARK "2 ready;\n", FRAMES_GAP, ""},
    {"stepcell/2 1 ready;\n", FRAMES_MORE, ""},
    {MARK "01 ready;\n", FRAMES_MORE, ""},
    {MARK "1;\n", FRAMES_MORE, ""},
    {MARK "1 ;\n", FRAMES_MORE, ""},
    {MARK "1 ready ;\n", FRAMES_MORE, ""},
    {MARK "1 ready now;\n", FRAMES_MORE, ""},
    {MARK "1 Ready;\n", FRAMES_MORE, ""},
    {MARK "-1 ready;\n", FRAMES_MORE, ""},
    {MARK "99999999999999999999 ready;\n", FRAMES_MORE, ""},
    {MARK "1 out;\n", FRAMES_MORE, ""},
    {MARK "1 out ;\n", FRAMES_MORE, ""},
    {MARK "1 out -;\n", FRAMES_MORE, ""},
    {MARK "1 out YQ== ;\n", FRAMES_MORE, ""},
    {MARK "1 out Y*==;\n", FRAMES_MORE, ""},
    {MARK "1 exec;\n", FRAMES_MORE, ""},
    {MARK "1 exec 4096;\n", FRAMES_MORE, ""},
    {MARK "1 end exit 256 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end signal 0 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end signal 65 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end exit 0 2 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end exit 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end exit 0 0 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 end gone 0 0 0 0 0;\n", FRAMES_MORE, ""},
    {MARK "1 fail none bm8= -;\n", FRAMES_MORE, ""},
    {MARK "1 fail no.such bm8= -;\n", FRAMES_MORE, ""},
    {MARK "1 fail mount.conflict - -;\n", FRAMES_MORE, ""},
    {MARK "1 fail mount.conflict bm8=;\n", FRAMES_MORE, ""},
    {MARK "1 fail mount.conflict AGE= -;\n", FRAMES_MORE, ""},
    /* The end of something else. */
    {MARK "1 out YQ==;\n" MARK "2 end exit 0 0 2 0 0;\n", FRAMES_WRONG, "oaE0"},
    {MARK "1 err YQ==;\n" MARK "2 end exit 0 0 0 0 0;\n", FRAMES_WRONG, "eaE0"},
};

static void read_all(const char *log, size_t step, enum frame_progress expected, const char *text)
{
    struct seen seen = {.text = BUF_INIT(4096)};
    struct frame_reader reader = {.take = take, .data = &seen};
    enum frame_progress progress = FRAMES_MORE;
    struct err err = ERR_INIT;

    for (size_t at = 0, len = strlen(log); at < len && progress == FRAMES_MORE; at += step)
        progress = frame_reader_feed(&reader, log + at, at + step > len ? len - at : step, &err);
    if (progress != expected)
        fail_msg("%s: %d and not %d", log, (int)progress, (int)expected);
    assert_string_equal(seen.text.data ? seen.text.data : "", text);
    assert_int_equal(err.code != ERR_NONE, progress == FRAMES_WRONG);
    buf_release(&seen.text);
}

/* However it is cut into pieces. */
static void test_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(logs); i++) {
        read_all(logs[i].log, 1, logs[i].progress, logs[i].seen);
        read_all(logs[i].log, 7, logs[i].progress, logs[i].seen);
        read_all(logs[i].log, 100000, logs[i].progress, logs[i].seen);
    }
}

static void test_goes_on_after_a_break(void **state)
{
    static const char first[] = MARK "1 ready;\n" MARK "2 out YQ==;\n" MARK "3 ou";
    static const char again[] =
        MARK "2 out YQ==;\n" MARK "3 out Yg==;\n" MARK "4 end exit 0 0 2 0 0;\n";
    struct seen seen = {.text = BUF_INIT(4096)};
    struct frame_reader reader = {.take = take, .data = &seen};
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(frame_reader_feed(&reader, first, strlen(first), &err), FRAMES_MORE);
    assert_string_equal(reader.time, "2026-01-01T00:00:00.000000001Z");
    assert_int_equal(frame_reader_break(&reader, &err), FRAMES_MORE);
    assert_int_equal(frame_reader_feed(&reader, again, strlen(again), &err), FRAMES_ENDED);
    assert_string_equal(seen.text.data, "roaobE0");
    assert_int_equal(reader.lost, 0);
    buf_release(&seen.text);
}

static void test_counts_what_is_lost(void **state)
{
    static const char log[] = MARK "1 ready;\n" MARK "4 out YQ==;\n" MARK "6 end exit 0 0 9 0 0;\n";
    struct seen seen = {.text = BUF_INIT(4096)};
    struct frame_reader reader = {.take = take, .data = &seen, .gives_up = true};
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(frame_reader_feed(&reader, log, strlen(log), &err), FRAMES_ENDED);
    assert_string_equal(seen.text.data, "roaE0");
    assert_int_equal(reader.lost, 3);
    buf_release(&seen.text);
}

static void test_keeps_what_is_no_frame(void **state)
{
    struct seen seen = {.text = BUF_INIT(4096)};
    struct frame_reader reader = {.take = take, .data = &seen};
    struct err err = ERR_INIT;
    char longer[3 * FRAME_LINE_MAX];

    (void)state;
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\n';
    assert_int_equal(frame_reader_feed(&reader, "rpc error: \033gone\n", 17, &err), FRAMES_MORE);
    assert_string_equal(reader.stray, "error: ?gone");
    assert_int_equal(frame_reader_feed(&reader, longer, sizeof(longer), &err), FRAMES_MORE);
    assert_int_equal(frame_reader_feed(&reader, MARK "1 ready;\n", strlen(MARK "1 ready;\n"), &err),
                     FRAMES_MORE);
    assert_string_equal(seen.text.data, "r");
    seen.stops = true;
    assert_int_equal(frame_reader_feed(&reader, MARK "2 ready;\n", strlen(MARK "2 ready;\n"), &err),
                     FRAMES_WRONG);
    assert_string_equal(err.message, "no more");
    buf_release(&seen.text);
}

/* What the one side writes, the other reads, and no line is longer than runtimes take. */
static void test_round(void **state)
{
    struct seen seen = {.text = BUF_INIT(65536)};
    struct frame_reader reader = {.take = take, .data = &seen};
    struct frame_writer writer = {0};
    struct err err = ERR_INIT, failure = ERR_INIT;
    char line[FRAME_LINE_MAX], bytes[FRAME_BYTES_MAX];
    size_t len[7] = {0};

    (void)state;
    memset(bytes, '\xff', sizeof(bytes));
    err_set(&failure, ERR_MOUNT_CONFLICT, "%02047d", 1);
    err_hint(&failure, "%01023d", 2);
    for (size_t i = 0; i < COUNT(len); i++) {
        len[i] = i == 0   ? frame_write_ready(&writer, line)
                 : i == 1 ? frame_write_bytes(&writer, FRAME_OUT, bytes, sizeof(bytes), line)
                 : i == 2 ? frame_write_bytes(&writer, FRAME_ERR, "", 1, line)
                 : i == 3 ? frame_write_bytes(&writer, FRAME_VAR, "a=b", 3, line)
                 : i == 4 ? frame_write_number(&writer, FRAME_EXEC, 2, line)
                 : i == 5 ? frame_write_failure(&writer, &failure, line)
                          : frame_write_end(&writer, true, 15, true, line);
        assert_true(len[i] + FRAME_TIME_MAX < FRAME_LINE_MAX && line[len[i] - 1] == '\n');
        assert_int_equal(strlen(line), len[i]);
        assert_int_equal(frame_reader_feed(&reader, TIME, strlen(TIME), &err), FRAMES_MORE);
        assert_int_equal(frame_reader_feed(&reader, line, len[i], &err),
                         i + 1 == COUNT(len) ? FRAMES_ENDED : FRAMES_MORE);
    }
    assert_int_equal(reader.counts[0], FRAME_BYTES_MAX);
    assert_int_equal(reader.number, COUNT(len));
    buf_release(&seen.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_goes_on_after_a_break),
        cmocka_unit_test(test_counts_what_is_lost),
        cmocka_unit_test(test_keeps_what_is_no_frame),
        cmocka_unit_test(test_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
