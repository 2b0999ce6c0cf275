/* What feeds that are no JSON look like: Maven's, apt's, and any text. */
#include <ctype.h>
#include <regex.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/image/expression.h"
#include "runtime/image/feed.h"
#include "runtime/image/xml.h"

static bool unreadable(const struct feed *feed, const char *why, struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "the feed '%s' cannot be read: %s", feed->url, why);
    return err_hint(err, "look at what the URL serves; it may be another page now");
}

/* ---- maven: `release` and `latest` are the last that were published, and do not count ---- */

#define MAVEN_VERSION "metadata/versioning/versions/version"

static void trim(struct buf *text, const char **start, size_t *len)
{
    *start = text->data ? text->data : "";
    *len = text->len;
    while (*len > 0 && isspace((unsigned char)**start)) {
        ++*start;
        --*len;
    }
    while (*len > 0 && isspace((unsigned char)(*start)[*len - 1]))
        --*len;
}

struct maven_feed {
    struct strv *versions;
    struct buf text; /* of the element that is read */
    bool inside;     /* of an element that is a version */
    bool has_root;
};

static bool take_maven(struct maven_feed *maven, struct xml *xml, enum xml_event event,
                       const char **why, struct err *err)
{
    bool here = xml_is_at(xml, MAVEN_VERSION);
    const char *start;
    size_t len;

    maven->has_root = maven->has_root || xml_is_at(xml, "metadata");
    if (event == XML_START && maven->inside)
        *why = "a version has elements in it";
    else if (event == XML_START)
        maven->inside = here;
    else if (event == XML_TEXT && maven->inside &&
             !buf_append(&maven->text, xml->text.data, xml->text.len))
        *why = "a version is too long";
    else if (event == XML_END && here) {
        trim(&maven->text, &start, &len);
        if (!feed_add(maven->versions, start, len, err))
            return false;
        buf_release(&maven->text);
        maven->inside = false;
    }
    return !*why;
}

bool feed_read_maven(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                     struct err *err)
{
    struct maven_feed maven = {.versions = versions, .text = BUF_INIT(XML_TEXT_MAX)};
    const char *why = NULL;
    enum xml_event event;
    autoxml xml;
    bool ok = true;

    xml_begin(&xml, text, len);
    *err = ERR_INIT;
    while (ok && (event = xml_next(&xml)) != XML_DONE) {
        why = event == XML_BROKEN ? xml.why : NULL;
        ok = !why && take_maven(&maven, &xml, event, &why, err);
    }
    buf_release(&maven.text);
    if (ok && !maven.has_root)
        why = "it is no metadata of Maven's";
    return why ? unreadable(feed, why, err) : ok;
}

/* ---- apt ---- */

const char *feed_check_package(const char *rule)
{
    size_t len = 0;

    while (islower((unsigned char)rule[len]) || isdigit((unsigned char)rule[len]) ||
           (rule[len] && strchr("+-.", rule[len])))
        len++;
    return len > 1 && !rule[len] ? NULL : "lower case letters, digits and '+-.', two at least";
}

/* The value of a field in a line, or NULL. */
static const char *field(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    const char *value = line + name_len + 1, *end = line + len;

    if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
        return NULL;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    *value_len = (size_t)(end - value);
    return value;
}

struct stanza {
    const char *package, *version;
    size_t package_len, version_len;
};

static bool end_stanza(const struct feed *feed, struct stanza *stanza, struct strv *versions,
                       struct err *err)
{
    bool wanted = stanza->package && stanza->version && stanza->package_len == strlen(feed->rule) &&
                  memcmp(stanza->package, feed->rule, stanza->package_len) == 0;
    bool ok = !wanted || feed_add(versions, stanza->version, stanza->version_len, err);

    *stanza = (struct stanza){0};
    return ok;
}

/* Also of a file with CRLF. */
static bool is_blank(const char *line, size_t len)
{
    while (len > 0 && isspace((unsigned char)line[len - 1]))
        len--;
    return len == 0;
}

bool feed_read_apt(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                   struct err *err)
{
    const char *end = text + len;
    struct stanza stanza = {0};
    bool any = false;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *value;
        size_t line = newline ? (size_t)(newline - text) : (size_t)(end - text), value_len;

        if (is_blank(text, line) && !end_stanza(feed, &stanza, versions, err))
            return false;
        if ((value = field(text, line, "Package", &value_len))) {
            stanza.package = value;
            stanza.package_len = value_len;
            any = true;
        } else if ((value = field(text, line, "Version", &value_len))) {
            stanza.version = value;
            stanza.version_len = value_len;
        }
        text += line + (newline ? 1 : 0);
    }
    if (!any)
        return unreadable(feed, "it is no index of packages", err);
    return end_stanza(feed, &stanza, versions, err);
}

/* ---- text ---- */

const char *feed_check_expression(const char *rule)
{
    const char *why = expression_refusal(rule);
    regex_t compiled;
    size_t groups;

    if (why)
        return why;
    if (regcomp(&compiled, rule, REG_EXTENDED | REG_NEWLINE) != 0)
        return "it is no POSIX extended regular expression";
    groups = compiled.re_nsub;
    regfree(&compiled);
    return groups == 1 ? NULL : "it needs one group, around the version";
}

/* What an expression looks at: a line, or a part of a long one. */
struct window {
    const char *line, *at, *end; /* of the line, of what is left of it */
    int64_t until;               /* by clock_now */
};

/*
 * Finds the next match, and moves behind it. A match that ends where the window does may go on, so
 * it is looked at once more from its beginning; one that is longer than the window is none.
 */
static bool next_match(const regex_t *expression, struct window *window, regmatch_t *group)
{
    while (window->at < window->end && clock_now() < window->until) {
        size_t rest = (size_t)(window->end - window->at);
        bool cut = rest > FEED_WINDOW;
        regmatch_t matches[2] = {{.rm_so = 0, .rm_eo = cut ? FEED_WINDOW : (regoff_t)rest}};
        int flags =
            REG_STARTEND | (window->at > window->line ? REG_NOTBOL : 0) | (cut ? REG_NOTEOL : 0);
        const char *from = window->at;

        if (regexec(expression, from, 2, matches, flags) != 0) {
            window->at += cut ? FEED_WINDOW / 2 : (regoff_t)rest;
            continue;
        }
        if (cut && matches[0].rm_eo == FEED_WINDOW) {
            window->at += matches[0].rm_so > 0 ? matches[0].rm_so : FEED_WINDOW;
            continue;
        }
        window->at += matches[0].rm_eo > 0 ? matches[0].rm_eo : 1;
        if (matches[1].rm_so < 0)
            continue;
        *group = (regmatch_t){(regoff_t)(from - window->line) + matches[1].rm_so,
                              (regoff_t)(from - window->line) + matches[1].rm_eo};
        return true;
    }
    return false;
}

bool feed_read_text(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                    struct err *err)
{
    const int64_t until = clock_now() + FEED_MATCH_MS * NS_PER_MS;
    const char *end = text + len;
    regex_t expression;
    bool ok = true;

    if (memchr(text, '\0', len))
        return unreadable(feed, "it is no text", err);
    if (regcomp(&expression, feed->rule, REG_EXTENDED | REG_NEWLINE) != 0)
        return unreadable(feed, "its expression cannot be used", err);
    while (ok && text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        struct window window = {text, text, newline ? newline : end, until};
        regmatch_t group;

        while (ok && next_match(&expression, &window, &group))
            ok = feed_add(versions, text + group.rm_so, (size_t)(group.rm_eo - group.rm_so), err);
        if (ok && window.at < window.end)
            ok = unreadable(feed, "its expression takes too long", err);
        text = newline ? newline + 1 : end;
    }
    regfree(&expression);
    return ok;
}
