#include "shim/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

#define LINE_MAX_LEN 16384 /* bytes of a message */

/* Bytes of a harmless UTF-8 sequence at `s`: no control characters, no bidirectional overrides. */
static size_t harmless(const unsigned char *s)
{
    if (s[0] >= 0x20 && s[0] < 0x7f)
        return 1;
    if (s[0] >= 0xc3 && s[0] <= 0xdf && (s[1] & 0xc0) == 0x80)
        return 2;
    if (s[0] == 0xc2 && s[1] >= 0xa0 && s[1] <= 0xbf)
        return 2;
    if ((s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80) {
        /* U+200E, U+200F, U+202A…U+202E, U+2066…U+2069 */
        bool bidi =
            s[0] == 0xe2 &&
            ((s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae))) ||
             (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
        return bidi ? 0 : 3;
    }
    if ((s[0] & 0xf8) == 0xf0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 &&
        (s[3] & 0xc0) == 0x80)
        return 4;
    return 0;
}

static void print_line(const char *prefix, const char *text)
{
    autobuf line = BUF_INIT(LINE_MAX_LEN);
    const unsigned char *p = (const unsigned char *)text;
    bool ok = buf_append_text(&line, prefix);

    while (ok && *p) {
        /* "##octopus[", "##teamcity[" and "##vso[" are orders to the orchestrator that reads this:
         * a step may give them, but not the text of an image or a registry in a message. */
        size_t n = p[0] == '#' && p[1] == '#' ? 0 : harmless(p);

        ok = n ? buf_append(&line, p, n) : buf_printf(&line, "\\x%02x", *p);
        p += n ? n : 1;
    }
    buf_append(&line, "\n", 1);
    /* In one write, so that lines of several processes do not mix. A stderr that is gone stays
     * gone. */
    (void)!file_write_all(STDERR_FILENO, line.data, line.len);
}

void print_err(const struct err *err)
{
    print_line("stepcell: ", err->message);
    if (err->hint[0])
        print_line("stepcell: hint: ", err->hint);
}

__attribute__((format(printf, 1, 0))) static void print_format(const char *format, va_list args)
{
    char text[LINE_MAX_LEN / 4];

    vsnprintf(text, sizeof(text), format, args);
    print_line("stepcell: ", text);
}

void print_note(enum verbosity verbosity, const char *format, ...)
{
    va_list args;

    if (verbosity < PRINT_NORMAL)
        return;
    va_start(args, format);
    print_format(format, args);
    va_end(args);
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
