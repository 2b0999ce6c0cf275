/* WebSockets: frames, and the answer that opens one. */
#include "tests/unit/unit.h"

#include "runtime/kubernetes/pod_exec.h"
#include "runtime/net/websocket.h"

#define BYTES(text) text, sizeof(text) - 1

/* What came, as a text: "kind:bytes" of each piece, with "(" and ")" where a message begins and ends. */
struct seen {
    char text[1024];
    size_t len;
    uint64_t bytes;
};

static bool take(void *data, const struct ws_piece *piece, struct err *err)
{
    struct seen *seen = data;

    (void)err;
    seen->bytes += piece->len;
    seen->len += (size_t)snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len,
                                  "%s%d:%.*s%s", piece->first ? "(" : "", piece->kind,
                                  (int)(piece->len < 40 ? piece->len : 40), piece->bytes,
                                  piece->last ? ")" : "");
    return true;
}

/* Feeds all of it in pieces of `step` bytes. */
static bool feed(struct seen *seen, const char *bytes, size_t len, size_t step)
{
    struct ws_reader reader = {.take = take, .data = seen};
    struct err err = ERR_INIT;

    *seen = (struct seen){0};
    for (size_t at = 0; at < len; at += step) {
        if (!ws_reader_feed(&reader, bytes + at, len - at < step ? len - at : step, &err)) {
            assert_int_equal(err.code, ERR_ENGINE_FAILED);
            return false;
        }
    }
    return true;
}

static void test_frames_that_are_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *seen;
    } cases[] = {
        {BYTES(""), ""},
        {BYTES("\x82\x00"), "(2:)"},
        {BYTES("\x82\x03"
               "abc"),
         "(2:abc)"},
        {BYTES("\x81\x01"
               "a"
               "\x82\x01"
               "b"),
         "(1:a)(2:b)"},
        {BYTES("\x02\x01"
               "a"
               "\x00\x00"
               "\x80\x01"
               "b"),
         "(2:a2:2:b)"},
        {BYTES("\x02\x00"
               "\x80\x00"),
         "(2:2:)"},
        /* Between the frames of a message. */
        {BYTES("\x02\x01"
               "a"
               "\x89\x02hi"
               "\x80\x01"
               "b"),
         "(2:a(9:hi)2:b)"},
        {BYTES("\x8a\x00"), "(10:)"},
        {BYTES("\x88\x00"), "(8:)"},
        /* Nothing behind the last one is looked at. */
        {BYTES("\x88\x03\x03\xe8x"
               "\xff\xff\xff"),
         "(8:\x03\xe8x)"},
        {BYTES("\x82\x7e\x00\x7e"
               "0123456789012345678901234567890123456789012345678901234567890"
               "12345678901234567890123456789012345678901234567890123456789012345"),
         "(2:0123456789012345678901234567890123456789)"},
        /* The rest has not come yet. */
        {BYTES("\x82\x7f\x00\x00\x00\x00\x00\x01\x00"), ""},
        {BYTES("\x89\x02h"), ""},
    };
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (!feed(&seen, cases[i].bytes, cases[i].len, SIZE_MAX) ||
            strcmp(seen.text, cases[i].seen) != 0)
            fail_msg("case %zu gives '%s'", i, seen.text);
        /* Byte by byte it is the same, but for how a message is cut. */
        assert_true(feed(&seen, cases[i].bytes, cases[i].len, 1));
    }
}

static void test_a_message_of_any_length(void **state)
{
    static char bytes[70010] = "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70";
    struct seen seen;

    (void)state;
    for (size_t step = 4096; step < 70010; step *= 3) {
        assert_true(feed(&seen, bytes, sizeof(bytes), step));
        assert_int_equal(seen.bytes, 70000);
        assert_int_equal(seen.text[seen.len - 1], ')');
    }
}

static void test_frames_that_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {BYTES("\xc2\x00")},                                 /* an extension */
        {BYTES("\xa2\x00")},                                 /* */
        {BYTES("\x92\x00")},                                 /* */
        {BYTES("\x82\x80")},                                 /* a mask */
        {BYTES("\x83\x00")},                                 /* unknown kinds */
        {BYTES("\x87\x00")},                                 /* */
        {BYTES("\x8b\x00")},                                 /* */
        {BYTES("\x8f\x00")},                                 /* */
        {BYTES("\x80\x00")},                                 /* the rest of nothing */
        {BYTES("\x00\x00")},                                 /* */
        {BYTES("\x02\x00\x02\x00")},                         /* a message in another */
        {BYTES("\x02\x00\x80\x00\x80\x00")},                 /* more than its rest */
        {BYTES("\x09\x00")},                                 /* a ping in parts */
        {BYTES("\x89\x7e\x00\x7e")},                         /* a ping that is too long */
        {BYTES("\x88\x01x")},                                /* half a reason */
        {BYTES("\x82\x7e\x00\x7d")},                         /* lengths that are too long */
        {BYTES("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff")}, /* */
        {BYTES("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00")}, /* a negative one */
    };
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (feed(&seen, cases[i].bytes, cases[i].len, SIZE_MAX) ||
            feed(&seen, cases[i].bytes, cases[i].len, 1))
            fail_msg("case %zu was accepted", i);
    }
}

static void test_frames_that_are_written(void **state)
{
    static const size_t lengths[] = {0, 1, 5, 125, 126, 65535, 65536};
    static const size_t heads[] = {6, 6, 6, 6, 8, 8, 14};
    static const uint8_t mask[WS_MASK_SIZE] = {1, 2, 4, 8};
    static uint8_t frame[WS_HEAD_MAX + 65536], bytes[65536];

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    for (size_t i = 0; i < COUNT(lengths); i++) {
        assert_int_equal(ws_write(WS_BINARY, bytes, lengths[i], mask, frame),
                         heads[i] + lengths[i]);
        assert_int_equal(frame[0], 0x82);
        assert_int_equal(frame[1] & 0x80, 0x80);
        for (size_t at = 0; at < lengths[i]; at++)
            assert_int_equal(frame[heads[i] + at], 'x' ^ mask[at % 4]);
    }
    assert_int_equal(ws_write(WS_PONG, "ab", 2, mask, frame), 8);
    assert_memory_equal(frame, "\x8a\x82\x01\x02\x04\x08\x60\x60", 8);
}

static void test_heads(void **state)
{
    static const struct {
        const char *text;
        ssize_t len;
        long status;
        size_t headers;
    } cases[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nA: b\r\n\r\nrest", 62, 101, 2},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", 26, 403, 0},
        {"HTTP/1.1 200\r\n\r\n", 16, 200, 0},
        {"", 0, 0, 0},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", 0, 0, 0},
        {"HTTP/1.1 1011\r\n\r\n", -1, 0, 0},
        {"HTTP/1.1 10\r\n\r\n", -1, 0, 0},
        {"HTTP/1.1 +01\r\n\r\n", -1, 0, 0},
        {"HTTP/1.1 099 x\r\n\r\n", -1, 0, 0},
        {"HTTP/1.1 \r\n\r\n", -1, 0, 0},
        {"HTTP/1.0 101 x\r\n\r\n", -1, 0, 0},
        {"HTTP/2 101\r\n\r\n", -1, 0, 0},
        {"SSH-2.0\r\n\r\n", -1, 0, 0},
        {"\r\n\r\n", -1, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autoresponse response = {0};

        if (websocket_parse_head(cases[i].text, strlen(cases[i].text), &response) != cases[i].len)
            fail_msg("'%s'", cases[i].text);
        if (cases[i].len <= 0)
            continue;
        assert_int_equal(response.status, cases[i].status);
        assert_int_equal(response.headers.count, cases[i].headers);
    }
}

/* The example of RFC 6455, section 1.3. */
static void test_the_answer_to_a_key(void **state)
{
    autofree char *accept = websocket_accept_of("dGhlIHNhbXBsZSBub25jZQ==");

    (void)state;
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#define EXIT_CODE(code)                                                                            \
    "{\"status\": \"Failure\", \"reason\": \"NonZeroExitCode\", \"details\": {\"causes\": "        \
    "[{\"reason\": \"ExitCode\", \"message\": \"" code "\"}]}}"

static void test_ends(void **state)
{
    static const struct {
        const char *text;
        int status; /* -1: no command ran */
    } cases[] = {
        {"{\"metadata\": {}, \"status\": \"Success\"}", 0},
        {EXIT_CODE("7"), 7},
        {EXIT_CODE("255"), 255},
        {EXIT_CODE("256"), -1},
        {EXIT_CODE("-1"), -1},
        {EXIT_CODE(""), -1},
        {"{\"status\": \"Failure\", \"message\": \"no such file\"}", -1},
        {"{\"status\": \"Failure\", \"details\": {\"causes\": [{\"message\": \"7\"}, 7]}}", -1},
        {"{}", -1},
        {"[]", -1},
        {"success", -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = ERR_INIT;
        int status = -1;
        bool ok = pod_exec_parse_status(cases[i].text, strlen(cases[i].text), &status, &err);

        if (ok != (cases[i].status >= 0) || (ok && status != cases[i].status))
            fail_msg("'%s'", cases[i].text);
        if (!ok)
            assert_int_equal(err.code, ERR_ENGINE_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_that_are_read),
        cmocka_unit_test(test_a_message_of_any_length),
        cmocka_unit_test(test_frames_that_are_refused),
        cmocka_unit_test(test_frames_that_are_written),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_the_answer_to_a_key),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
