#include "runtime/image/ignore.h"

#include <string.h>

#include "base/buf.h"
#include "base/path.h"

#define BLANKS     " \t\r\v\f"
#define PIECES_MAX (2 * IGNORE_PATTERN_MAX)

/* A pattern in pieces, which are tried all at once: no pattern takes more than its length times
 * that of the path. */
struct piece {
    enum {
        PIECE_BYTE, /* this one */
        PIECE_ANY,  /* one that is no '/' */
        PIECE_SET,  /* one of a set */
        PIECE_STAR, /* any number of those that are no '/' */
        PIECE_DEEP, /* any number of any */
        PIECE_DIRS, /* nothing, or the two pieces that follow: PIECE_DEEP and '/' */
    } kind;
    unsigned char byte;
    const char *set; /* behind the '[' */
};

struct pieces {
    struct piece items[PIECES_MAX + 1];
    size_t count;
};

void ignore_release(struct ignore *ignore)
{
    for (size_t i = 0; i < ignore->count; i++)
        free(ignore->rules[i].pattern);
    free(ignore->rules);
}

/* ---- patterns ---- */

/* The end of a set, its ']'; NULL when it has none. */
static const char *set_end(const char *set)
{
    const char *at = set + (*set == '^');

    for (bool first = true; *at && (first || *at != ']'); first = false)
        at += at[0] == '\\' && at[1] ? 2 : 1;
    return *at ? at : NULL;
}

static bool is_in_set(const char *set, unsigned char byte)
{
    bool negated = *set == '^', found = false;
    const char *at = set + negated, *end = set_end(set);

    while (at < end) {
        unsigned char low = (unsigned char)(*at == '\\' ? *++at : *at), high = low;

        at++;
        if (at + 1 < end && *at == '-') {
            at++;
            high = (unsigned char)(*at == '\\' ? *++at : *at);
            at++;
        }
        found = found || (low <= byte && byte <= high);
    }
    return found != negated;
}

static bool add(struct pieces *pieces, struct piece piece)
{
    if (pieces->count == PIECES_MAX)
        return false;
    pieces->items[pieces->count++] = piece;
    return true;
}

/* "**" with what follows it: at the end all that is below, otherwise any directories. */
static bool add_deep(struct pieces *pieces, const char **at)
{
    *at += **at == '/';
    if (!**at)
        return add(pieces, (struct piece){.kind = PIECE_DEEP});
    return add(pieces, (struct piece){.kind = PIECE_DIRS}) &&
           add(pieces, (struct piece){.kind = PIECE_DEEP}) &&
           add(pieces, (struct piece){.kind = PIECE_BYTE, .byte = '/'});
}

static bool add_set(struct pieces *pieces, const char **at)
{
    const char *set = *at, *end = set_end(set);

    *at = end ? end + 1 : set;
    return end && add(pieces, (struct piece){.kind = PIECE_SET, .set = set});
}

/* False for a pattern that is none. */
static bool take_apart(const char *pattern, struct pieces *pieces)
{
    const char *at = pattern;
    bool ok = true;

    pieces->count = 0;
    while (ok && *at) {
        char c = *at++;

        if (c == '*' && *at == '*') {
            at++;
            ok = add_deep(pieces, &at);
        } else if (c == '*') {
            ok = add(pieces, (struct piece){.kind = PIECE_STAR});
        } else if (c == '?') {
            ok = add(pieces, (struct piece){.kind = PIECE_ANY});
        } else if (c == '[') {
            ok = add_set(pieces, &at);
        } else {
            if (c == '\\')
                c = *at ? *at++ : '\0';
            ok = c && add(pieces, (struct piece){.kind = PIECE_BYTE, .byte = (unsigned char)c});
        }
    }
    return ok;
}

/* Marks a piece as one that may come next, and what may come instead of it. */
static void reach(const struct pieces *pieces, bool *next, size_t i)
{
    while (i <= pieces->count && !next[i]) {
        next[i] = true;
        if (i == pieces->count)
            return;
        switch (pieces->items[i].kind) {
        case PIECE_STAR:
        case PIECE_DEEP:
            i++;
            break;
        case PIECE_DIRS:
            reach(pieces, next, i + 3);
            i++;
            break;
        default:
            return;
        }
    }
}

static void step(const struct pieces *pieces, const bool *now, bool *next, unsigned char c)
{
    for (size_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->items[i];

        if (!now[i])
            continue;
        switch (piece->kind) {
        case PIECE_BYTE:
            if (piece->byte == c)
                reach(pieces, next, i + 1);
            break;
        case PIECE_ANY:
            if (c != '/')
                reach(pieces, next, i + 1);
            break;
        case PIECE_SET:
            if (c != '/' && is_in_set(piece->set, c))
                reach(pieces, next, i + 1);
            break;
        case PIECE_STAR:
            if (c != '/')
                reach(pieces, next, i);
            break;
        case PIECE_DEEP:
            reach(pieces, next, i);
            break;
        case PIECE_DIRS:
            break;
        }
    }
}

/* Whether the pattern fits the path, or a directory that it is below. */
static bool fits(const char *pattern, const char *path)
{
    bool first[PIECES_MAX + 1] = {0}, second[PIECES_MAX + 1], *now = first, *next = second;
    struct pieces pieces;

    if (!take_apart(pattern, &pieces))
        return false;
    reach(&pieces, now, 0);
    for (const char *at = path;; at++) {
        bool *swap = now;

        if (now[pieces.count] && at > path && (!*at || *at == '/'))
            return true;
        if (!*at)
            return false;
        memset(next, 0, (pieces.count + 1) * sizeof(*next));
        step(&pieces, now, next, (unsigned char)*at);
        now = next;
        next = swap;
    }
}

bool ignore_leaves_out(const struct ignore *ignore, const char *path)
{
    bool left_out = false;

    for (size_t i = 0; i < ignore->count; i++) {
        const struct ignore_rule *rule = &ignore->rules[i];

        if (rule->lets_in == left_out && fits(rule->pattern, path))
            left_out = !rule->lets_in;
    }
    return left_out;
}

/* ---- lines ---- */

/* "./a//b/../c" is "a/c"; NULL for what leaves the context. Changes the text. */
static char *clean(char *text)
{
    size_t len = 0;
    char *part;

    for (char *rest = text; (part = strsep(&rest, "/"));) {
        size_t part_len = strlen(part);

        if (part_len == 0 || strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            if (len == 0)
                return NULL;
            while (len > 0 && text[--len] != '/')
                ;
            continue;
        }
        if (len > 0)
            text[len++] = '/';
        memmove(text + len, part, part_len);
        len += part_len;
    }
    text[len] = '\0';
    return text;
}

static bool add_line(struct ignore *ignore, const char *line, size_t len, const char *what,
                     struct err *err)
{
    autofree char *copy = strndup(line, len);
    bool lets_in = len > 0 && *line == '!';
    struct ignore_rule *rules;
    struct pieces pieces;
    char *pattern;

    if (!copy)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", what);
    pattern = copy + lets_in;
    pattern = clean(pattern + strspn(pattern, BLANKS));
    /* What is outside is not in it anyway. */
    if (!pattern || (!*pattern && !lets_in))
        return true;
    if (!*pattern || len > IGNORE_PATTERN_MAX || !take_apart(pattern, &pieces))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' has a line that is no pattern: '%s'", what,
                       copy);
    if (ignore->count == IGNORE_RULES_MAX)
        return err_set(err, ERR_CONFIG_INVALID, "'%s' has more than %d patterns", what,
                       IGNORE_RULES_MAX);
    rules = reallocarray(ignore->rules, ignore->count + 1, sizeof(*rules));
    if (rules)
        ignore->rules = rules;
    pattern = rules ? strdup(pattern) : NULL;
    if (!pattern)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", what);
    rules[ignore->count++] = (struct ignore_rule){.pattern = pattern, .lets_in = lets_in};
    ignore->lets_in = ignore->lets_in || lets_in;
    return true;
}

bool ignore_parse(const char *text, size_t len, const char *what, struct ignore *ignore,
                  struct err *err)
{
    const char *at = text, *end = text + len;

    if (memchr(text, '\0', len))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' is no text", what);
    if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        const char *start = at;

        at = newline ? newline + 1 : end;
        if (*start == '#')
            continue;
        while (start < stop && strchr(BLANKS, *start))
            start++;
        while (stop > start && strchr(BLANKS, stop[-1]))
            stop--;
        if (!add_line(ignore, start, (size_t)(stop - start), what, err))
            return false;
    }
    return true;
}
