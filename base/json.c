#include "base/json.h"

#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/utf8.h"

json_t *json_parse(const char *text, size_t len, const char *what, enum err_code code,
                   struct err *err)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (!json)
        err_set(err, code, "'%s' is not valid JSON, line %d: %s", what, error.line, error.text);
    return json;
}

json_t *json_read_file(int dirfd, const char *path, size_t max, enum err_code code, struct err *err)
{
    autobuf buf = BUF_INIT(max);

    if (!file_read(dirfd, path, &buf, code, err))
        return NULL;
    return json_parse(buf.data, buf.len, path, code, err);
}

/* Behind the string that begins at `i`. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"'; i++)
        i += text[i] == '\\' ? 1 : 0;
    return i + 1;
}

size_t json_line(const char *text, size_t len, const size_t *path, size_t depth)
{
    size_t line = 1, level = 0, inside = 0, item = 0;
    bool begins = false; /* whatever comes next is the beginning of an item */

    for (size_t i = 0; i < len;) {
        char c = text[i];

        if (strchr(" \t\r\n:", c)) {
            line += c == '\n' ? 1 : 0;
            i++;
            continue;
        }
        if (c == ',') {
            begins = level == inside + 1;
            item += begins ? 1 : 0;
            i++;
            continue;
        }
        if (begins && item == path[inside]) {
            if (++inside == depth)
                return line;
        }
        begins = false;
        if (strchr("[{", c)) {
            if (level++ == inside) {
                begins = true;
                item = 0;
            }
        } else if (strchr("]}", c)) {
            level--;
        }
        i = c == '"' ? skip_string(text, len, i) : i + 1;
    }
    return line;
}

const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

json_t *json_bytes(const char *bytes, size_t len)
{
    json_t *plain = memchr(bytes, '\0', len) ? NULL : json_stringn(bytes, len);
    autobuf text = BUF_INIT(4 * len + 1);

    if (plain)
        return plain;
    for (size_t i = 0; i < len;) {
        size_t n = bytes[i] ? utf8_length(bytes + i, len - i) : 0;
        bool ok = n ? buf_append(&text, bytes + i, n)
                    : buf_printf(&text, "\\x%02x", (unsigned char)bytes[i]);
        if (!ok)
            return NULL;
        i += n ? n : 1;
    }
    return json_stringn(text.data ? text.data : "", text.len);
}

char *json_dump_line(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

static char *dump_page(const json_t *value, size_t flags)
{
    autofree char *text =
        json_dumps(value, flags | JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

    return text ? text_printf("%s\n", text) : NULL;
}

char *json_dump_page(const json_t *value)
{
    return dump_page(value, 0);
}

char *json_dump_sorted(const json_t *value)
{
    return dump_page(value, JSON_SORT_KEYS);
}

json_t *json_pairs(const json_t *texts)
{
    json_t *object = json_object();
    const json_t *item;
    size_t i;

    json_array_foreach (texts, i, item) {
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        const char *equals = strchrnul(text, '=');

        if (json_object_setn_new(object, text, (size_t)(equals - text),
                                 json_string(*equals ? equals + 1 : "")) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
