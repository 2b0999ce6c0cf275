#include "shim/relay/mask_forms.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

static const char *const alphabets[] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};

#define FORM_MAX ((size_t)1 << 30) /* bytes: the caller limits the value, which grows 6 times */

struct forms {
    bool (*form)(void *data, const char *bytes, size_t len);
    void *data;
};

struct bytes {
    const char *data;
    size_t len;
};

static bool give(const struct forms *forms, const char *bytes, size_t len)
{
    return len < MASK_FORM_MIN || forms->form(forms->data, bytes, len);
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

size_t mask_forms_trim(const char *value, size_t len)
{
    while (len && is_line_end(value[len - 1]))
        len--;
    return len;
}

/* The character at the beginning of these bytes: its length, and what it is, or -1. */
static size_t decode(const char *bytes, size_t len, int32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)bytes[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t code = need == 1 ? lead : lead & (0x7fu >> need);

    *character = -1;
    if (need == 0 || need > len || lead >= 0xf8)
        return 1;
    for (size_t i = 1; i < need; i++) {
        if (((uint8_t)bytes[i] & 0xc0) != 0x80)
            return 1;
        code = code << 6 | ((uint8_t)bytes[i] & 0x3f);
    }
    if (code < least[need] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 1;
    *character = (int32_t)code;
    return need;
}

size_t mask_forms_characters(const char *bytes, size_t len)
{
    size_t count = 0;
    int32_t character;

    for (size_t i = 0; i < len; count++)
        i += decode(bytes + i, len - i, &character);
    return count;
}

/* The length of the line at the beginning, and of the line end behind it (0 at the end). */
static size_t line_length(const char *bytes, size_t len, size_t *end)
{
    size_t n = 0;

    while (n < len && !is_line_end(bytes[n]))
        n++;
    *end = n == len ? 0 : n + 1 < len && bytes[n] == '\r' && bytes[n + 1] == '\n' ? 2 : 1;
    return n;
}

/* The value with another line end. */
static bool with_line_end(struct bytes value, const char *line_end, struct buf *out)
{
    size_t end;

    for (size_t i = 0; i < value.len; i += end) {
        size_t n = line_length(value.data + i, value.len - i, &end);

        if (!buf_append(out, value.data + i, n) || (end && !buf_append_text(out, line_end)))
            return false;
        i += n;
    }
    return true;
}

/* Whether one of these characters is in the value. */
static bool has_any(struct bytes value, const char *characters)
{
    for (; *characters; characters++) {
        if (memchr(value.data, *characters, value.len))
            return true;
    }
    return false;
}

/* As shells quote words, where "set -x" shows them: '\'' for each ', or '"'"' for a run of them, of
 * which the last quote begins what follows. */
static bool give_quoted(const struct forms *forms, struct bytes value)
{
    autobuf each = BUF_INIT(FORM_MAX), runs = BUF_INIT(FORM_MAX);
    bool ok = true;

    if (!has_any(value, "'"))
        return true;
    for (size_t i = 0; ok && i < value.len; i++) {
        bool quote = value.data[i] == '\'', begins = i == 0 || value.data[i - 1] != '\'',
             ends = i + 1 < value.len && value.data[i + 1] != '\'';

        ok = (quote ? buf_append_text(&each, "'\\''") : buf_append(&each, value.data + i, 1)) &&
             (!quote || !begins || buf_append_text(&runs, "'\"")) &&
             buf_append(&runs, value.data + i, 1) &&
             (!quote || !ends || buf_append_text(&runs, "\"'"));
    }
    return ok && give(forms, each.data, each.len) && give(forms, runs.data, runs.len);
}

static bool give_lines(const struct forms *forms, struct bytes value)
{
    static const char *const line_ends[] = {"\n", "\r\n", ""};
    size_t end;

    for (size_t i = 0; i < ARRAY_SIZE(line_ends); i++) {
        autobuf out = BUF_INIT(FORM_MAX);

        if (!with_line_end(value, line_ends[i], &out) || !give(forms, out.data, out.len))
            return false;
    }
    for (size_t i = 0; i < value.len; i += end) {
        const char *line = value.data + i;
        size_t n = line_length(line, value.len - i, &end);

        i += n;
        for (; n && (*line == ' ' || *line == '\t'); n--)
            line++;
        while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
            n--;
        if (mask_forms_characters(line, n) >= MASK_CHARACTERS_MIN &&
            (!give(forms, line, n) ||
             (value.len <= MASK_FORMS_ALL_MAX && !give_quoted(forms, (struct bytes){line, n}))))
            return false;
    }
    return true;
}

/* Base64 without padding of `zeros` zero bytes and these. */
static bool encode_base64(const char *alphabet, size_t zeros, struct bytes value, struct buf *out)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < zeros + value.len; i++) {
        bits = bits << 8 | (i < zeros ? 0 : (uint8_t)value.data[i - zeros]);
        for (held += 8; held >= 6; held -= 6) {
            if (!buf_append(out, &alphabet[bits >> (held - 6) & 63], 1))
                return false;
        }
    }
    return held == 0 || buf_append(out, &alphabet[bits << (6 - held) & 63], 1);
}

static bool give_wrapped(const struct forms *forms, const struct buf *encoded)
{
    static const struct {
        size_t columns;
        const char *line_end;
    } ways[] = {{64, "\n"}, {64, "\r\n"}, {76, "\n"}, {76, "\r\n"}};

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        autobuf out = BUF_INIT(FORM_MAX);

        for (size_t at = 0; at < encoded->len; at += ways[i].columns) {
            size_t left = encoded->len - at;

            if ((at && !buf_append_text(&out, ways[i].line_end)) ||
                !buf_append(&out, encoded->data + at,
                            left < ways[i].columns ? left : ways[i].columns))
                return false;
        }
        if (!give(forms, out.data, out.len))
            return false;
    }
    return true;
}

/* The whole encoding; what is without padding at its end is the beginning of what has it. */
static bool give_encoding(const struct forms *forms, const char *alphabet, struct bytes text)
{
    autobuf out = BUF_INIT(FORM_MAX);

    if (!encode_base64(alphabet, 0, text, &out) || !give(forms, out.data, out.len) ||
        !give_wrapped(forms, &out))
        return false;
    if (out.len % 4 == 0)
        return true;
    while (out.len % 4) {
        if (!buf_append_text(&out, "="))
            return false;
    }
    return give(forms, out.data, out.len) && give_wrapped(forms, &out);
}

/* Inside a longer text, alone, with the line end that echo adds, and with those it was given. */
static bool give_base64(const struct forms *forms, struct bytes value, struct bytes given)
{
    autobuf line = BUF_INIT(FORM_MAX);

    if (!buf_append(&line, value.data, value.len) || !buf_append_text(&line, "\n"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(alphabets); i++) {
        for (size_t zeros = 0; zeros < 3; zeros++) {
            autobuf out = BUF_INIT(FORM_MAX);
            size_t first = (8 * zeros + 5) / 6; /* that has no bit of what is in front */
            size_t end = 8 * (zeros + value.len) / 6;

            if (!encode_base64(alphabets[i], zeros, value, &out) ||
                !give(forms, out.data + first, end - first))
                return false;
        }
        if (!give_encoding(forms, alphabets[i], value) ||
            !give_encoding(forms, alphabets[i], (struct bytes){line.data, line.len}) ||
            !give_encoding(forms, alphabets[i], given))
            return false;
    }
    return true;
}

/* What a program that percent-encodes has chosen. */
struct percent {
    const char *digits;
    const char *safe; /* besides letters and digits */
    bool slash;       /* is safe */
    bool plus;        /* for a space */
};

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool encode_percent(const struct percent *way, struct bytes value, struct buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        bool safe = is_alphanumeric(c) || (c && strchr(way->safe, c)) || (c == '/' && way->slash);
        char code[] = {'%', way->digits[(uint8_t)c >> 4], way->digits[(uint8_t)c & 15]};

        if (c == ' ' && way->plus ? !buf_append_text(out, "+")
            : safe                ? !buf_append(out, &c, 1)
                                  : !buf_append(out, code, sizeof(code)))
            return false;
    }
    return true;
}

static bool give_percent(const struct forms *forms, struct bytes value)
{
    static const char *const digits[] = {"0123456789ABCDEF", "0123456789abcdef"};
    static const char *const safe[] = {"-._~", "-._~!*'()"};
    unsigned choices =
        1u | has_any(value, "!*'()") << 1 | has_any(value, "/") << 2 | has_any(value, " ") << 3;

    for (unsigned i = 0; i < 16; i++) {
        struct percent way = {digits[i & 1], safe[i >> 1 & 1], i >> 2 & 1, i >> 3 & 1};
        autobuf out = BUF_INIT(FORM_MAX);

        if (i & ~choices)
            continue;
        if (!encode_percent(&way, value, &out) || !give(forms, out.data, out.len))
            return false;
    }
    return true;
}

/* What a program that writes JSON escapes, besides what it has to. */
struct json_way {
    const char *escaped; /* with a backslash in front */
    const char *coded;   /* as \u and its code */
    bool ascii;          /* the rest of Unicode too */
};

static bool append_code(struct buf *out, uint32_t code)
{
    if (code < 0x10000)
        return buf_printf(out, "\\u%04x", code);
    code -= 0x10000;
    return buf_printf(out, "\\u%04x\\u%04x", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
}

static bool encode_json(const struct json_way *way, struct bytes value, struct buf *out)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    size_t n;

    for (size_t i = 0; i < value.len; i += n) {
        char c = value.data[i];
        const char *control = c ? strchr(controls, c) : NULL;
        int32_t character;
        bool fine;

        n = decode(value.data + i, value.len - i, &character);
        if (control)
            fine = buf_printf(out, "\\%c", letters[control - controls]);
        else if (c && strchr(way->escaped, c))
            fine = buf_printf(out, "\\%c", c);
        else if ((uint8_t)c < ' ' || strchr(way->coded, c) || (way->ascii && character > 0x7e))
            fine = append_code(out, (uint32_t)character);
        else
            fine = buf_append(out, value.data + i, n);
        if (!fine)
            return false;
    }
    return true;
}

static bool give_json(const struct forms *forms, struct bytes value)
{
    static const struct json_way ways[] = {
        {"\"\\", "", false}, {"\"\\/", "", false}, {"\"\\", "<>&", false},
        {"\"\\", "", true},  {"\"\\/", "", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        autobuf out = BUF_INIT(FORM_MAX);

        if (!encode_json(&ways[i], value, &out) || !give(forms, out.data, out.len))
            return false;
    }
    return true;
}

/* Where it stands in quotes: RFC 4180, and words of --mount. */
static bool give_csv(const struct forms *forms, struct bytes value)
{
    autobuf out = BUF_INIT(FORM_MAX);
    bool ok = true;

    if (!has_any(value, "\""))
        return true;
    for (size_t i = 0; ok && i < value.len; i++)
        ok = buf_append(&out, value.data + i, 1) &&
             (value.data[i] != '"' || buf_append_text(&out, "\""));
    return ok && give(forms, out.data, out.len);
}

static bool give_encodings(const struct forms *forms, struct bytes value, struct bytes given)
{
    return give_base64(forms, value, given) &&
           (value.len > MASK_FORMS_ALL_MAX ||
            (give_percent(forms, value) && give_json(forms, value) && give_csv(forms, value) &&
             give_quoted(forms, value)));
}

bool mask_forms(const char *value, size_t len,
                bool (*form)(void *data, const char *bytes, size_t len), void *data)
{
    const struct forms forms = {form, data};
    struct bytes given = {value, len}, core = {value, mask_forms_trim(value, len)};
    autobuf unix_lines = BUF_INIT(FORM_MAX);

    if (!give(&forms, core.data, core.len) || !give_encodings(&forms, core, given))
        return false;
    if (!memchr(core.data, '\n', core.len) && !memchr(core.data, '\r', core.len))
        return true;
    if (!give_lines(&forms, core) || !with_line_end(core, "\n", &unix_lines))
        return false;
    core = (struct bytes){unix_lines.data, unix_lines.len};
    return !memchr(value, '\r', len) || give_encodings(&forms, core, core);
}
