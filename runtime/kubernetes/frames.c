#include "runtime/kubernetes/frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"

static const char *const kinds[FRAME_KINDS] = {
    [FRAME_READY] = "ready", [FRAME_OUT] = "out",     [FRAME_ERR] = "err",
    [FRAME_VAR] = "var",     [FRAME_LEFT] = "left",   [FRAME_FAIL] = "fail",
    [FRAME_EXEC] = "exec",   [FRAME_INIT] = "init",   [FRAME_FILTER] = "filter",
    [FRAME_END] = "end",     [FRAME_ASKED] = "asked",
};

static bool is_counted(enum frame_kind kind)
{
    return kind >= FRAME_OUT && kind <= FRAME_VAR;
}

static int begin(struct frame_writer *writer, enum frame_kind kind, char *line)
{
    return snprintf(line, FRAME_LINE_MAX, FRAME_MARK "%" PRIu64 " %s", ++writer->number,
                    kinds[kind]);
}

size_t frame_write_bytes(struct frame_writer *writer, enum frame_kind kind, const void *bytes,
                         size_t len, char line[FRAME_LINE_MAX])
{
    autofree char *text = base64_encode(bytes, len);
    int n = begin(writer, kind, line);

    if (is_counted(kind))
        writer->counts[kind - FRAME_OUT] += len;
    /* Without memory the frame is none, and the reader misses its bytes. */
    return (size_t)(n + snprintf(line + n, FRAME_LINE_MAX - (size_t)n, " %s" FRAME_CLOSE "\n",
                                 text ? text : "-"));
}

size_t frame_write_number(struct frame_writer *writer, enum frame_kind kind, int value,
                          char line[FRAME_LINE_MAX])
{
    int n = begin(writer, kind, line);

    return (size_t)(n +
                    snprintf(line + n, FRAME_LINE_MAX - (size_t)n, " %d" FRAME_CLOSE "\n", value));
}

static size_t write_alone(struct frame_writer *writer, enum frame_kind kind, char *line)
{
    int n = begin(writer, kind, line);

    return (size_t)(n + snprintf(line + n, FRAME_LINE_MAX - (size_t)n, FRAME_CLOSE "\n"));
}

size_t frame_write_ready(struct frame_writer *writer, char line[FRAME_LINE_MAX])
{
    return write_alone(writer, FRAME_READY, line);
}

size_t frame_write_asked(struct frame_writer *writer, char line[FRAME_LINE_MAX])
{
    return write_alone(writer, FRAME_ASKED, line);
}

size_t frame_write_failure(struct frame_writer *writer, const struct err *failure,
                           char line[FRAME_LINE_MAX])
{
    autofree char *message = base64_encode(failure->message, strlen(failure->message));
    autofree char *hint =
        failure->hint[0] ? base64_encode(failure->hint, strlen(failure->hint)) : NULL;
    int n = begin(writer, FRAME_FAIL, line);

    return (size_t)(n + snprintf(line + n, FRAME_LINE_MAX - (size_t)n, " %s %s %s" FRAME_CLOSE "\n",
                                 err_code_text(failure->code), message ? message : "-",
                                 hint ? hint : "-"));
}

size_t frame_write_end(struct frame_writer *writer, bool is_signal, int value, bool oom_killed,
                       char line[FRAME_LINE_MAX])
{
    const uint64_t *counts = writer->counts;
    int n = begin(writer, FRAME_END, line);

    return (size_t)(n + snprintf(line + n, FRAME_LINE_MAX - (size_t)n,
                                 " %s %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 FRAME_CLOSE "\n",
                                 is_signal ? "signal" : "exit", value, oom_killed, counts[0],
                                 counts[1], counts[2]));
}

/* ---- reading ---- */

/* The next word, ended by a blank or the end of the line; NULL when there is none. */
static char *next_word(char **at)
{
    char *word = *at, *end;

    if (!word || !*word || *word == ' ')
        return NULL;
    end = strchr(word, ' ');
    *at = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return word;
}

/* Digits alone, without a zero in front. */
static bool take_number(char **at, uint64_t max, uint64_t *number)
{
    const char *word = next_word(at);
    char *end;

    if (!word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 19 ||
        (word[0] == '0' && word[1]))
        return false;
    *number = strtoull(word, &end, 10);
    return *number <= max;
}

static bool take_value(char **at, uint64_t max, int *value)
{
    uint64_t number;

    if (!take_number(at, max, &number))
        return false;
    *value = (int)number;
    return true;
}

/* In the place of the text itself. */
static bool take_bytes(char **at, struct frame *frame)
{
    char *word = next_word(at);
    size_t len;

    if (!word || !base64_decode_in_place(word, &len) || len == 0 || len > FRAME_BYTES_MAX)
        return false;
    frame->bytes = word;
    frame->len = len;
    return true;
}

static bool take_text(char **at, char *text, size_t size)
{
    char *word = next_word(at);
    size_t len;

    if (!word)
        return false;
    if (strcmp(word, "-") == 0)
        return true;
    if (!base64_decode_in_place(word, &len) || len >= size || memchr(word, '\0', len))
        return false;
    memcpy(text, word, len);
    text[len] = '\0';
    return true;
}

static bool take_failure(char **at, struct frame *frame)
{
    const char *word = next_word(at);

    frame->error = ERR_INIT;
    frame->error.code = word ? err_code_parse(word) : ERR_COUNT;
    return frame->error.code != ERR_COUNT && frame->error.code != ERR_NONE &&
           take_text(at, frame->error.message, sizeof(frame->error.message)) &&
           take_text(at, frame->error.hint, sizeof(frame->error.hint)) && frame->error.message[0];
}

static bool take_end(char **at, struct frame *frame)
{
    const char *how = next_word(at);
    int oom;

    if (!how || (strcmp(how, "exit") != 0 && strcmp(how, "signal") != 0))
        return false;
    frame->is_signal = *how == 's';
    if (!take_value(at, frame->is_signal ? 64 : 255, &frame->value) || !take_value(at, 1, &oom) ||
        (frame->is_signal && frame->value == 0))
        return false;
    frame->oom_killed = oom;
    for (size_t i = 0; i < ARRAY_SIZE(frame->counts); i++) {
        if (!take_number(at, INT64_MAX, &frame->counts[i]))
            return false;
    }
    return true;
}

static bool take_contents(char **at, struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_READY:
    case FRAME_ASKED:
        return true;
    case FRAME_OUT:
    case FRAME_ERR:
    case FRAME_VAR:
    case FRAME_LEFT:
        return take_bytes(at, frame);
    case FRAME_FAIL:
        return take_failure(at, frame);
    case FRAME_EXEC:
    case FRAME_INIT:
    case FRAME_FILTER:
        return take_value(at, 4095, &frame->value);
    case FRAME_END:
        return take_end(at, frame);
    case FRAME_KINDS:
        break;
    }
    return false;
}

static bool take_kind(char **at, struct frame *frame)
{
    const char *word = next_word(at);

    for (int i = 0; word && i < FRAME_KINDS; i++) {
        if (strcmp(word, kinds[i]) == 0) {
            frame->kind = (enum frame_kind)i;
            return true;
        }
    }
    return false;
}

/* What is no frame: words of the kubelet's, say, which may tell why there is none. */
static void keep_stray(struct frame_reader *reader, const char *text)
{
    size_t len = strnlen(text, sizeof(reader->stray) - 1);

    for (size_t i = 0; i < len; i++)
        reader->stray[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    reader->stray[len] = '\0';
}

static enum frame_progress take_ended(struct frame_reader *reader, const struct frame *frame,
                                      struct err *err)
{
    static const char *const names[] = {"stdout", "stderr", "the output file"};

    reader->ended = true;
    for (size_t i = 0; i < ARRAY_SIZE(frame->counts); i++) {
        if (frame->counts[i] == reader->counts[i] || reader->lost)
            continue;
        err_set(err, ERR_ENGINE_FAILED,
                "of %s of the step %" PRIu64 " bytes have come out of %" PRIu64, names[i],
                reader->counts[i], frame->counts[i]);
        return FRAMES_WRONG;
    }
    return FRAMES_ENDED;
}

static bool is_closed(const char *text)
{
    size_t len = strlen(text), close = strlen(FRAME_CLOSE);

    return len >= close && strcmp(text + len - close, FRAME_CLOSE) == 0;
}

/* The mark, or as much of it as there is of the line. */
static bool is_marked(const char *text)
{
    size_t len = strlen(text), mark = strlen(FRAME_MARK);

    return len > 0 && strncmp(text, FRAME_MARK, len < mark ? len : mark) == 0;
}

/* A frame from its mark on, as far as it has come. True when it is closed. */
static bool gather(struct frame_reader *reader, const char *text)
{
    size_t used = is_marked(text) ? 0 : strlen(reader->frame);

    if (used + strlen(text) >= sizeof(reader->frame))
        return false;
    strcpy(reader->frame + used, text);
    return is_closed(text);
}

/* Once; `frame` borrows. */
static bool parse_gathered(struct frame_reader *reader, uint64_t *number, struct frame *frame)
{
    char *text = reader->frame, *at = text + strlen(FRAME_MARK);
    bool is_frame = strncmp(text, FRAME_MARK, strlen(FRAME_MARK)) == 0;

    text[strlen(text) - strlen(FRAME_CLOSE)] = '\0';
    text[0] = '\0';
    return is_frame && take_number(&at, INT64_MAX, number) && take_kind(&at, frame) &&
           take_contents(&at, frame) && !at;
}

static enum frame_progress take_line(struct frame_reader *reader, struct err *err)
{
    char *space = strchr(reader->line, ' '), *text = space ? space + 1 : reader->line;
    struct frame frame = {0};
    uint64_t number;

    /* The rest of a frame is closed, and no words of anybody's. */
    if (!space || space - reader->line >= FRAME_TIME_MAX ||
        (!is_marked(text) && !is_closed(text))) {
        keep_stray(reader, text);
        return FRAMES_MORE;
    }
    if (!gather(reader, text) || !parse_gathered(reader, &number, &frame))
        return FRAMES_MORE;
    if (number <= reader->number || reader->ended)
        return FRAMES_MORE;
    if (number != reader->number + 1) {
        if (!reader->gives_up)
            return FRAMES_GAP;
        reader->lost += number - reader->number - 1;
    }
    *space = '\0';
    reader->number = number;
    strcpy(reader->time, reader->line);
    if (is_counted(frame.kind))
        reader->counts[frame.kind - FRAME_OUT] += frame.len;
    if (!reader->take(reader->data, &frame, err))
        return FRAMES_WRONG;
    return frame.kind == FRAME_END ? take_ended(reader, &frame, err) : FRAMES_MORE;
}

enum frame_progress frame_reader_feed(struct frame_reader *reader, const void *bytes, size_t len,
                                      struct err *err)
{
    const char *at = bytes;

    while (len > 0) {
        const char *end = memchr(at, '\n', len);
        size_t piece = end ? (size_t)(end - at) : len;
        enum frame_progress progress = FRAMES_MORE;

        if (reader->used + piece >= sizeof(reader->line))
            reader->skips = true;
        if (!reader->skips) {
            memcpy(reader->line + reader->used, at, piece);
            reader->used += piece;
        }
        if (end) {
            reader->line[reader->used] = '\0';
            if (!reader->skips && !memchr(reader->line, '\0', reader->used))
                progress = take_line(reader, err);
            reader->used = 0;
            reader->skips = false;
            piece++;
        }
        if (progress != FRAMES_MORE)
            return progress;
        at += piece;
        len -= piece;
    }
    return FRAMES_MORE;
}

enum frame_progress frame_reader_break(struct frame_reader *reader, struct err *err)
{
    return reader->used > 0 || reader->skips ? frame_reader_feed(reader, "\n", 1, err)
                                             : FRAMES_MORE;
}
