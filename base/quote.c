#include "base/quote.h"

#include <string.h>

#include "base/utf8.h"

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+="

/* As numbers of three digits, none of which can run into what follows. */
static bool quote_bytes(struct buf *out, const char *word)
{
    bool ok = buf_append_text(out, "$'");
    const char *end = word + strlen(word);

    for (const char *p = word; ok && p < end;) {
        size_t n = utf8_harmless(p, (size_t)(end - p));

        /* An exclamation mark would be the history's in some shells, and in others nothing; "##"
         * begins an order to the orchestrator that shows the line. */
        if (n == 0 || *p == '\'' || *p == '\\' || *p == '!' || *p == '#') {
            ok = buf_printf(out, "\\%03o", (unsigned char)*p++);
            continue;
        }
        ok = buf_append(out, p, n);
        p += n;
    }
    return ok && buf_append_text(out, "'");
}

static bool is_harmless(const char *word)
{
    const char *end = word + strlen(word);

    for (const char *p = word; p < end;) {
        size_t n = utf8_harmless(p, (size_t)(end - p));

        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

bool quote_shell(struct buf *out, const char *word)
{
    bool ok;

    /* "=ls" is a path to zsh. */
    if (*word && *word != '=' && !word[strspn(word, PLAIN)])
        return buf_append_text(out, word);
    if (!is_harmless(word) || strstr(word, "##"))
        return quote_bytes(out, word);
    ok = buf_append_text(out, "'");
    for (; ok && *word; word++)
        ok = *word == '\'' ? buf_append_text(out, "'\\''") : buf_append(out, word, 1);
    return ok && buf_append_text(out, "'");
}

bool quote_csv(struct buf *out, const char *key, const char *value)
{
    bool ok;

    if (!strpbrk(value, ",\"\r\n"))
        return buf_printf(out, "%s=%s", key, value);
    ok = buf_printf(out, "\"%s=", key);
    for (; ok && *value; value++)
        ok = buf_append(out, *value == '"' ? "\"\"" : value, *value == '"' ? 2 : 1);
    return ok && buf_append_text(out, "\"");
}
