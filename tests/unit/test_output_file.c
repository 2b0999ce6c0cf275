#include "tests/unit/unit.h"

#include "base/buf.h"
#include "shim/relay/output_file.h"

/* What the parser says, as text: [name=value], and {line: why}. */
static bool on_variable(void *data, const char *name, const char *value, size_t len,
                        struct err *err)
{
    struct buf *said = data;

    (void)err;
    return buf_printf(said, "[%s=", name) && buf_append(said, value, len) &&
           buf_append_text(said, "]");
}

static bool on_malformed(void *data, size_t line, const char *why, struct err *err)
{
    (void)err;
    return buf_printf(data, "{%zu: %s}", line, why);
}

static void assert_parses(const char *text, size_t len, const char *expected)
{
    autobuf said = BUF_INIT((size_t)32 << 20);
    autofree char *copy = malloc(len); /* so that a sanitizer sees its end */
    struct err err = ERR_INIT;

    if (len)
        memcpy(copy, text, len);
    buf_append(&said, "", 0);
    assert_ok(output_file_parse(copy, len, on_variable, on_malformed, &said, &err));
    assert_string_equal(said.data, expected);
}

static void variables_are_read(void **state)
{
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"", ""},
        {"\n\r\n\n", ""},
        {"A=1", "[A=1]"},
        {"A=1\nB=2\n", "[A=1][B=2]"},
        {"A=1\r\nB=2\r\n", "[A=1][B=2]"},
        {"A=\n", "[A=]"},
        {"A=1=2\n", "[A=1=2]"},
        {"A=1<<2\n", "[A=1<<2]"},
        {" A b = 1 \t\n", "[ A b = 1 \t]"},
        {"A=1\nA=2\n", "[A=1][A=2]"},
        {"a\rb=c\rd\n", "[a\rb=c\rd]"},
        {"\xef\xbb\xbf"
         "A=1\n",
         "[A=1]"},
        {"\xc3\xa4=\xe2\x82\xac\n", "[\xc3\xa4=\xe2\x82\xac]"},
        {"A<<EOF\nEOF\nB=2\n", "[A=][B=2]"},
        {"A<<EOF\nx\nEOF\n", "[A=x]"},
        {"A<<EOF\nx\nEOF", "[A=x]"},
        {"A<<EOF\n\nEOF\n", "[A=]"},
        {"A<<EOF\n\n\nEOF\n", "[A=\n]"},
        {"A<<EOF\nx\n\ny\n EOF\nEOF \nEOF\n", "[A=x\n\ny\n EOF\nEOF ]"},
        {"A<<EOF\nB=1\nC<<D\nEOF\nE=2\n", "[A=B=1\nC<<D][E=2]"},
        {"A<<EOF\r\nx\r\ny\r\nEOF\r\nB=2\r\n", "[A=x\r\ny][B=2]"},
        {"A<<x=y\n1\nx=y\n", "[A=1]"},
        {"A<<<\n1\n<\n", "[A=1]"},
        {"A<< EOF\nEOF\n EOF\n", "[A=EOF]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_parses(table[i].text, strlen(table[i].text), table[i].expected);
}

static void malformed_lines_are_told(void **state)
{
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"A\nB=2\n", "{1: there is neither '=' nor '<<' in it}[B=2]"},
        {"A=1\n\n  \nB=2\n", "[A=1]{3: there is neither '=' nor '<<' in it}[B=2]"},
        {"A<B\n", "{1: there is neither '=' nor '<<' in it}"},
        {"=1\nB=2\n", "{1: the name is empty}[B=2]"},
        {"<<EOF\nA=1\nEOF\nB=2\n=\n", "{1: the name is empty}[B=2]{5: the name is empty}"},
        {"A=1\nB<<EOF\nC=3\nEOF.\n", "[A=1]{2: its delimiter does not come; the rest is ignored}"},
        {"B<<EOF", "{1: its delimiter does not come; the rest is ignored}"},
        {"A=1\nB<<\nC=3\n\nD=4\n", "[A=1]{2: the delimiter is empty; the rest is ignored}"},
        {"B<<\r\nC=3\n", "{1: the delimiter is empty; the rest is ignored}"},
        {"A=\xff\nB=2\n", "{1: the value is not UTF-8 without NUL bytes}[B=2]"},
        {"\xc3=1\nB=2\n", "{1: the name is not UTF-8 without NUL bytes}[B=2]"},
        {"A<<EOF\nx\n\xed\xa0\x80\nEOF\nB=2\nC\n",
         "{1: the value is not UTF-8 without NUL bytes}[B=2]"
         "{6: there is neither '=' nor '<<' in it}"},
    };
    static const char nul[] = "A=1\0002\nB\0=2\nC<<EOF\n\0\nEOF\n\0\nD=4\n";

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_parses(table[i].text, strlen(table[i].text), table[i].expected);
    assert_parses(nul, sizeof(nul) - 1,
                  "{1: the value is not UTF-8 without NUL bytes}"
                  "{2: the name is not UTF-8 without NUL bytes}"
                  "{3: the value is not UTF-8 without NUL bytes}"
                  "{6: there is neither '=' nor '<<' in it}[D=4]");
}

static void append_many(struct buf *text, char byte, size_t count)
{
    autofree char *bytes = malloc(count);

    assert_non_null(bytes);
    memset(bytes, byte, count);
    assert_true(buf_append(text, bytes, count));
}

static void names_and_values_have_limits(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        autobuf text = BUF_INIT((size_t)4 << 20), value = BUF_INIT((size_t)4 << 20);
        autobuf expected = BUF_INIT((size_t)4 << 20);

        append_many(&value, 'v', OUTPUT_FILE_VALUE_MAX + over);
        append_many(&text, 'n', OUTPUT_FILE_NAME_MAX + over);
        buf_append_text(&text, "=1\n");
        buf_printf(&text, "A=%s\nB<<EOF\n%s\nEOF\nC=3\n", value.data, value.data);
        if (over)
            buf_append_text(&expected, "{1: the name is too long}{2: the value is too long}"
                                       "{3: the value is too long}[C=3]");
        else
            buf_printf(&expected, "[%.*s=1][A=%s][B=%s][C=3]", OUTPUT_FILE_NAME_MAX, text.data,
                       value.data, value.data);
        assert_parses(text.data, text.len, expected.data);
    }
}

static void numbers_have_limits(void **state)
{
    autobuf text = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
    autobuf wrong = BUF_INIT(1 << 20), told = BUF_INIT(1 << 20);

    (void)state;
    for (size_t i = 0; i < OUTPUT_FILE_VARIABLES_MAX; i++) {
        buf_append_text(&text, "A=1\n");
        buf_append_text(&expected, "[A=1]");
    }
    buf_append_text(&text, "?\n");
    buf_append_text(&expected, "{1001: there is neither '=' nor '<<' in it}");
    assert_parses(text.data, text.len, expected.data);
    buf_append_text(&text, "A=1\nA=1\n?\n");
    buf_append_text(&expected, "{1002: there are too many variables; the rest is ignored}");
    assert_parses(text.data, text.len, expected.data);

    for (size_t i = 0; i < OUTPUT_FILE_MALFORMED_MAX; i++) {
        buf_append_text(&wrong, "?\n");
        buf_printf(&told, "{%zu: there is neither '=' nor '<<' in it}", i + 1);
    }
    buf_append_text(&wrong, "\n");
    assert_parses(wrong.data, wrong.len, told.data);
    buf_append_text(&wrong, "A=1\n?\n");
    buf_append_text(&told, "{102: too many lines are malformed; the rest is ignored}");
    assert_parses(wrong.data, wrong.len, told.data);
}

static bool refuse_variable(void *data, const char *name, const char *value, size_t len,
                            struct err *err)
{
    (void)data, (void)value, (void)len;
    return err_set(err, ERR_ENGINE_FAILED, "no '%s'", name);
}

static bool refuse_malformed(void *data, size_t line, const char *why, struct err *err)
{
    (void)data, (void)line;
    return err_set(err, ERR_ENGINE_FAILED, "no: %s", why);
}

static void refusals_end_the_reading(void **state)
{
    static const char *const texts[] = {"A=1\nB=2\n", "A\nB\n"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err err = ERR_INIT;

        assert_refused(output_file_parse(texts[i], strlen(texts[i]), refuse_variable,
                                         refuse_malformed, NULL, &err),
                       ERR_ENGINE_FAILED);
        assert_string_equal(err.message, i ? "no: there is neither '=' nor '<<' in it" : "no 'A'");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_read),           cmocka_unit_test(malformed_lines_are_told),
        cmocka_unit_test(names_and_values_have_limits), cmocka_unit_test(numbers_have_limits),
        cmocka_unit_test(refusals_end_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
