#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/base64.h"
#include "shim/relay/mask.h"
#include "shim/relay/mask_forms.h"
#include "tests/unit/mask_model.h"

#define SEED     20240611
#define STARS    MASK_TEXT
#define ANY_SIZE (SIZE_MAX / 2)

/* A generator of its own, so that a failure can be repeated everywhere. */
static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % limit;
}

static void random_bytes(char *bytes, size_t len, const char *alphabet)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] =
            alphabet ? alphabet[random_below((uint32_t)strlen(alphabet))] : (char)random_below(256);
}

/* Memory that is at its end: the allocation with this number fails, and all behind it. */
static long allocations_left = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool allocation_fails(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left == 0)
        return true;
    allocations_left--;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(old, size);
}

static void add(struct mask *mask, const char *value)
{
    struct err err = ERR_INIT;
    bool ignored = true;

    assert_ok(mask_add(mask, value, strlen(value), &ignored, &err));
    assert_false(ignored);
}

static void feed(struct mask_stream *stream, const char *bytes, size_t len, struct buf *to)
{
    struct err err = ERR_INIT;
    const char *out;
    size_t out_len;

    assert_ok(mask_feed(stream, bytes, len, &out, &out_len, &err));
    assert_true(buf_append(to, out, out_len));
}

static void end(struct mask_stream *stream, struct buf *to)
{
    struct err err = ERR_INIT;
    const char *out;
    size_t out_len;

    assert_ok(mask_end(stream, &out, &out_len, &err));
    assert_true(buf_append(to, out, out_len));
}

static void assert_text(const char *what, const struct buf *got, const char *expected, size_t len)
{
    if (got->len != len || (len && memcmp(got->data, expected, len) != 0))
        fail_msg("%s\n gives   '%s'\n not     '%.*s'", what, got->data, (int)len, expected);
}

static void assert_given(const char *what, const struct buf *got, const char *expected)
{
    assert_text(what, got, expected, strlen(expected));
}

/* Whole, byte by byte and in threes: always the same. */
static void assert_masked(const struct mask *mask, const char *text, size_t len,
                          const char *expected, size_t expected_len)
{
    autobuf whole = BUF_INIT(ANY_SIZE);
    struct err err = ERR_INIT;

    assert_ok(mask_text(mask, text, len, &whole, &err));
    assert_text(text, &whole, expected, expected_len);
    for (size_t piece = 1; piece <= 3; piece += 2) {
        CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
        autobuf pieces = BUF_INIT(ANY_SIZE);

        for (size_t i = 0; i < len; i += piece)
            feed(&stream, text + i, len - i < piece ? len - i : piece, &pieces);
        end(&stream, &pieces);
        assert_text(text, &pieces, expected, expected_len);
    }
}

static void assert_masks(const char *value, const char *text, const char *expected)
{
    struct mask *mask = mask_new();

    add(mask, value);
    assert_masked(mask, text, strlen(text), expected, strlen(expected));
    mask_free(mask);
}

struct sample {
    const char *value, *text, *expected;
};

static void check_samples(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_masks(samples[i].value, samples[i].text, samples[i].expected);
}

static void test_value(void **state)
{
    static const struct sample samples[] = {
        {"hunter2!", "", ""},
        {"hunter2!", "hunter2!", STARS},
        {"hunter2!", "the password is hunter2!.\n", "the password is " STARS ".\n"},
        {"hunter2!", "hunter2 hunter!hunter2", "hunter2 hunter!hunter2"},
        {"hunter2!", "hunthunter2!", "hunt" STARS},
        {"hunter2!", "HUNTER2!", "HUNTER2!"},
        {"hunter2!\n", "hunter2!\n", STARS "\n"},
        {"hunter2!\r\n\n", "hunter2!\r\n", STARS "\r\n"},
        {"brok", "broken", STARS "en"},
        /* Regions that touch are one each, those that share a byte are one. */
        {"abcd", "abcdabcd", STARS STARS},
        {"abab", "ababab", STARS},
        {"abab", "abababab", STARS},
        {"abab", "ababxabab", STARS "x" STARS},
        {"aaaa", "aaaaaaaaa", STARS},
        {"abca", "abcabcabca", STARS},
        {"    ", "a    b", "a" STARS "b"},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

static void test_several_values(void **state)
{
    struct mask *mask = mask_new();

    (void)state;
    add(mask, "bcde");
    add(mask, "abcdefgh");
    add(mask, "ghij");
    add(mask, "defg");
    assert_masked(mask, "abcdefghij", 10, STARS, 8);
    assert_masked(mask, "abcdefgij", 9, "a" STARS "ij", 11);
    assert_masked(mask, "bcdebcde", 8, STARS STARS, 16);
    assert_masked(mask, "bcdghij", 7, "bcd" STARS, 11);
    assert_masked(mask, "bcde", 4, STARS, 8);
    mask_free(mask);
}

static void test_lines(void **state)
{
    static const struct sample samples[] = {
        {"first\nsecond", "<first\nsecond>", "<" STARS ">"},
        {"first\nsecond", "<first\r\nsecond>", "<" STARS ">"},
        {"first\nsecond", "<firstsecond>", "<" STARS ">"},
        {"first\r\nsecond\r\n", "<first\nsecond\n>", "<" STARS "\n>"},
        {"first\r\nsecond\r\n", "<first\r\nsecond\r\n>", "<" STARS "\r\n>"},
        {"first\rsecond", "<first\rsecond> <first\nsecond>", "<" STARS "> <" STARS ">"},
        {"first\nsecond", "first, second", STARS ", " STARS},
        {"  first \n\tsecond\t", "(first) (second)", "(" STARS ") (" STARS ")"},
        {"  first \n\tsecond\t", "  first \n\tsecond\t", STARS},
        {"one\ntwo\nthree", "one two three onetwo", "one two " STARS " onetwo"},
        {"one\ntwo\nthree", "onetwothree", STARS},
        {"\n\na\n\nb", "a b ab \n\na\n\nb", "a b ab " STARS},
        {"\n\n\n\nabc", "abc", "abc"},
        {"\xc3\xa4\xc3\xb6\xc3\xbc\nvalue", "\xc3\xa4\xc3\xb6\xc3\xbc", "\xc3\xa4\xc3\xb6\xc3\xbc"},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

static void test_base64(void **state)
{
    static const struct sample samples[] = {
        /* Alone, and behind a character that ends no group. */
        {"s3cr3t-val?>", "czNjcjN0LXZhbD8+", STARS},
        {"s3cr3t-val?>", "czNjcjN0LXZhbD8-", STARS},
        {"s3cr3t-val?>", "=czNjcjN0LXZhbD8+Cg==,", "=" STARS ","},
        {"s3cr3t-val?>", "=czNjcjN0LXZhbD8-Cg,", "=" STARS ","},
        {"geheim>>>??", "Z2VoZWltPj4+Pz8=", STARS},
        {"geheim>>>??", "Z2VoZWltPj4-Pz8", STARS},
        {"geheim>>>??", "Z2VoZWltPj4+Pz8K", STARS},
        {"geheim>>>??\r\n", "Z2VoZWltPj4+Pz8NCg==", STARS},
        /* "x", "xy" and "xyz" in front, "!!!" behind. */
        {"s3cr3t-val?>", "eHMzY3IzdC12YWw/PiEhIQ==", "eH" STARS "iEhIQ=="},
        {"s3cr3t-val?>", "eHMzY3IzdC12YWw_PiEhIQ==", "eH" STARS "iEhIQ=="},
        {"s3cr3t-val?>", "eHlzM2NyM3QtdmFsPz4hISE=", "eHl" STARS "4hISE="},
        {"s3cr3t-val?>", "eHl6czNjcjN0LXZhbD8+ISEh", "eHl6" STARS "ISEh"},
        {"geheim>>>??", "eGdlaGVpbT4+Pj8/ISEh", "eG" STARS "ISEh"},
        {"geheim>>>??", "eHlnZWhlaW0-Pj4_PyEhIQ==", "eHl" STARS "yEhIQ=="},
        {"s3cr3t-val?>", "eHMzY3IzdC12YWx/PiEhIQ==", "eHMzY3IzdC12YWx/PiEhIQ=="},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

/* Lines of base64; those of RFC 2045 and of openssl. */
static char *wrap(const char *encoded, size_t columns, const char *line_end)
{
    struct buf out = BUF_INIT(ANY_SIZE);

    for (size_t i = 0; encoded[i]; i++) {
        if (i && i % columns == 0)
            buf_append_text(&out, line_end);
        buf_append(&out, encoded + i, 1);
    }
    return buf_take(&out);
}

/* The characters of a longer text's base64 that depend on the value alone. */
static void check_inside(const struct mask *mask, const char *value, size_t len)
{
    size_t front = random_below(6), behind = 1 + random_below(5);
    char text[64];
    size_t first = (8 * front + 5) / 6, last = 8 * (front + len) / 6;
    autofree char *encoded = NULL;
    autobuf expected = BUF_INIT(ANY_SIZE);

    memset(text, 0xff, sizeof(text));
    memcpy(text + front, value, len);
    encoded = base64_encode(text, front + len + behind);
    buf_append(&expected, encoded, first);
    buf_append_text(&expected, STARS);
    buf_append_text(&expected, encoded + last);
    assert_masked(mask, encoded, strlen(encoded), expected.data, expected.len);
}

static void test_base64_of_random_values(void **state)
{
    static const struct {
        size_t columns;
        const char *line_end;
    } ways[] = {{SIZE_MAX, ""}, {64, "\n"}, {64, "\r\n"}, {76, "\n"}, {76, "\r\n"}};

    (void)state;
    random_state = SEED;
    for (int i = 0; i < 300; i++) {
        struct mask *mask = mask_new();
        struct err err = ERR_INIT;
        size_t len = 4 + random_below(i % 2 ? 40 : 200);
        char value[256];
        bool ignored = true;

        random_bytes(value, len, NULL);
        value[0] = 'a';
        value[len - 1] = 'z';
        value[len] = '\n';
        assert_ok(mask_add(mask, value, len, &ignored, &err));
        assert_false(ignored);
        for (size_t k = 0; k < 2 * COUNT(ways); k++) {
            autofree char *encoded = base64_encode(value, len + k % 2);
            autofree char *wrapped = wrap(encoded, ways[k / 2].columns, ways[k / 2].line_end);

            assert_masked(mask, wrapped, strlen(wrapped), STARS, 8);
            wrapped[strcspn(wrapped, "=")] = '\0';
            assert_masked(mask, wrapped, strlen(wrapped), STARS, 8);
        }
        if (len < 40)
            check_inside(mask, value, len);
        mask_free(mask);
    }
}

static void test_percent(void **state)
{
    static const struct sample samples[] = {
        {"p@ss/w\xc3\xb6rd", "?x=p%40ss%2Fw%C3%B6rd&", "?x=" STARS "&"},
        {"p@ss/w\xc3\xb6rd", "?x=p%40ss%2fw%c3%b6rd&", "?x=" STARS "&"},
        {"p@ss/w\xc3\xb6rd", "?x=p%40ss/w%C3%B6rd&", "?x=" STARS "&"},
        {"p@ss/w\xc3\xb6rd", "?x=p%40ss/w%c3%b6rd&", "?x=" STARS "&"},
        {"a b!c", "a%20b%21c", STARS},
        {"a b!c", "a+b%21c", STARS},
        {"a b!c", "a%20b!c", STARS},
        {"a b!c", "a+b!c", STARS},
        {"a-_.~z+", "a-_.~z%2B", STARS},
        {"'(*)'x&", "'(*)'x%26", STARS},
        {"'(*)'x&", "%27%28%2A%29%27x%26", STARS},
        {"'(*)'x&", "%27%28%2a%29%27x%26", STARS},
        {"line\nnext", "line%0Anext", STARS},
        {"line\r\nnext", "line%0Anext line%0D%0Anext", STARS " " STARS},
        {"p@ss", "p%41ss", "p%41ss"},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

static void test_json(void **state)
{
    static const struct sample samples[] = {
        {"say \"hi\" \\o/", "{\"a\":\"say \\\"hi\\\" \\\\o/\"}", "{\"a\":\"" STARS "\"}"},
        {"say \"hi\" \\o/", "{\"a\":\"say \\\"hi\\\" \\\\o\\/\"}", "{\"a\":\"" STARS "\"}"},
        {"line\nnext\tx\x01", "line\\nnext\\tx\\u0001", STARS},
        {"line\r\nnext", "line\\nnext line\\r\\nnext", STARS " " STARS},
        {"w\xc3\xb6rd\xf0\x9f\x98\x80", "w\\u00f6rd\\ud83d\\ude00", STARS},
        {"/w\xc3\xb6rd", "/w\\u00f6rd \\/w\\u00f6rd", STARS " " STARS},
        {"<a>&b", "\\u003ca\\u003e\\u0026b", STARS},
        {"\b\f\x1f!", "\\b\\f\\u001f!", STARS},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

static void test_csv(void **state)
{
    static const struct sample samples[] = {
        {"say \"hi\"", "\"source=/x/say \"\"hi\"\"\",b", "\"source=/x/" STARS "\",b"},
        {"say hi", "\"say hi\"", "\"" STARS "\""},
    };

    (void)state;
    check_samples(samples, COUNT(samples));
}

static void test_short_values(void **state)
{
    static const struct {
        const char *value;
        bool ignored;
    } values[] = {
        {"", true},
        {"a", true},
        {"abc", true},
        {"abc\n", true},
        {"abc\r\n\r\n", true},
        {"\n\n\n\n\n", true},
        {"\xc3\xa4\xc3\xb6\xc3\xbc", true},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x81\xf0\x9f\x98\x82", true},
        {"abcd", false},
        {"a\nb\n", true},
        {"\na b", false},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x81\xf0\x9f\x98\x82.", false},
        /* No UTF-8: bytes that are no character count one by one. */
        {"\xff\xfe\xfd\xfc", false},
        {"\x80\x80\x80\x80", false},
        {"\xc3\xa4\xc3\xc3\xc3", false},
        {"\xc0\x80\xc0\x80", false},
        {"\xed\xa0\x80z", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        struct mask *mask = mask_new();
        struct err err = ERR_INIT;
        bool ignored = !values[i].ignored;

        assert_ok(mask_add(mask, values[i].value, strlen(values[i].value), &ignored, &err));
        assert_int_equal(ignored, values[i].ignored);
        assert_int_equal(mask_is_empty(mask), values[i].ignored);
        if (ignored)
            assert_masked(mask, "abc a\nb", 7, "abc a\nb", 7);
        mask_free(mask);
    }
}

static void test_bytes_of_any_kind(void **state)
{
    static const char value[] = "\0\xff\0\x80\0", text[] = "a\0\xff\0\x80\0\xff\0";
    struct mask *mask = mask_new();
    struct err err = ERR_INIT;
    bool ignored = true;

    (void)state;
    assert_ok(mask_add(mask, value, 5, &ignored, &err));
    assert_masked(mask, text, 8, "a" STARS "\xff\0", 11);
    assert_masked(mask, "%00%FF%00%80%00", 15, STARS, 8);
    mask_free(mask);
}

static void test_nothing_is_held_that_is_certain(void **state)
{
    static const struct {
        const char *text;
        size_t held;
    } texts[] = {
        {"a line that ends in nothing\n", 0},
        {"hunter2", 7},
        {"hunter2!", 0}, /* a whole value is certain */
        {"hunter2! hun", 3},
        {"hunter2!h", 1},
        {"huntehunt", 4},
        {"0123456789abcdef", 16}, /* the beginning of a longer one */
        {"0123456789abcdefg", 0},
    };
    struct mask *mask = mask_new();

    (void)state;
    add(mask, "hunter2!");
    add(mask, "456789ab");
    add(mask, "0123456789abcdef.");
    for (size_t i = 0; i < COUNT(texts); i++) {
        CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
        size_t len = strlen(texts[i].text);
        struct err err = ERR_INIT;
        const char *out;
        size_t out_len;

        assert_ok(mask_feed(&stream, texts[i].text, len, &out, &out_len, &err));
        assert_int_equal(stream.held.len - stream.held_from, texts[i].held);
        assert_int_equal(stream.given, len - texts[i].held);
        /* Without a match it is no copy. */
        if (!strstr(texts[i].text, "hunter2!") && out_len && !strstr(texts[i].text, "4567"))
            assert_ptr_equal(out, texts[i].text);
    }
    mask_free(mask);
}

static void test_a_secret_that_comes_late(void **state)
{
    struct mask *mask = mask_new();
    CLEANUP(mask_stream_release) struct mask_stream one = {.mask = mask}, two = {.mask = mask};
    autobuf first = BUF_INIT(ANY_SIZE), second = BUF_INIT(ANY_SIZE);

    (void)state;
    assert_true(mask_is_empty(mask));
    feed(&one, "late ", 5, &first);
    assert_given("nothing to mask", &first, "late ");
    add(mask, "0123456789");
    feed(&one, "la012345", 8, &first);
    assert_given("held", &first, "late la");
    feed(&two, "89", 2, &second);
    add(mask, "2345");
    add(mask, "late");
    /* What is held is looked at again; "la" is out. */
    feed(&one, "te late 0123", 12, &first);
    assert_given("again", &first, "late la01" STARS "te " STARS " ");
    end(&one, &first);
    end(&two, &second);
    assert_given("end", &first, "late la01" STARS "te " STARS " 0123");
    assert_given("other stream", &second, "89");

    /* At the end too. */
    first.len = 0;
    feed(&one, "012", 3, &first);
    add(mask, "\n012");
    end(&one, &first);
    feed(&one, "01234", 5, &first);
    add(mask, "1234");
    end(&one, &first);
    assert_given("second round", &first, "0120" STARS);
    mask_free(mask);
}

static void test_a_region_that_is_given_and_goes_on(void **state)
{
    struct mask *mask = mask_new();
    CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
    autobuf out = BUF_INIT(ANY_SIZE);

    (void)state;
    add(mask, "abcabc");
    feed(&stream, "xabcabc", 7, &out);
    assert_given("half of it may begin another", &out, "x" STARS);
    feed(&stream, "ab", 2, &out);
    assert_given("nothing new", &out, "x" STARS);
    feed(&stream, "c", 1, &out);
    assert_given("one region", &out, "x" STARS);
    add(mask, "bcXY");
    feed(&stream, "XYabcabcZ", 9, &out);
    assert_given("joined by the late one", &out, "x" STARS STARS "Z");
    mask_free(mask);
}

static bool ignore_form(void *data, const char *bytes, size_t len)
{
    (void)bytes;
    assert_true(len >= MASK_FORM_MIN);
    ++*(size_t *)data;
    return true;
}

static void test_forms(void **state)
{
    size_t count = 0;

    (void)state;
    assert_true(mask_forms("a\nb c", 5, ignore_form, &count));
    assert_true(count > 10);
    assert_int_equal(mask_forms_trim("ab\r\n\n", 5), 2);
    assert_int_equal(mask_forms_characters("a\xc3\xa4\xff", 4), 3);
}

static void test_words_of_shells(void **state)
{
    static const struct {
        const char *value, *printed, *masked;
    } table[] = {
        {"pass'word1", "+ : 'a pass'\\''word1 b'", "+ : 'a " STARS " b'"},   /* bash */
        {"pass'word1", "+ : 'a pass'\"'\"'word1 b'", "+ : 'a " STARS " b'"}, /* busybox */
        {"pass''word", "+ : 'pass'\"''\"'word'", "+ : '" STARS "'"},
        {"pass''word", "+ : 'pass'\\'''\\''word'", "+ : '" STARS "'"},
        {"password'", "+ : 'password'\"'\"", "+ : '" STARS "\""},
        {"'password", "+ : ''\"'\"'password'", "+ : '" STARS "'"},
        {"one\nit's two", "+ : 'it'\\''s two'", "+ : '" STARS "'"},
        {"one\nit's two", "+ : 'one\nit'\"'\"'s two'", "+ : '" STARS "'"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mask *mask = mask_new();

        add(mask, table[i].value);
        assert_masked(mask, table[i].printed, strlen(table[i].printed), table[i].masked,
                      strlen(table[i].masked));
        mask_free(mask);
    }
}

static void test_limits(void **state)
{
    char *value = malloc(MASK_VALUE_MAX + 1);
    autobuf out = BUF_INIT(ANY_SIZE);
    struct err err = ERR_INIT;
    const char *piece;
    size_t len;
    bool ignored;

    (void)state;
    random_state = SEED;
    random_bytes(value, MASK_VALUE_MAX + 1, "abcdefghijklmnopqrstuvwxyz0123456789 /!+\"\n");
    value[MASK_VALUE_MAX - 1] = value[MASK_VALUE_MAX] = '.';

    struct mask *mask = mask_new();
    assert_ok(mask_add(mask, value, MASK_VALUE_MAX, &ignored, &err));
    assert_masked(mask, value, MASK_VALUE_MAX, STARS, 8);
    /* Too long: nothing is given any more, not even by a stream that knows nothing of it. */
    struct mask_stream stream = {.mask = mask};
    assert_refused(mask_add(mask, value, MASK_VALUE_MAX + 1, &ignored, &err), ERR_OPTION_INVALID);
    assert_refused(mask_feed(&stream, "x", 1, &piece, &len, &err), ERR_ENGINE_FAILED);
    assert_refused(mask_end(&stream, &piece, &len, &err), ERR_ENGINE_FAILED);
    assert_refused(mask_text(mask, "x", 1, &out, &err), ERR_ENGINE_FAILED);
    assert_int_equal(out.len, 0);
    mask_stream_release(&stream);
    mask_free(mask);

    /* Too many states. */
    mask = mask_new();
    random_bytes(value, MASK_VALUE_MAX, NULL);
    for (size_t i = 0; mask_add(mask, value + i, MASK_VALUE_MAX - i, &ignored, &err); i++)
        assert_true(i < 10);
    assert_int_equal(err.code, ERR_OPTION_INVALID);
    assert_false(mask_is_empty(mask));
    mask_free(mask);

    /* Too many values; the same one again is none. */
    mask = mask_new();
    for (int i = 0; i < MASK_VALUES_MAX; i++) {
        len = (size_t)sprintf(value, "%04x", i);
        assert_ok(mask_add(mask, value, len, &ignored, &err));
        assert_ok(mask_add(mask, value, len, &ignored, &err));
    }
    assert_masked(mask, "0123 xyz", 8, STARS " xyz", 12);
    assert_refused(mask_add(mask, "vwxyz", 5, &ignored, &err), ERR_OPTION_INVALID);
    mask_free(mask);
    free(value);
}

static void test_a_text_without_room(void **state)
{
    struct mask *mask = mask_new();
    autobuf out = BUF_INIT(12);
    struct err err = ERR_INIT;

    (void)state;
    add(mask, "hunter2!");
    assert_true(buf_append_text(&out, "old"));
    assert_refused(mask_text(mask, "xx hunter2!", 11, &out, &err), ERR_ENGINE_FAILED);
    assert_string_equal(out.data, "old");
    assert_refused(mask_text(mask, "123456 hunter", 13, &out, &err), ERR_ENGINE_FAILED);
    assert_string_equal(out.data, "old");
    assert_ok(mask_text(mask, "xhunter2!", 9, &out, &err));
    assert_string_equal(out.data, "oldx" STARS);
    mask_free(mask);
}

/* What arrived before the memory was at its end: nothing but the beginning of what should. */
static bool run_without_memory(long allocations, const char *text, const char *expected)
{
    struct err err = ERR_INIT;
    bool ignored, fine, was_fed = false;
    const char *out;
    size_t len, at = 0;

    allocations_left = allocations;
    struct mask *mask = mask_new();
    struct mask_stream stream = {.mask = mask};

    fine = mask && mask_add(mask, "abcdefghij", 10, &ignored, &err) &&
           mask_add(mask, "abcX\nefgh", 9, &ignored, &err);
    for (size_t i = 0; fine && i < strlen(text); i += 5) {
        was_fed = true;
        fine = mask_feed(&stream, text + i, strnlen(text + i, 5), &out, &len, &err);
        if (fine) {
            assert_memory_equal(out, expected + at, len);
            at += len;
        }
    }
    fine = fine && mask_end(&stream, &out, &len, &err);
    allocations_left = -1;
    if (fine) {
        assert_memory_equal(out, expected + at, len);
        assert_int_equal(at + len, strlen(expected));
    } else if (mask) {
        assert_int_not_equal(err.code, ERR_NONE);
        /* It does not come back: bytes may be missing that are part of a value. */
        if (was_fed)
            assert_false(mask_feed(&stream, "x", 1, &out, &len, &err));
    }
    mask_stream_release(&stream);
    mask_free(mask);
    return fine;
}

static void test_no_memory(void **state)
{
    long allocations = 0;

    (void)state;
    while (!run_without_memory(allocations, "123 abcdefghij abcde abcX efgh abc",
                               "123 " STARS " abcde " STARS " " STARS " abc"))
        allocations++;
    assert_true(allocations > 20);
}

/* The forms of a value that consist of letters, blanks and line ends, as the header promises them. */
static void model_forms(struct model *model, const char *value, size_t len)
{
    static const char *const line_ends[] = {"\n", "\r\n", ""};
    size_t from = 0;

    while (len && value[len - 1] == '\n')
        len--;
    if (len < 4)
        return;
    for (size_t k = 0; k < COUNT(line_ends); k++) {
        autobuf whole = BUF_INIT(ANY_SIZE);

        for (size_t i = 0; i < len; i++)
            buf_append(&whole, value[i] == '\n' ? line_ends[k] : value + i,
                       value[i] == '\n' ? strlen(line_ends[k]) : 1);
        if (whole.len >= 4)
            model_add(model, whole.data, whole.len);
    }
    for (size_t i = 0; memchr(value, '\n', len) && i <= len; i++) {
        size_t begin = from, stop = i;

        if (i < len && value[i] != '\n')
            continue;
        while (begin < stop && value[begin] == ' ')
            begin++;
        while (begin < stop && value[stop - 1] == ' ')
            stop--;
        if (stop - begin >= 4)
            model_add(model, value + begin, stop - begin);
        from = i + 1;
    }
}

static void add_random(struct mask *mask, struct model *model, const char *letters)
{
    struct err err = ERR_INIT;
    char value[32];
    size_t len = 1 + random_below(random_below(4) ? 9 : 30);
    bool ignored;

    random_bytes(value, len, letters);
    assert_ok(mask_add(mask, value, len, &ignored, &err));
    model_forms(model, value, len);
}

/* One text in random pieces: after each of them exactly what the model says has been given. */
static void check_case(int number, const char *letters, const char *text_letters)
{
    struct mask *mask = mask_new();
    CLEANUP(model_release) struct model model = {0};
    CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
    autobuf masked = BUF_INIT(ANY_SIZE), whole = BUF_INIT(ANY_SIZE);
    char text[160], what[64];
    size_t len = random_below(sizeof(text)), longest = 1 + random_below(40);
    uint32_t late = random_below(3) ? 0 : 4; /* of how many pieces one brings a secret */
    struct err err = ERR_INIT;

    snprintf(what, sizeof(what), "case %d of seed %d", number, SEED);
    random_bytes(text, len, text_letters);
    for (uint32_t n = random_below(5); n; n--)
        add_random(mask, &model, letters);
    assert_ok(mask_text(mask, text, len, &whole, &err));
    for (size_t at = 0, n; at < len; at += n) {
        autobuf expected = BUF_INIT(ANY_SIZE);
        size_t certain;

        n = 1 + random_below((uint32_t)longest);
        n = n < len - at ? n : len - at;
        feed(&stream, text + at, n, &masked);
        certain = model_certain(&model, text, at + n);
        model_mask(&model, text, at + n, certain, &expected);
        assert_text(what, &masked, expected.data, expected.len);
        model.since = certain;
        if (late && random_below(late) == 0)
            add_random(mask, &model, letters);
    }
    autobuf expected = BUF_INIT(ANY_SIZE);
    model_mask(&model, text, len, len, &expected);
    end(&stream, &masked);
    assert_text(what, &masked, expected.data, expected.len);
    if (!late)
        assert_text(what, &whole, expected.data, expected.len);
    mask_free(mask);
}

static void test_random(void **state)
{
    /* With those of the last row no encoding begins. */
    static const struct {
        const char *letters, *text;
    } alphabets[] = {
        {"a", "ab"},          {"ab", "ab"},
        {"ab", "abc"},        {"abc", "abc"},
        {"ab\n", "ab\n\n\r"}, {"ab \n", "ab \n\r"},
        {"aaaaab", "aaaab"},  {"\1\2\3\4\5\6\7\16", "\1\2\3\4\5\6\7\16"},
    };

    (void)state;
    random_state = SEED;
    for (int i = 0; i < 16000; i++)
        check_case(i, alphabets[i % COUNT(alphabets)].letters,
                   alphabets[i % COUNT(alphabets)].text);
}

/* Values with all their forms in a text of what they consist of, long enough for every loop. */
static void test_random_with_noise(void **state)
{
    (void)state;
    random_state = SEED;
    for (int i = 0; i < 200; i++) {
        struct mask *mask = mask_new();
        CLEANUP(model_release) struct model model = {0};
        autobuf text = BUF_INIT(ANY_SIZE), expected = BUF_INIT(ANY_SIZE);
        struct err err = ERR_INIT;
        char values[5][40], noise[400];
        size_t lens[5], least = 4 + random_below(12);
        bool ignored;

        for (int k = 0; k < 5; k++) {
            lens[k] = least + random_below(20);
            random_bytes(values[k], lens[k], "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF");
            assert_ok(mask_add(mask, values[k], lens[k], &ignored, &err));
            assert_true(mask_forms(values[k], lens[k], model_add, &model));
        }
        for (int k = 0; k < 10; k++) {
            random_bytes(noise, sizeof(noise), "abcdefghijklmnopqrstuvwxyz0123456789 \n");
            buf_append(&text, noise, random_below(sizeof(noise)));
            buf_append(&text, values[k % 5], lens[k % 5] - random_below(2));
        }
        model_mask(&model, text.data, text.len, text.len, &expected);
        assert_masked(mask, text.data, text.len, expected.data, expected.len);
        mask_free(mask);
    }
}

static double seconds_for(const struct mask *mask, const char *text, size_t len, size_t piece)
{
    double best = 1e9;

    for (int i = 0; i < 3; i++) {
        CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
        struct timespec from, to;
        struct err err = ERR_INIT;
        const char *out;
        size_t out_len;
        double took;

        assert_ok(mask_feed(&stream, "", 0, &out, &out_len, &err));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (size_t at = 0; at < len; at += piece)
            assert_ok(mask_feed(&stream, text + at, len - at < piece ? len - at : piece, &out,
                                &out_len, &err));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        took = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        best = took < best ? took : best;
    }
    return best;
}

/*
 * Texts that are almost a value all the time, with a value a thousand times as long as another:
 * quadratic would be a thousand times as slow.
 */
static void test_linear(void **state)
{
    enum { LONG = 60000, SHORT = 60, AMOUNT = 1 << 19 };
    char *value = malloc(LONG), *text = malloc(AMOUNT);
    double times[2][4];

    (void)state;
    memset(value, 'a', LONG);
    for (int i = 0; i < 2; i++) {
        size_t len = i ? LONG : SHORT;
        struct mask *mask = mask_new();
        struct err err = ERR_INIT;
        bool ignored;

        value[len - 1] = 'b';
        assert_ok(mask_add(mask, value, len, &ignored, &err));
        value[len - 1] = 'a';
        memset(text, 'a', AMOUNT);
        times[i][0] = seconds_for(mask, text, AMOUNT, 4096);
        times[i][1] = seconds_for(mask, text, AMOUNT, 1);
        /* Matches everywhere in what is held back. */
        add(mask, "aaaa");
        times[i][2] = seconds_for(mask, text, AMOUNT, 1);
        for (size_t k = 0; k < AMOUNT; k++)
            text[k] = k % len == len - 1 ? 'c' : 'a';
        times[i][3] = seconds_for(mask, text, AMOUNT, 4096);
        mask_free(mask);
    }
    for (int k = 0; k < 4; k++) {
        if (times[1][k] > 20 * times[0][k] + 0.05)
            fail_msg("way %d: %.3f s and %.3f s", k, times[0][k], times[1][k]);
    }
    free(value);
    free(text);
}

/* The automaton is made once, not for each value. */
static void test_adding_is_cheap(void **state)
{
    struct mask *mask = mask_new();
    struct timespec from, middle, to;
    struct err err = ERR_INIT;
    double adding, building;
    const char *out;
    size_t len;
    bool ignored;

    (void)state;
    struct mask_stream stream = {.mask = mask};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < 1000; i++) {
        char value[32];

        len = (size_t)snprintf(value, sizeof(value), "secret number %d!", i);
        assert_ok(mask_add(mask, value, len, &ignored, &err));
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &middle);
    assert_ok(mask_feed(&stream, "x", 1, &out, &len, &err));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    adding = (double)(middle.tv_sec - from.tv_sec) + 1e-9 * (double)(middle.tv_nsec - from.tv_nsec);
    building = (double)(to.tv_sec - middle.tv_sec) + 1e-9 * (double)(to.tv_nsec - middle.tv_nsec);
    assert_true(adding < 100 * building + 0.05);
    mask_stream_release(&stream);
    mask_free(mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_several_values),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_of_random_values),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_short_values),
        cmocka_unit_test(test_bytes_of_any_kind),
        cmocka_unit_test(test_nothing_is_held_that_is_certain),
        cmocka_unit_test(test_a_secret_that_comes_late),
        cmocka_unit_test(test_a_region_that_is_given_and_goes_on),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_words_of_shells),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_text_without_room),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_with_noise),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_adding_is_cheap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
