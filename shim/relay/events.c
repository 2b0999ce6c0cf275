#include "shim/relay/events.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES (SINK_QUEUE_MAX - 1)
#define HEAD_MAX       512 /* bytes of what every event begins with */
#define ESCAPED_MAX    6   /* bytes of a byte of text: \u001f */

static const char *const stream_names[] = {"stdout", "stderr"};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the events");
}

bool events_are_wanted(const struct events *events)
{
    return events->log >= 0 || events->target;
}

void events_release(struct events *events)
{
    buf_release(&events->line);
}

bool events_are_full(const struct events *events)
{
    return events->target && sink_is_full(events->target);
}

/* Begins a line: all that every event has, without the brace at its end. */
static bool begin_line(struct events *events, const char *type)
{
    char when[CLOCK_TEXT_MAX];
    struct timespec now;

    events->line.max = LINE_MAX_BYTES;
    events->line.len = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_text(&now, when);
    return buf_printf(&events->line,
                      "{\"schema\":\"stepcell.event/1\",\"seq\":%" PRIu64
                      ",\"time\":\"%s\",\"step\":\"%s\",\"type\":\"%s\"",
                      events->next, when, events->step, type);
}

/* The line is whole: it counts from now on. */
static bool end_line(struct events *events, struct err *err)
{
    if (!buf_append(&events->line, "}\n", 2))
        return no_memory(err);
    if (events->log >= 0 && !file_write_all(events->log, events->line.data, events->line.len)) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot write the event log");
        /* A disk that is full takes a part of it, and the next event begins a line. */
        file_cut_line(events->log);
        return false;
    }
    events->next++;
    return !events->target || sink_write(events->target, events->line.data, events->line.len, err);
}

bool events_emit(struct events *events, const char *type, json_t *members, struct err *err)
{
    autojson *owned = members;
    autofree char *text = NULL;

    if (!events_are_wanted(events))
        return true;
    text = owned ? json_dump_line(owned) : NULL;
    if (!text || !begin_line(events, type))
        return no_memory(err);
    /* "{…}" without its braces goes behind what is there. */
    if (json_object_size(owned) > 0 && (!buf_append(&events->line, ",", 1) ||
                                        !buf_append(&events->line, text + 1, strlen(text) - 2)))
        return no_memory(err);
    return end_line(events, err);
}

static bool needs_escape(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/*
 * Marks the first byte of the eight that needs an escape, if any does, by its highest bit; what is
 * marked behind it means nothing.
 */
static uint64_t mark_escapes(uint64_t word)
{
    uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');
    uint64_t found = (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1));

    return found & ~word & EACH_BYTE(0x80);
}

static size_t plain_length(const char *bytes, size_t len)
{
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t)) {
        uint64_t word, marks;

        memcpy(&word, bytes + i, sizeof(word));
        marks = mark_escapes(le64toh(word));
        if (marks)
            return i + (size_t)__builtin_ctzll(marks) / 8;
    }
    while (i < len && !needs_escape((unsigned char)bytes[i]))
        i++;
    return i;
}

static char *put_escape(char *out, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };

    *out++ = '\\';
    if (letters[byte]) {
        *out++ = letters[byte];
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = hex[byte >> 4];
    out[4] = hex[byte & 15];
    return out + 5;
}

/* Appends the inside of a JSON string: by hand, since this is where all output goes through. */
static bool append_escaped(struct buf *line, const char *bytes, size_t len)
{
    char *out = buf_reserve(line, len * ESCAPED_MAX), *start = out;
    const char *end = bytes + len;

    while (out && bytes < end) {
        size_t plain = plain_length(bytes, (size_t)(end - bytes));

        memcpy(out, bytes, plain);
        out += plain;
        bytes += plain;
        if (bytes < end)
            out = put_escape(out, (unsigned char)*bytes++);
    }
    if (out)
        buf_added(line, (size_t)(out - start));
    return out;
}

static bool emit_text(struct events *events, enum event_stream stream, const char *bytes,
                      size_t len, struct err *err)
{
    size_t cut = events->cut[stream].len;

    events->cut[stream].len = 0;
    if (!begin_line(events, "output") ||
        !buf_printf(&events->line, ",\"stream\":\"%s\",\"text\":\"", stream_names[stream]) ||
        !append_escaped(&events->line, events->cut[stream].bytes, cut) ||
        !append_escaped(&events->line, bytes, len) || !buf_append(&events->line, "\"", 1))
        return no_memory(err);
    return end_line(events, err);
}

static bool emit_base64(struct events *events, enum event_stream stream, const char *bytes,
                        size_t len, struct err *err)
{
    size_t cut = events->cut[stream].len;
    char whole[EVENT_TEXT_MAX + sizeof(events->cut[0].bytes)];
    autofree char *text = NULL;

    memcpy(whole, events->cut[stream].bytes, cut);
    memcpy(whole + cut, bytes, len);
    events->cut[stream].len = 0;
    text = base64_encode(whole, cut + len);
    return events_emit(
        events, "output",
        text ? json_pack("{s:s, s:s}", "stream", stream_names[stream], "base64", text) : NULL, err);
}

/*
 * Completes the character that was cut off, with bytes from the beginning of what came. It stays in
 * `cut`, whole, and goes in front of the next event; what turns out to be none goes alone. *used is
 * how many bytes were taken.
 */
static bool complete_cut(struct events *events, enum event_stream stream, const char *bytes,
                         size_t len, size_t *used, struct err *err)
{
    char *cut = events->cut[stream].bytes;
    size_t *have = &events->cut[stream].len;

    *used = 0;
    while (*have > 0 && *used < len && utf8_is_cut(cut, *have)) {
        cut[*have] = bytes[*used];
        if (!utf8_is_cut(cut, *have + 1) && !utf8_valid(cut, *have + 1))
            return emit_base64(events, stream, bytes, 0, err);
        (*have)++;
        (*used)++;
    }
    return true;
}

/* One event of at most EVENT_TEXT_MAX bytes; what is cut off at the end stays if more may come. */
static bool output_piece(struct events *events, enum event_stream stream, const char *bytes,
                         size_t len, size_t *used, struct err *err)
{
    size_t whole = utf8_whole(bytes, len);
    bool is_text = whole == len || utf8_is_cut(bytes + whole, len - whole);

    *used = is_text ? whole : len;
    /* Many a reader of JSON has no strings with a NUL in them. */
    return is_text && !memchr(bytes, '\0', whole) ? emit_text(events, stream, bytes, *used, err)
                                                  : emit_base64(events, stream, bytes, *used, err);
}

bool events_output(struct events *events, enum event_stream stream, const char *bytes, size_t len,
                   struct err *err)
{
    size_t used;

    if (!events_are_wanted(events))
        return true;
    if (!complete_cut(events, stream, bytes, len, &used, err))
        return false;
    bytes += used;
    len -= used;
    /* Still cut off, or exactly the rest of it came. */
    if (len == 0)
        return !utf8_valid(events->cut[stream].bytes, events->cut[stream].len) ||
               events->cut[stream].len == 0 || emit_text(events, stream, bytes, 0, err);
    while (len > 0) {
        if (events->cut[stream].len == 0 && utf8_is_cut(bytes, len)) {
            memcpy(events->cut[stream].bytes, bytes, len);
            events->cut[stream].len = len;
            return true;
        }
        if (!output_piece(events, stream, bytes, len < EVENT_TEXT_MAX ? len : EVENT_TEXT_MAX, &used,
                          err))
            return false;
        bytes += used;
        len -= used;
    }
    return true;
}

bool events_output_end(struct events *events, enum event_stream stream, struct err *err)
{
    if (!events_are_wanted(events) || events->cut[stream].len == 0)
        return true;
    return emit_base64(events, stream, "", 0, err);
}

bool event_read_output(const json_t *event, struct event_output *output, struct err *err)
{
    const char *stream = json_text(event, "stream"), *base64 = json_text(event, "base64");
    const json_t *text = json_object_get(event, "text");

    *output = (struct event_output){
        .stream =
            stream && strcmp(stream, stream_names[EVENT_STDERR]) == 0 ? EVENT_STDERR : EVENT_STDOUT,
        .bytes = json_string_value(text),
        .len = json_string_length(text),
    };
    if (base64)
        output->bytes = output->decoded = base64_decode(base64, &output->len);
    return output->bytes || err_set(err, ERR_ENGINE_FAILED, "the event log of the step is damaged");
}

void event_output_release(struct event_output *output)
{
    free(output->decoded);
}
