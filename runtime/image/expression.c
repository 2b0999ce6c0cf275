#include "runtime/image/expression.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What is open: the whole, or a group. */
struct level {
    size_t parts;
    bool is_empty;     /* what the branch has so far can be empty */
    bool can_be_empty; /* a branch before it can */
};

/* What a repetition would be of. */
struct atom {
    size_t parts;
    bool is_empty; /* can be */
};

#define NO_LEVEL ((struct level){.is_empty = true})
#define NO_ATOM  ((struct atom){.is_empty = true})

struct scan {
    const char *text;
    struct level levels[EXPRESSION_DEPTH_MAX + 1];
    size_t depth;
    struct atom atom;
};

const char *expression_bracket_end(const char *text)
{
    const char *c = text + 1;

    c += *c == '^';
    c += *c == ']';
    while (*c && *c != ']') {
        /* "[:alpha:]", "[.x.]" and "[=x=]" have a ']' of their own. */
        const char end[] = {c[1], ']', '\0'};
        bool is_class = *c == '[' && c[1] && strchr(":.=", c[1]);

        c = is_class ? strstr(c + 2, end) : c + 1;
        if (!c)
            return NULL;
        c += is_class ? strlen(end) : 0;
    }
    return *c ? c + 1 : NULL;
}

static const char *check_escapes(const char *text, const char *end)
{
    for (; text < end; text++) {
        if (*text == '\\' && isalnum((unsigned char)text[1]))
            return "a letter or a digit behind '\\' is not allowed";
    }
    return NULL;
}

static void begin_atom(struct scan *scan, struct atom atom)
{
    struct level *level = &scan->levels[scan->depth];

    level->parts += scan->atom.parts;
    level->is_empty = level->is_empty && scan->atom.is_empty;
    scan->atom = atom;
}

static const char *take_repetition(struct scan *scan)
{
    struct atom *atom = &scan->atom;
    char how = *scan->text++;

    if (how != '?' && atom->is_empty)
        return "what can be empty is not to be repeated";
    if (how == '+')
        atom->parts *= 2;
    else
        atom->is_empty = true;
    return NULL;
}

static const char *take_group(struct scan *scan)
{
    struct level *level;
    bool closes = *scan->text++ == ')';

    begin_atom(scan, NO_ATOM);
    if (closes ? scan->depth == 0 : scan->depth == EXPRESSION_DEPTH_MAX)
        return closes ? "a ')' has no '('" : "too many groups lie in another";
    if (!closes) {
        scan->levels[++scan->depth] = NO_LEVEL;
        return NULL;
    }
    level = &scan->levels[scan->depth--];
    scan->atom = (struct atom){level->parts + 1, level->is_empty || level->can_be_empty};
    return NULL;
}

static const char *take_branch(struct scan *scan)
{
    struct level *level = &scan->levels[scan->depth];

    scan->text++;
    begin_atom(scan, NO_ATOM);
    level->can_be_empty = level->can_be_empty || level->is_empty;
    level->is_empty = true;
    return NULL;
}

/* A character, a set or an anchor, of which some are escaped. */
static const char *take_atom(struct scan *scan)
{
    const char *text = scan->text, *why = NULL;
    bool is_anchor = *text == '^' || *text == '$';

    scan->text++;
    if (*text == '\\') {
        why = text[1] ? check_escapes(text, text + 1) : "nothing is behind the last '\\'";
        is_anchor = strchr("<>`'", text[1]);
        scan->text++;
    } else if (*text == '[') {
        scan->text = expression_bracket_end(text);
        why = scan->text ? check_escapes(text, scan->text) : "a '[' has no ']'";
    }
    /* Of what follows one the C library keeps a copy for each group of them. */
    if (!why && is_anchor && scan->depth > 0)
        why = "'^', '$' and what else matches a place are not allowed in a group";
    begin_atom(scan, (struct atom){1, is_anchor});
    return why;
}

const char *expression_refusal(const char *text)
{
    struct scan scan = {.text = text, .levels = {NO_LEVEL}, .atom = NO_ATOM};
    const char *why = NULL;

    while (!why && *scan.text) {
        char c = *scan.text;

        why = c == '{'                           ? "'{' is not allowed in an expression"
              : c == '*' || c == '+' || c == '?' ? take_repetition(&scan)
              : c == '(' || c == ')'             ? take_group(&scan)
              : c == '|'                         ? take_branch(&scan)
                                                 : take_atom(&scan);
        if (!why && scan.levels[scan.depth].parts + scan.atom.parts > EXPRESSION_PARTS_MAX)
            why = "the expression is too large, with what '+' doubles";
    }
    return why;
}
