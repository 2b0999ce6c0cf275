/* Frames of a visit: what goes over the API's exec. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "runtime/kubernetes/visit_frames.h"

#define BYTES(text) text, sizeof(text) - 1

struct seen {
    char text[1024];
    size_t len;
};

static bool take(void *data, const struct visit_frame *frame)
{
    struct seen *seen = data;

    seen->len += (size_t)snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len,
                                  "%d:%zu:%u:%u ", frame->kind, frame->len,
                                  frame->len == 4 || frame->len == 8 ? frame->number : 0,
                                  frame->len == 8 ? frame->value : 0);
    return frame->kind != VISIT_ENDED;
}

static bool feed(struct seen *seen, const void *bytes, size_t len, size_t step)
{
    struct visit_reader reader = {.take = take, .data = seen};
    const char *at = bytes;

    *seen = (struct seen){0};
    for (; len > 0; at += step, len -= step) {
        step = step < len ? step : len;
        if (!visit_reader_feed(&reader, at, step))
            return false;
    }
    return true;
}

static void test_what_is_written_is_read(void **state)
{
    static const char bytes[VISIT_BYTES_MAX];
    static uint8_t text[4 * VISIT_FRAME_MAX];
    size_t len = 0, steps[] = {1, 3, 4, 5, 4096, sizeof(text)};
    struct seen seen;

    (void)state;
    len += visit_write(VISIT_ATTACH, NULL, 0, text + len);
    len += visit_write(VISIT_IN, bytes, VISIT_BYTES_MAX, text + len);
    len += visit_write(VISIT_OUT, bytes, 1, text + len);
    len += visit_write_number(VISIT_SIZE, 0x001f0061, text + len);
    len += visit_write_number(VISIT_TAKEN, UINT32_MAX, text + len);
    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_true(feed(&seen, text, len, steps[i]));
        assert_string_equal(seen.text, "3:0:0:0 4:16384:0:0 11:1:0:0 8:4:2031713:0 "
                                       "13:4:4294967295:0 ");
    }
    /* Nothing behind the last one. */
    len = visit_write_end(10, 256, text);
    assert_false(feed(&seen, text, len, 1));
    assert_string_equal(seen.text, "14:8:10:256 ");
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {BYTES("\0\0\0\0")},               /* no kind */
        {BYTES("\x0f\0\0\0")},             /* an unknown one */
        {BYTES("\xff\0\0\0")},             /* */
        {BYTES("\x04\0\0\0")},             /* no bytes */
        {BYTES("\x04\0\x40\x01")},         /* too many */
        {BYTES("\x04\xff\xff\xff")},       /* */
        {BYTES("\x02\0\0\x01")},           /* bytes where there are none */
        {BYTES("\x07\0\0\x03\0\0\x01")},   /* half a number */
        {BYTES("\x07\0\0\x08\0\0\x01\0")}, /* two of them */
        {BYTES("\x0e\0\0\x04\0\0\x01\0")}, /* half an end */
        {BYTES("HTTP/1.1 200 OK\r\n")},    /* another protocol */
    };
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (feed(&seen, cases[i].bytes, cases[i].len, 1) ||
            feed(&seen, cases[i].bytes, cases[i].len, SIZE_MAX) || seen.len > 0)
            fail_msg("case %zu was accepted", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
