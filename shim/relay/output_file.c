#include "shim/relay/output_file.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct slice {
    const char *bytes;
    size_t len;
};

struct reader {
    struct slice rest;
    size_t line; /* the number of the last one that was read */
};

/* One variable as it stands in the file, not yet checked. */
struct entry {
    size_t line;
    struct slice name, value;
    const char *why; /* what is wrong, or NULL */
};

/* The next line without its end; false when there is none. */
static bool next_line(struct reader *reader, struct slice *line)
{
    const char *start = reader->rest.bytes;
    const char *end;
    size_t used;

    if (!reader->rest.len)
        return false;
    end = memchr(start, '\n', reader->rest.len);
    line->bytes = start;
    line->len = end ? (size_t)(end - start) : reader->rest.len;
    used = line->len + (end != NULL);
    if (line->len && start[line->len - 1] == '\r')
        line->len--;
    reader->rest.bytes += used;
    reader->rest.len -= used;
    reader->line++;
    return true;
}

static struct slice up_to(const char *start, const char *end)
{
    return (struct slice){start, (size_t)(end - start)};
}

/* Reads the value of NAME<<DELIMITER. */
static void read_lines(struct reader *reader, struct slice delimiter, struct entry *entry)
{
    const char *start = reader->rest.bytes;
    struct slice line, last = {start, 0};

    if (!delimiter.len) {
        entry->why = "the delimiter is empty; the rest is ignored";
        reader->rest.len = 0;
        return;
    }
    while (next_line(reader, &line)) {
        if (line.len == delimiter.len && memcmp(line.bytes, delimiter.bytes, line.len) == 0) {
            entry->value = up_to(start, last.bytes + last.len);
            return;
        }
        last = line;
    }
    entry->why = "its delimiter does not come; the rest is ignored";
}

static void read_entry(struct reader *reader, struct slice line, struct entry *entry)
{
    const char *end = line.bytes + line.len;
    const char *equals = memchr(line.bytes, '=', line.len);
    const char *lines = memmem(line.bytes, line.len, "<<", 2);

    *entry = (struct entry){.line = reader->line};
    if (lines && (!equals || lines < equals)) {
        entry->name = up_to(line.bytes, lines);
        read_lines(reader, up_to(lines + 2, end), entry);
    } else if (equals) {
        entry->name = up_to(line.bytes, equals);
        entry->value = up_to(equals + 1, end);
    } else {
        entry->why = "there is neither '=' nor '<<' in it";
    }
}

static bool is_text(struct slice slice)
{
    return !memchr(slice.bytes, '\0', slice.len) && utf8_valid(slice.bytes, slice.len);
}

/* What is wrong with an entry, or NULL. */
static const char *check(const struct entry *entry)
{
    if (entry->why)
        return entry->why;
    if (!entry->name.len)
        return "the name is empty";
    if (entry->name.len > OUTPUT_FILE_NAME_MAX)
        return "the name is too long";
    if (entry->value.len > OUTPUT_FILE_VALUE_MAX)
        return "the value is too long";
    if (!is_text(entry->name))
        return "the name is not UTF-8 without NUL bytes";
    if (!is_text(entry->value))
        return "the value is not UTF-8 without NUL bytes";
    return NULL;
}

bool output_file_parse(const char *text, size_t len,
                       bool (*variable)(void *data, const char *name, const char *value, size_t len,
                                        struct err *err),
                       bool (*malformed)(void *data, size_t line, const char *why, struct err *err),
                       void *data, struct err *err)
{
    struct reader reader = {.rest = {text, len}};
    size_t variables = 0, faults = 0;
    struct slice line;

    if (len >= strlen(BYTE_ORDER_MARK) &&
        memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        reader.rest = up_to(text + strlen(BYTE_ORDER_MARK), text + len);
    while (next_line(&reader, &line)) {
        autofree char *name = NULL;
        struct entry entry;
        const char *why;

        if (!line.len)
            continue;
        if (faults == OUTPUT_FILE_MALFORMED_MAX)
            return malformed(data, reader.line, "too many lines are malformed; the rest is ignored",
                             err);
        read_entry(&reader, line, &entry);
        why = check(&entry);
        if (!why && variables == OUTPUT_FILE_VARIABLES_MAX)
            return malformed(data, entry.line, "there are too many variables; the rest is ignored",
                             err);
        if (why) {
            faults++;
            if (!malformed(data, entry.line, why, err))
                return false;
            continue;
        }
        name = strndup(entry.name.bytes, entry.name.len);
        if (!name)
            return err_set(err, ERR_ENGINE_FAILED, "there is not enough memory for an output");
        variables++;
        if (!variable(data, name, entry.value.bytes, entry.value.len, err))
            return false;
    }
    return true;
}
