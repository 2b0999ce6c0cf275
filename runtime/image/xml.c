#include "runtime/image/xml.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define BLANKS "\t\n\r "

/* ---- texts ---- */

static size_t left(const struct xml *xml)
{
    return (size_t)(xml->end - xml->at);
}

static bool is_next(const struct xml *xml, const char *word)
{
    size_t len = strlen(word);

    return left(xml) >= len && memcmp(xml->at, word, len) == 0;
}

static bool take(struct xml *xml, const char *word)
{
    if (!is_next(xml, word))
        return false;
    xml->at += strlen(word);
    return true;
}

static bool is_blank(char c)
{
    return c && strchr(BLANKS, c);
}

/* Whether there was one. */
static bool skip_blanks(struct xml *xml)
{
    const char *from = xml->at;

    while (xml->at < xml->end && is_blank(*xml->at))
        xml->at++;
    return xml->at > from;
}

/* The place of the word, or NULL. */
static const char *find(const struct xml *xml, const char *word)
{
    return memmem(xml->at, left(xml), word, strlen(word));
}

static enum xml_event broken(struct xml *xml, const char *why)
{
    xml->why = why;
    xml->at = xml->end;
    return XML_BROKEN;
}

/* ---- references ---- */

static bool is_character(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n' || code == '\r';
    return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) && code != 0xfffe && code != 0xffff;
}

static bool append_character(struct buf *out, uint32_t code)
{
    char bytes[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = len - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(leads[len] | code);
    return buf_append(out, bytes, len);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* "#38" or "#x26", behind '&' and in front of ';'. */
static bool append_number(struct buf *out, const char *text, size_t len)
{
    int base = len > 1 && text[1] == 'x' ? 16 : 10;
    size_t i = base == 16 ? 2 : 1;
    uint32_t code = 0;

    if (i >= len || len > 10)
        return false;
    for (; i < len; i++) {
        int digit = digit_of(text[i]);

        if (digit >= base)
            return false;
        code = code * (uint32_t)base + (uint32_t)digit;
        if (code > 0x10ffff)
            return false;
    }
    return is_character(code) && append_character(out, code);
}

/* Appends what a reference stands for, and moves behind it. */
static bool take_reference(struct xml *xml, struct buf *out)
{
    static const struct {
        const char *name, *text;
    } entities[] = {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}};
    const char *name = xml->at + 1, *end = memchr(name, ';', left(xml) - 1);
    size_t len = end ? (size_t)(end - name) : 0;

    if (len == 0)
        return false;
    xml->at = end + 1;
    if (*name == '#')
        return append_number(out, name, len);
    for (size_t i = 0; i < ARRAY_SIZE(entities); i++) {
        if (strlen(entities[i].name) == len && memcmp(entities[i].name, name, len) == 0)
            return buf_append_text(out, entities[i].text);
    }
    return false;
}

/* Appends up to the first of `stop`, or the end. */
static bool take_text(struct xml *xml, char stop, struct buf *out)
{
    while (xml->at < xml->end && *xml->at != stop && *xml->at != '<') {
        const char *from = xml->at;

        if (*from == '&') {
            if (!take_reference(xml, out))
                return false;
            continue;
        }
        while (xml->at < xml->end && *xml->at != stop && *xml->at != '<' && *xml->at != '&')
            xml->at++;
        if (!buf_append(out, from, (size_t)(xml->at - from)))
            return false;
    }
    return true;
}

/* ---- tags ---- */

static bool is_name_byte(unsigned char c, bool first)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

    return letter || c == '_' || c == ':' || c >= 0x80 ||
           (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

static bool take_name(struct xml *xml, struct xml_name *name)
{
    const char *from = xml->at;

    while (xml->at < xml->end && is_name_byte((unsigned char)*xml->at, xml->at == from))
        xml->at++;
    *name = (struct xml_name){from, (size_t)(xml->at - from)};
    return name->len > 0 && name->len <= XML_NAME_MAX;
}

static bool skip_attribute(struct xml *xml)
{
    autobuf value = BUF_INIT(XML_TEXT_MAX);
    struct xml_name name;
    char quote;

    if (!take_name(xml, &name))
        return false;
    skip_blanks(xml);
    if (!take(xml, "="))
        return false;
    skip_blanks(xml);
    quote = xml->at < xml->end ? *xml->at : '\0';
    if (quote != '"' && quote != '\'')
        return false;
    xml->at++;
    if (!take_text(xml, quote, &value) || xml->at == xml->end || *xml->at != quote)
        return false;
    xml->at++;
    return true;
}

static enum xml_event take_start(struct xml *xml)
{
    struct xml_name name;

    if (xml->depth == 0 && xml->has_root)
        return broken(xml, "it has a second outermost element");
    if (xml->depth == XML_DEPTH_MAX)
        return broken(xml, "its elements are nested too deep");
    if (!take_name(xml, &name))
        return broken(xml, "it has an element without a proper name");
    while (skip_blanks(xml) && !is_next(xml, ">") && !is_next(xml, "/>")) {
        if (!skip_attribute(xml))
            return broken(xml, "it has a malformed attribute");
    }
    xml->is_empty = take(xml, "/>");
    if (!xml->is_empty && !take(xml, ">"))
        return broken(xml, "it has a malformed tag");
    xml->names[xml->depth++] = name;
    xml->has_root = true;
    return XML_START;
}

static enum xml_event take_end(struct xml *xml)
{
    const struct xml_name *open = xml->depth ? &xml->names[xml->depth - 1] : NULL;
    struct xml_name name;

    if (!open || !take_name(xml, &name) || name.len != open->len ||
        memcmp(name.at, open->at, name.len) != 0)
        return broken(xml, "it has an end tag that ends nothing");
    skip_blanks(xml);
    if (!take(xml, ">"))
        return broken(xml, "it has a malformed tag");
    xml->ended = true;
    return XML_END;
}

/* ---- what is between ---- */

static bool skip_comment(struct xml *xml)
{
    const char *end = find(xml, "--");

    if (!end || xml->end - end < 3 || end[2] != '>')
        return false;
    xml->at = end + 3;
    return true;
}

/* Comments, and outside of the elements blanks. */
static bool skip_between(struct xml *xml)
{
    for (;;) {
        if (xml->depth == 0)
            skip_blanks(xml);
        if (!take(xml, "<!--"))
            return true;
        if (!skip_comment(xml))
            return false;
    }
}

static enum xml_event take_cdata(struct xml *xml)
{
    const char *end = find(xml, "]]>");

    if (xml->depth == 0 || !end)
        return broken(xml, "it has a malformed section of characters");
    if (!buf_append(&xml->text, xml->at, (size_t)(end - xml->at)))
        return broken(xml, "it has a text that is too long");
    xml->at = end + 3;
    return XML_TEXT;
}

static enum xml_event take_plain(struct xml *xml)
{
    if (xml->depth == 0)
        return broken(xml, "it has text outside of its elements");
    if (!take_text(xml, '<', &xml->text))
        return broken(xml, "it has a text that is too long, or an unknown entity");
    return XML_TEXT;
}

/* The declaration, of an encoding that is read here. */
static bool take_declaration(struct xml *xml)
{
    const char *end = find(xml, "?>"), *encoding;
    size_t len;

    if (!end)
        return false;
    encoding = memmem(xml->at, (size_t)(end - xml->at), "encoding", strlen("encoding"));
    xml->at = end + 2;
    if (!encoding)
        return true;
    encoding += strlen("encoding");
    while (encoding < end && (is_blank(*encoding) || *encoding == '='))
        encoding++;
    if (encoding == end || (*encoding != '"' && *encoding != '\''))
        return false;
    for (len = 0; encoding + 1 + len < end && encoding[1 + len] != *encoding;)
        len++;
    return (len == 5 && strncasecmp(encoding + 1, "utf-8", len) == 0) ||
           (len == 8 && strncasecmp(encoding + 1, "us-ascii", len) == 0);
}

static bool are_characters(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 && !is_blank(text[i]))
            return false;
    }
    return utf8_valid(text, len);
}

void xml_begin(struct xml *xml, const char *text, size_t len)
{
    *xml = (struct xml){.at = text, .end = text + len, .text = BUF_INIT(XML_TEXT_MAX)};
    if (!are_characters(text, len)) {
        broken(xml, "it is not written in UTF-8");
        return;
    }
    take(xml, "\xef\xbb\xbf");
    if (left(xml) > 5 && is_next(xml, "<?xml") && is_blank(xml->at[5]) && !take_declaration(xml))
        broken(xml, "it is not written in UTF-8");
}

enum xml_event xml_next(struct xml *xml)
{
    if (xml->why)
        return XML_BROKEN;
    buf_release(&xml->text);
    if (xml->ended) {
        xml->depth--;
        xml->ended = false;
    }
    if (xml->is_empty) {
        xml->is_empty = false;
        xml->ended = true;
        return XML_END;
    }
    if (!skip_between(xml))
        return broken(xml, "it has a malformed comment");
    if (xml->at == xml->end && xml->depth > 0)
        return broken(xml, "it ends inside of an element");
    if (xml->at == xml->end)
        return xml->has_root ? XML_DONE : broken(xml, "it has no element");
    if (take(xml, "<![CDATA["))
        return take_cdata(xml);
    if (is_next(xml, "<!"))
        return broken(xml, "it has a document type, which could stand for anything");
    if (is_next(xml, "<?"))
        return broken(xml, "it has a processing instruction");
    if (take(xml, "</"))
        return take_end(xml);
    return take(xml, "<") ? take_start(xml) : take_plain(xml);
}

void xml_release(struct xml *xml)
{
    buf_release(&xml->text);
}

bool xml_is_at(const struct xml *xml, const char *path)
{
    for (size_t i = 0; i < xml->depth; i++) {
        size_t len = strcspn(path, "/");

        if (len != xml->names[i].len || memcmp(path, xml->names[i].at, len) != 0)
            return false;
        path += len;
        if ((*path == '/') != (i + 1 < xml->depth))
            return false;
        path += *path == '/';
    }
    return *path == '\0' && xml->depth > 0;
}
