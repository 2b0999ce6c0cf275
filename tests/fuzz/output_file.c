/* What a step leaves in $STEPCELL_OUTPUT: any file; and what it gives can be written and read again. */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "shim/relay/output_file.h"

struct record {
    const char *text;
    size_t len, line, variables, faults;
    struct buf said, written;
};

/*
 * In the form of several lines, with a delimiter that is longer than the value. A CR at its end would be
 * taken for part of an LF, and a "<" at the end of a name for the first of "<<".
 */
static void write_again(struct buf *written, const char *name, const char *value, size_t len)
{
    autobuf delimiter = BUF_INIT(len + 16);

    if (name[strlen(name) - 1] == '<') {
        buf_printf(written, "%s=", name);
        buf_append(written, value, len);
        buf_append_text(written, "\r\n");
        return;
    }
    buf_append_text(&delimiter, "=");
    for (size_t i = 0; i <= len; i++)
        buf_append_text(&delimiter, "E");
    buf_printf(written, "%s<<%s\n", name, delimiter.data);
    buf_append(written, value, len);
    buf_printf(written, "\r\n%s\n", delimiter.data);
}

static bool on_variable(void *data, const char *name, const char *value, size_t len,
                        struct err *err)
{
    struct record *record = data;

    (void)err;
    FUZZ_CHECK(*name && strlen(name) <= OUTPUT_FILE_NAME_MAX && !strchr(name, '\n') &&
               !strchr(name, '=') && !strstr(name, "<<"));
    FUZZ_CHECK(value >= record->text && value + len <= record->text + record->len);
    FUZZ_CHECK(len <= OUTPUT_FILE_VALUE_MAX && !memchr(value, '\0', len) && utf8_valid(value, len));
    FUZZ_CHECK(++record->variables <= OUTPUT_FILE_VARIABLES_MAX);
    buf_printf(&record->said, "%s=", name);
    buf_append(&record->said, value, len);
    buf_append_text(&record->said, "\n");
    write_again(&record->written, name, value, len);
    return true;
}

static bool on_malformed(void *data, size_t line, const char *why, struct err *err)
{
    struct record *record = data;

    (void)err;
    FUZZ_CHECK(line > record->line && *why);
    FUZZ_CHECK(++record->faults <= OUTPUT_FILE_MALFORMED_MAX + 1);
    record->line = line;
    return true;
}

static void parse(const char *text, size_t len, struct record *record)
{
    struct err err = ERR_INIT;

    *record = (struct record){.text = text, .len = len};
    record->said.max = record->written.max = (size_t)64 << 20;
    /* A byte order mark may begin a name, but not the first one. */
    buf_append_text(&record->written, "\n");
    FUZZ_CHECK(output_file_parse(text, len, on_variable, on_malformed, record, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record first, second;

    parse((const char *)data, size, &first);
    if (first.variables) {
        parse(first.written.data, first.written.len, &second);
        FUZZ_CHECK(second.variables == first.variables && !second.faults);
        FUZZ_CHECK(second.said.len == first.said.len &&
                   memcmp(second.said.data, first.said.data, first.said.len) == 0);
        buf_release(&second.said);
        buf_release(&second.written);
    }
    buf_release(&first.said);
    buf_release(&first.written);
    return 0;
}
