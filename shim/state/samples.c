#include "shim/state/samples.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "shim/state/step_files.h"

#define SCHEMA "stepcell.samples/1"

static const char *const kind_names[USAGE_KINDS] = {
    [USAGE_CPU] = "cpu", [USAGE_MEMORY] = "memory", [USAGE_PIDS] = "pids"};

static const char *const source_names[] = {
    [USAGE_CGROUP] = "cgroup", [USAGE_PROCESSES] = "processes"};

static bool write_head(const struct samples *samples, struct buf *text)
{
    char start[CLOCK_TEXT_MAX];
    bool ok;

    clock_text(&samples->start, start);
    ok = buf_printf(text, "{\"schema\":\"" SCHEMA "\",\"start\":\"%s\"", start);
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        ok = ok && buf_printf(text, ",\"%s\":\"%s\"", kind_names[kind],
                              source_names[samples->sources[kind]]);
    return ok && buf_append_text(text, "}\n");
}

static bool write_sample(const struct sample *sample, struct buf *text)
{
    bool ok = buf_printf(text, "[%" PRIu64, sample->ms);

    for (int kind = 0; kind < USAGE_KINDS; kind++) {
        uint64_t value = sample->values[kind];

        ok = ok && (value == USAGE_UNKNOWN ? buf_append_text(text, ",null")
                                           : buf_printf(text, ",%" PRIu64, value));
    }
    return ok && buf_append_text(text, "]\n");
}

/* Makes the file anew, whole or not at all. */
static bool rewrite(struct samples *samples)
{
    autobuf text = BUF_INIT(SAMPLES_FILE_MAX);
    struct err ignored;
    bool ok = write_head(samples, &text);

    for (size_t i = 0; ok && i < samples->count; i++)
        ok = write_sample(&samples->items[i], &text);
    samples_end(samples);
    if (!ok || !file_replace(samples->dir, STEP_SAMPLES, text.data, text.len, 0600,
                             ERR_ENGINE_FAILED, &ignored))
        return false;
    samples->file =
        openat(samples->dir, STEP_SAMPLES, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    return samples->file >= 0;
}

bool samples_begin(struct samples *samples, int stepfd)
{
    autobuf head = BUF_INIT(SAMPLES_FILE_MAX);

    samples->count = 0;
    samples->every_ms = SAMPLES_EVERY_MS;
    samples->dir = stepfd;
    samples->file = openat(stepfd, STEP_SAMPLES,
                           O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return samples->file >= 0 && write_head(samples, &head) &&
           file_write_all(samples->file, head.data, head.len);
}

void samples_end(struct samples *samples)
{
    samples->file = close_fd(samples->file);
}

/* The second of each two stays: it stands at a multiple of the new distance. */
static void halve(struct samples *samples)
{
    samples->count /= 2;
    for (size_t i = 0; i < samples->count; i++)
        samples->items[i] = samples->items[2 * i + 1];
    samples->every_ms *= 2;
}

bool samples_add(struct samples *samples, const struct sample *sample)
{
    autobuf line = BUF_INIT(SAMPLES_FILE_MAX);

    if (samples->count > 0 && sample->ms <= samples->items[samples->count - 1].ms)
        return true;
    samples->items[samples->count++] = *sample;
    if (samples->count == SAMPLES_MAX) {
        halve(samples);
        return rewrite(samples);
    }
    return write_sample(sample, &line) && file_write_all(samples->file, line.data, line.len);
}

bool samples_add_peak(struct samples *samples, uint64_t memory_peak)
{
    autobuf line = BUF_INIT(SAMPLES_FILE_MAX);

    return buf_printf(&line, "{\"memory_peak\":%" PRIu64 "}\n", memory_peak) &&
           file_write_all(samples->file, line.data, line.len);
}

static bool read_source(const json_t *head, int kind, enum usage_source *source)
{
    const char *text = json_text(head, kind_names[kind]);

    for (size_t i = 0; text && i < ARRAY_SIZE(source_names); i++) {
        if (strcmp(text, source_names[i]) == 0) {
            *source = (enum usage_source)i;
            return true;
        }
    }
    return false;
}

static bool read_head(const json_t *head, struct samples *samples)
{
    const char *schema = json_text(head, "schema"), *start = json_text(head, "start");

    if (!schema || strcmp(schema, SCHEMA) != 0 || !start || !clock_parse(start, &samples->start))
        return false;
    for (int kind = 0; kind < USAGE_KINDS; kind++) {
        if (!read_source(head, kind, &samples->sources[kind]))
            return false;
    }
    return true;
}

static bool read_number(const json_t *json, uint64_t *value)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0)
        return false;
    *value = (uint64_t)json_integer_value(json);
    return true;
}

static bool read_sample(const json_t *line, struct samples *samples)
{
    struct sample sample;

    if (samples->count == SAMPLES_MAX || json_array_size(line) != 1 + USAGE_KINDS ||
        !read_number(json_array_get(line, 0), &sample.ms) ||
        (samples->count > 0 && sample.ms <= samples->items[samples->count - 1].ms))
        return false;
    for (size_t kind = 0; kind < USAGE_KINDS; kind++) {
        const json_t *value = json_array_get(line, 1 + kind);

        sample.values[kind] = USAGE_UNKNOWN;
        if (!json_is_null(value) && !read_number(value, &sample.values[kind]))
            return false;
    }
    samples->items[samples->count++] = sample;
    return true;
}

static bool read_line(const json_t *line, struct samples *samples)
{
    const json_t *peak = json_object_get(line, "memory_peak");

    return samples->memory_peak == USAGE_UNKNOWN &&
           (peak ? read_number(peak, &samples->memory_peak) : read_sample(line, samples));
}

bool samples_parse(const char *text, size_t len, struct samples *samples)
{
    const char *end = text + len, *newline;
    bool has_head = false, ok = true;

    *samples = (struct samples){
        .dir = -1, .file = -1, .every_ms = SAMPLES_EVERY_MS, .memory_peak = USAGE_UNKNOWN};
    for (const char *line = text; ok && line < end; line = newline + 1) {
        autojson *json = NULL;
        struct err ignored;

        newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            break;
        json = json_parse(line, (size_t)(newline - line), "a sample", ERR_ENGINE_FAILED, &ignored);
        ok = json && (has_head ? read_line(json, samples) : read_head(json, samples));
        has_head = has_head || ok;
    }
    return has_head;
}
