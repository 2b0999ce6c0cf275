#include "shim/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/stream.h"
#include "base/utf8.h"

#define LINE_MAX_LEN 16384     /* bytes of a message */
#define FACT_MAX     (4 << 20) /* bytes of a fact */
#define ESCAPED_MAX  6         /* bytes that may stand for one */
#define READER_MS    5000      /* a reader that takes nothing for so long does not get it */

/* The length of what may be shown as it is at the beginning, or 0. */
static size_t showable(const char *text, size_t len)
{
    /* "##octopus[", "##teamcity[" and "##vso[" are orders to the orchestrator that reads this: a
     * step may give them, but not the text of an image or a registry in a message. */
    return text[0] == '#' && text[1] == '#' ? 0 : utf8_harmless(text, len);
}

bool print_escape(struct buf *buf, const char *text)
{
    size_t len = strlen(text);
    bool ok = true;

    for (size_t i = 0; ok && i < len;) {
        size_t n = showable(text + i, len - i);

        ok = n ? buf_append(buf, text + i, n) : buf_printf(buf, "\\x%02x", (unsigned char)text[i]);
        i += n ? n : 1;
    }
    return ok;
}

static bool print_line(const char *prefix, const char *text)
{
    autobuf line = BUF_INIT(LINE_MAX_LEN);

    (void)!(buf_append_text(&line, prefix) && print_escape(&line, text));
    buf_append(&line, "\n", 1);
    /* In one write, so that lines of several processes do not mix. A stderr that is gone stays
     * gone. */
    return stream_write(STDERR_FILENO, line.data, line.len, READER_MS);
}

bool print_err(const struct err *err)
{
    const char *fix = err_fix(err);

    return print_line("stepcell: ", err->message) && (!*fix || print_line("stepcell: hint: ", fix));
}

bool print_err_detail(enum verbosity verbosity, const struct err *err)
{
    return verbosity < PRINT_VERBOSE || !err->detail[0] ||
           print_line("stepcell: said: ", err->detail);
}

__attribute__((format(printf, 1, 0))) static bool print_format(const char *format, va_list args)
{
    char text[LINE_MAX_LEN / 4];

    vsnprintf(text, sizeof(text), format, args);
    return print_line("stepcell: ", text);
}

bool print_note(enum verbosity verbosity, const char *format, ...)
{
    va_list args;
    bool printed;

    if (verbosity < PRINT_NORMAL)
        return true;
    va_start(args, format);
    printed = print_format(format, args);
    va_end(args);
    return printed;
}

void print_detail(enum verbosity verbosity, const char *format, ...)
{
    va_list args;

    if (verbosity < PRINT_VERBOSE)
        return;
    va_start(args, format);
    print_format(format, args);
    va_end(args);
}

void print_out(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void print_fact(const char *format, ...)
{
    autobuf line = BUF_INIT(FACT_MAX);
    autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        (void)!print_escape(&line, text);
    print_out("%s\n", line.data ? line.data : "");
}

/* Such characters have three bytes at the most. */
static unsigned int code_point(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;

    return len == 1   ? p[0]
           : len == 2 ? (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU)
                      : (p[0] & 0xfU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
}

char *print_json_text(const char *json)
{
    size_t len = strlen(json), n;
    struct buf text = BUF_INIT(len * ESCAPED_MAX + 1);
    bool ok = true;

    for (size_t i = 0; ok && i < len; i += n) {
        n = json[i] == '\n' ? 1 : showable(json + i, len - i);
        if (n) {
            ok = buf_append(&text, json + i, n);
            continue;
        }
        n = utf8_length(json + i, len - i);
        n = n ? n : 1;
        ok = buf_printf(&text, "\\u%04x", code_point(json + i, n));
    }
    if (ok)
        return buf_take(&text);
    buf_release(&text);
    return NULL;
}
