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

#define LINES_MAX   (SINK_QUEUE_MAX - 1) /* bytes of one, and of several below BATCH_FULL */
#define BATCH_FULL  (1 << 20)            /* bytes of lines that are written at the latest */
#define HEAD_MAX    512                  /* bytes of what every event begins with */
#define ESCAPED_MAX 6                    /* bytes of a byte of text: \u001f */

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
    buf_release(&events->lines);
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

    events->lines.max = LINES_MAX;
    /* What there is of a line that did not become whole goes. */
    events->lines.len = events->whole;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_text(&now, when);
    return buf_printf(&events->lines,
                      "{\"schema\":\"stepcell.event/1\",\"seq\":%" PRIu64
                      ",\"time\":\"%s\",\"step\":\"%s\",\"type\":\"%s\"",
                      events->next, when, events->step, type);
}

/* The line is whole: it counts from now on. */
static bool end_line(struct events *events, struct err *err)
{
    if (!buf_append(&events->lines, "}\n", 2))
        return no_memory(err);
    events->whole = events->lines.len;
    events->next++;
    return true;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t count = 0;

    for (const char *end; (end = memchr(bytes, '\n', len)); count++) {
        len -= (size_t)(end + 1 - bytes);
        bytes = end + 1;
    }
    return count;
}

/* Lines that are not in the log are no events: their numbers are given again. */
static bool write_log(struct events *events, size_t len, struct err *err)
{
    const char *bytes = events->lines.data;
    size_t written = file_write(events->log, bytes, len);

    if (written == len)
        return true;
    err_errno(err, ERR_ENGINE_FAILED, "cannot write the event log");
    /* A disk that is full takes a part of a line, and the next event begins one. */
    file_cut_line(events->log);
    events->next -= count_lines(bytes + written, len - written);
    return false;
}

/* Writes the lines that are whole, many in one go. */
static bool write_lines(struct events *events, struct err *err)
{
    size_t len = events->whole;

    events->whole = 0;
    return (events->log < 0 || write_log(events, len, err)) &&
           (!events->target || sink_write(events->target, events->lines.data, len, err));
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
    if (json_object_size(owned) > 0 && (!buf_append(&events->lines, ",", 1) ||
                                        !buf_append(&events->lines, text + 1, strlen(text) - 2)))
        return no_memory(err);
    return end_line(events, err) && write_lines(events, err);
}

/* Bytes that are looked at as one: the compiler makes one instruction of what is done to all. */
typedef uint8_t block __attribute__((vector_size(16)));

/* How many bytes lie in front of the first one that needs an escape; all of them when none does. */
static size_t plain_length(block bytes)
{
    block marks = (block)(bytes < 0x20) | (block)(bytes == '"') | (block)(bytes == '\\');
    uint64_t halves[2];

    memcpy(halves, &marks, sizeof(halves));
    if (halves[0])
        return (size_t)__builtin_ctzll(le64toh(halves[0])) / 8;
    return halves[1] ? 8 + (size_t)__builtin_ctzll(le64toh(halves[1])) / 8 : sizeof(block);
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

static bool needs_escape(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* Appends the inside of a JSON string: by hand, since this is where all output goes through. */
static bool append_escaped(struct buf *line, const char *bytes, size_t len)
{
    char *out = buf_reserve(line, len * ESCAPED_MAX), *start = out;
    const char *end = bytes + len;

    if (!out)
        return false;
    while ((size_t)(end - bytes) >= sizeof(block)) {
        block some;
        size_t plain;

        memcpy(&some, bytes, sizeof(some));
        memcpy(out, &some, sizeof(some));
        plain = plain_length(some);
        out += plain;
        bytes += plain;
        if (plain < sizeof(block))
            out = put_escape(out, (unsigned char)*bytes++);
    }
    for (; bytes < end; bytes++) {
        if (needs_escape((unsigned char)*bytes))
            out = put_escape(out, (unsigned char)*bytes);
        else
            *out++ = *bytes;
    }
    buf_added(line, (size_t)(out - start));
    return true;
}

static bool begin_output(struct events *events, enum event_stream stream, const char *member)
{
    return begin_line(events, "output") &&
           buf_printf(&events->lines, ",\"stream\":\"%s\",\"%s\":\"", stream_names[stream], member);
}

static bool emit_text(struct events *events, enum event_stream stream, const char *bytes,
                      size_t len, struct err *err)
{
    size_t cut = events->cut[stream].len;

    events->cut[stream].len = 0;
    if (!begin_output(events, stream, "text") ||
        !append_escaped(&events->lines, events->cut[stream].bytes, cut) ||
        !append_escaped(&events->lines, bytes, len) || !buf_append(&events->lines, "\"", 1))
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
    if (!text || !begin_output(events, stream, "base64") ||
        !buf_append_text(&events->lines, text) || !buf_append(&events->lines, "\"", 1))
        return no_memory(err);
    return end_line(events, err);
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

static bool add_output(struct events *events, enum event_stream stream, const char *bytes,
                       size_t len, struct err *err)
{
    size_t used;

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
                          err) ||
            (events->whole >= BATCH_FULL && !write_lines(events, err)))
            return false;
        bytes += used;
        len -= used;
    }
    return true;
}

bool events_output(struct events *events, enum event_stream stream, const char *bytes, size_t len,
                   struct err *err)
{
    return !events_are_wanted(events) ||
           (add_output(events, stream, bytes, len, err) && write_lines(events, err));
}

bool events_output_end(struct events *events, enum event_stream stream, struct err *err)
{
    if (!events_are_wanted(events) || events->cut[stream].len == 0)
        return true;
    return emit_base64(events, stream, "", 0, err) && write_lines(events, err);
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
