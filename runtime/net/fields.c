#include "runtime/net/fields.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/num.h"

#define SECONDS_MAX UINT64_C(1000000000)
#define NUMBER_MAX  24 /* bytes of a number with its final NUL */

bool http_date_parse(const char *value, time_t *date)
{
    /* All forms of a date begin with the name of a day. */
    time_t parsed = isalpha((unsigned char)*value) ? curl_getdate(value, NULL) : -1;

    if (parsed < 0)
        return false;
    *date = parsed;
    return true;
}

bool retry_after_parse(const char *value, time_t now, uint64_t *ms)
{
    uint64_t seconds;
    time_t date;

    if (isdigit((unsigned char)*value)) {
        char number[NUMBER_MAX];
        size_t len = strcspn(value, " \t");

        if (len >= sizeof(number) || value[len + strspn(value + len, " \t")])
            return false;
        memcpy(number, value, len);
        number[len] = '\0';
        if (!num_parse(number, SECONDS_MAX, &seconds))
            return false;
    } else {
        if (!http_date_parse(value, &date))
            return false;
        seconds = date > now ? (uint64_t)(date - now) : 0;
    }
    *ms = seconds * 1000;
    return true;
}

/* Digits at *p, which moves behind them. */
static bool take_number(const char **p, uint64_t *number)
{
    char text[NUMBER_MAX];
    size_t len = strspn(*p, "0123456789");

    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, *p, len);
    text[len] = '\0';
    *p += len;
    return num_parse(text, INT64_MAX, number);
}

static bool take_char(const char **p, char c)
{
    return *(*p)++ == c;
}

bool content_range_parse(const char *value, struct content_range *range)
{
    struct content_range found = {0};
    const char *p = value;

    if (strncasecmp(p, "bytes", 5) != 0 || (p[5] != ' ' && p[5] != '\t'))
        return false;
    p += 5;
    p += strspn(p, " \t");
    if (!take_number(&p, &found.first) || !take_char(&p, '-') || !take_number(&p, &found.last) ||
        !take_char(&p, '/'))
        return false;
    found.has_size = *p != '*';
    if (!found.has_size)
        p++;
    else if (!take_number(&p, &found.size))
        return false;
    p += strspn(p, " \t");
    if (*p || found.first > found.last || (found.has_size && found.last >= found.size))
        return false;
    *range = found;
    return true;
}

/* ---- quoted values ---- */

/* A parameter's value at *p, quoted or not, into `value`; false when it is too long. */
static bool take_value(const char **p, struct buf *value)
{
    const char *s = *p;
    bool ok = true;

    if (*s != '"') {
        size_t len = strcspn(s, "; ,\t");

        *p = s + len;
        return buf_append(value, s, len);
    }
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        ok = ok && buf_append(value, s, 1);
    }
    *p = *s ? s + 1 : s;
    return ok;
}

/* ---- links ---- */

/* Whether a list of relations, with blanks between them, has "next". */
static bool names_next(const char *relations)
{
    const char *p = relations;

    for (;;) {
        size_t len;

        p += strspn(p, " \t");
        len = strcspn(p, " \t");
        if (len == 0)
            return false;
        if (len == 4 && strncasecmp(p, "next", 4) == 0)
            return true;
        p += len;
    }
}

/* The parameters of one link, up to the comma behind it. The first "rel" counts. */
static bool take_parameters(const char **p)
{
    bool seen = false, next = false;

    for (;;) {
        autobuf value = BUF_INIT(1024);
        const char *name;
        size_t len;

        *p += strspn(*p, " \t;");
        if (!**p || **p == ',')
            return next;
        name = *p;
        len = strcspn(name, "=;, \t");
        *p += len;
        *p += strspn(*p, " \t");
        if (**p != '=') {
            if (len == 0)
                (*p)++; /* a stray sign */
            continue;
        }
        (*p)++;
        *p += strspn(*p, " \t");
        if (!take_value(p, &value) || len != 3 || strncasecmp(name, "rel", 3) != 0 || seen)
            continue;
        seen = true;
        next = value.data && names_next(value.data);
    }
}

char *link_next(const char *value)
{
    const char *p = value;

    for (;;) {
        const char *target;
        size_t len;

        p += strspn(p, " \t,");
        if (*p != '<')
            return NULL;
        target = ++p;
        len = strcspn(target, ">");
        if (!target[len])
            return NULL;
        p += len + 1;
        if (take_parameters(&p))
            return strndup(target, len);
    }
}

/* ---- warnings ---- */

#define OURS "299 - \"" /* persistent, of nobody in particular */

char *warning_text(const char *value)
{
    const char *p = value;

    for (;;) {
        autobuf text = BUF_INIT(WARNING_MAX);
        bool ours;

        p += strspn(p, " \t,");
        ours = strncmp(p, OURS, strlen(OURS)) == 0;
        p = strchr(p, '"');
        if (!p || !take_value(&p, &text) || p[-1] != '"')
            return NULL;
        if (ours)
            return text.len ? buf_take(&text) : NULL;
        /* A date may follow, in quotes of its own. */
        p += strcspn(p, ",\"");
        if (*p == '"' && !(p = strchr(p + 1, '"')))
            return NULL;
        p += strcspn(p, ",");
    }
}
