/*
 * The JSON door: the only place that includes jansson.
 *
 * Everything read here comes from outside: texts are limited in size, duplicate keys and trailing
 * bytes are refused, and so is a NUL in a string. Values are borrowed from their parent, as
 * jansson's getters do; `json_t *` that a function returns is owned by the caller (autojson
 * releases it).
 */
#ifndef STEPCELL_BASE_JSON_H
#define STEPCELL_BASE_JSON_H

#include <jansson.h>

#include "base/cleanup.h"
#include "base/err.h"

static inline void cleanup_json(json_t **json)
{
    json_decref(*json);
}
#define autojson CLEANUP(cleanup_json) json_t

/*
 * Parses one JSON object or array of `len` bytes; `what` names it in messages. NULL on error, with
 * `code`.
 */
json_t *json_parse(const char *text, size_t len, const char *what, enum err_code code,
                   struct err *err);

/* As json_parse, for a whole file of at most `max` bytes. A missing file sets err with errno ENOENT
 * kept. */
json_t *json_read_file(int dirfd, const char *path, size_t max, enum err_code code,
                       struct err *err);

/*
 * The line, from 1 on, of a value in a text that json_parse has accepted: `path` has the number of
 * an item, in the order of the text, for each level from the outermost on.
 */
size_t json_line(const char *text, size_t len, const size_t *path, size_t depth);

/* The string member, or NULL when it is absent, null or no string. */
const char *json_text(const json_t *object, const char *key);

/* A JSON string for bytes that may not be UTF-8: invalid ones, and NUL, become \xNN. Never NULL but
 * without memory. */
json_t *json_bytes(const char *bytes, size_t len);

/* The text of a value, one line, keys in the order in which they were set. NULL without memory. */
char *json_dump_line(const json_t *value);

/* As json_dump_line, indented, with a final newline. */
char *json_dump_page(const json_t *value);

/* As json_dump_page, with the keys sorted: the same for equal values. */
char *json_dump_sorted(const json_t *value);

/* An object out of an array of texts "KEY=VALUE"; the last of a key wins. NULL without memory. */
json_t *json_pairs(const json_t *texts);

#endif
