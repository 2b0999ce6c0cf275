#include "shim/relay/event_line.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/base64.h"

#define HEAD_MAX 512 /* bytes in front of the text */

struct reader {
    const char *at, *end;
};

static bool skip(struct reader *reader, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, text, len) != 0)
        return false;
    reader->at += len;
    return true;
}

/* To behind the next `text`, which has to come within the head of a line. */
static bool skip_to(struct reader *reader, const char *text)
{
    size_t left = (size_t)(reader->end - reader->at);
    const char *found = memmem(reader->at, left < HEAD_MAX ? left : HEAD_MAX, text, strlen(text));

    if (!found)
        return false;
    reader->at = found + strlen(text);
    return true;
}

static bool read_number(struct reader *reader, uint64_t *number)
{
    const char *start = reader->at;

    *number = 0;
    while (reader->at < reader->end && isdigit((unsigned char)*reader->at)) {
        if (*number > (UINT64_MAX - 9) / 10)
            return false;
        *number = *number * 10 + (uint64_t)(*reader->at++ - '0');
    }
    return reader->at > start;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape of those that events.c writes; -1 when it is none of them. */
static int read_escape(struct reader *reader)
{
    static const char bytes[UCHAR_MAX + 1] = {
        ['"'] = '"',  ['\\'] = '\\', ['b'] = '\b', ['f'] = '\f',
        ['n'] = '\n', ['r'] = '\r',  ['t'] = '\t',
    };
    unsigned char byte;
    int high, low;

    if (skip(reader, "\\u00")) {
        if (reader->end - reader->at < 2)
            return -1;
        high = hex_digit(reader->at[0]);
        low = hex_digit(reader->at[1]);
        reader->at += 2;
        return high < 0 || high > 1 || low < 0 ? -1 : high << 4 | low;
    }
    if (reader->end - reader->at < 2)
        return -1;
    byte = (unsigned char)bytes[(unsigned char)reader->at[1]];
    reader->at += 2;
    return byte ? byte : -1;
}

static bool read_text(struct reader *reader, struct buf *text)
{
    char *out = buf_reserve(text, (size_t)(reader->end - reader->at)), *start = out;

    while (out && reader->at < reader->end) {
        size_t left = (size_t)(reader->end - reader->at);
        const char *escape = memchr(reader->at, '\\', left);
        size_t plain = escape ? (size_t)(escape - reader->at) : left;
        int byte;

        /* A quote that is not escaped would end the text: there is more behind it than is known. */
        if (memchr(reader->at, '"', plain))
            return false;
        memcpy(out, reader->at, plain);
        out += plain;
        reader->at += plain;
        if (!escape)
            break;
        byte = read_escape(reader);
        if (byte < 0)
            return false;
        *out++ = (char)byte;
    }
    if (out)
        buf_added(text, (size_t)(out - start));
    return out;
}

static bool read_base64(struct reader *reader, struct buf *text)
{
    return reader->at < reader->end &&
           buf_append(text, reader->at, (size_t)(reader->end - reader->at)) &&
           base64_decode_in_place(text->data, &text->len);
}

static bool read_head(struct reader *reader, uint64_t *seq)
{
    return skip(reader, "{\"schema\":\"stepcell.event/1\",\"seq\":") && read_number(reader, seq);
}

const char *event_line_time(const char *line, size_t len)
{
    struct reader reader = {line, line + len};
    uint64_t seq;

    return read_head(&reader, &seq) && skip(&reader, ",\"time\":\"") &&
                   memchr(reader.at, '"', (size_t)(reader.end - reader.at))
               ? reader.at
               : NULL;
}

bool event_line_read(const char *line, size_t len, uint64_t *seq, enum event_stream *stream,
                     struct buf *text)
{
    struct reader reader = {line, line + len};

    text->len = 0;
    if (!read_head(&reader, seq) || !skip_to(&reader, "\",\"type\":\"") ||
        !skip(&reader, "output\",\"stream\":\"std"))
        return false;
    *stream = skip(&reader, "err") ? EVENT_STDERR : EVENT_STDOUT;
    if (*stream == EVENT_STDOUT && !skip(&reader, "out"))
        return false;
    if (len < 2 || memcmp(line + len - 2, "\"}", 2) != 0)
        return false;
    reader.end -= 2;
    if (skip(&reader, "\",\"text\":\""))
        return read_text(&reader, text);
    return skip(&reader, "\",\"base64\":\"") && read_base64(&reader, text);
}
