#include "runtime/image/containerfile.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

#define SCRATCH      "scratch"
#define BLANKS       " \t\r\v\f"
#define HEREDOCS_MAX 16 /* of one instruction */

struct reader {
    const char *at, *end;
    const char *what;
    char escape;
};

#define NO_STAGE (-1)

struct stage {
    char *name;
    char *from;                           /* what it is built on; NULL when that cannot be told */
    int below;                            /* the stage that its FROM names, or NO_STAGE */
    bool reads[CONTAINERFILE_STAGES_MAX]; /* earlier stages that it takes files from */
    struct strv arguments; /* names of its ARGs, and of those that its FROM is made of */
    struct strv labels;    /* names */
};

/* An ARG in front of the first FROM that is given a value. */
struct global {
    char *name, *value;  /* the value is NULL where it cannot be told */
    struct strv made_of; /* the names of others that are in the value */
};

/* The file while it is read. */
struct reading {
    struct reader reader;
    const struct strv *build_args;
    struct global globals[CONTAINERFILE_ARGS_MAX];
    struct stage stages[CONTAINERFILE_STAGES_MAX];
    size_t global_count, stage_count;
};

static void reading_release(struct reading *reading)
{
    for (size_t i = 0; i < reading->global_count; i++) {
        free(reading->globals[i].name);
        free(reading->globals[i].value);
        strv_release(&reading->globals[i].made_of);
    }
    for (size_t i = 0; i < reading->stage_count; i++) {
        free(reading->stages[i].name);
        free(reading->stages[i].from);
        strv_release(&reading->stages[i].arguments);
        strv_release(&reading->stages[i].labels);
    }
}

void containerfile_release(struct containerfile *file)
{
    free(file->base);
    strv_release(&file->arguments);
    strv_release(&file->labels);
}

static bool invalid(const struct reader *reader, const char *why, struct err *err)
{
    return err_set(err, ERR_CONFIG_INVALID, "'%s' %s", reader->what, why);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read a Containerfile");
}

/* ---- lines ---- */

/* The next line, without its end and blanks there; false at the end of the text. */
static bool next_line(struct reader *reader, const char **line, size_t *len)
{
    const char *newline, *end;

    if (reader->at == reader->end)
        return false;
    newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    end = newline ? newline : reader->end;
    *line = reader->at;
    reader->at = newline ? newline + 1 : end;
    while (end > *line && strchr(BLANKS, end[-1]))
        end--;
    *len = (size_t)(end - *line);
    return true;
}

static void skip_blanks(const char **at, size_t *len)
{
    for (; *len > 0 && strchr(BLANKS, **at); (*len)--)
        (*at)++;
}

/* Whether a comment is the directive "# escape=`"; *directive: whether it is any. */
static bool chooses_backtick(const char *line, size_t len, bool *directive)
{
    const char *end = line + len, *equals = memchr(line, '=', len), *name = line + 1, *value;
    size_t name_len;

    *directive = equals != NULL;
    if (!equals)
        return false;
    while (name < equals && strchr(BLANKS, *name))
        name++;
    for (value = equals + 1; value < end && strchr(BLANKS, *value); value++)
        ;
    name_len = strcspn(name, BLANKS "=");
    return value < end && *value == '`' && name_len == strlen("escape") &&
           strncasecmp(name, "escape", name_len) == 0;
}

/* Directives are the comments at the top; what is none ends them. */
static void read_directives(struct reader *reader)
{
    const char *start = reader->at, *line;
    bool directive = true;
    size_t len;

    while (directive && next_line(reader, &line, &len)) {
        skip_blanks(&line, &len);
        if (len == 0 || *line != '#')
            break;
        if (chooses_backtick(line, len, &directive))
            reader->escape = '`';
    }
    reader->at = start;
}

/* An instruction, its lines joined; `line` is empty at the end of the text. */
static bool next_instruction(struct reader *reader, struct buf *line, struct err *err)
{
    const char *whole, *part;
    bool goes_on = true;
    size_t whole_len, len;

    line->len = 0;
    while (goes_on && next_line(reader, &whole, &whole_len)) {
        part = whole;
        len = whole_len;
        skip_blanks(&part, &len);
        if (len == 0 || *part == '#')
            continue;
        /* Blanks that a line goes on with are part of the instruction. */
        if (line->len > 0) {
            part = whole;
            len = whole_len;
        }
        goes_on = part[len - 1] == reader->escape;
        if (!buf_append(line, part, goes_on ? len - 1 : len))
            return invalid(reader, "has an instruction that is too long", err);
    }
    return true;
}

/* ---- here-documents ---- */

struct heredoc {
    const char *word;
    size_t len;
    bool tabs; /* in front of its end are left out */
};

/* The next "<<WORD", "<<-WORD", "3<<"WORD"" that begins a word of the instruction. */
static bool next_heredoc(const char **at, struct heredoc *heredoc)
{
    for (const char *p = *at; (p = strstr(p, "<<")); p++) {
        const char *start = p, *word = p + 2;
        char quote;

        while (start > *at && isdigit((unsigned char)start[-1]))
            start--;
        heredoc->tabs = *word == '-';
        word += heredoc->tabs;
        quote = *word == '"' || *word == '\'' ? *word++ : '\0';
        heredoc->word = word;
        while (isalnum((unsigned char)*word) || *word == '_')
            word++;
        heredoc->len = (size_t)(word - heredoc->word);
        if (heredoc->len == 0 || (quote && *word++ != quote) || (*word && !strchr(BLANKS, *word)) ||
            (start > *at && !strchr(BLANKS, start[-1])))
            continue;
        *at = word;
        return true;
    }
    return false;
}

/* Passes over the lines of one; those of one without an end are instructions. */
static void skip_heredoc(struct reader *reader, const struct heredoc *heredoc)
{
    const char *start = reader->at, *at = start;

    while (at < reader->end) {
        const char *newline = memchr(at, '\n', (size_t)(reader->end - at)),
                   *end = newline ? newline : reader->end, *next = newline ? newline + 1 : end;

        while (heredoc->tabs && at < end && *at == '\t')
            at++;
        if (end > at && end[-1] == '\r')
            end--;
        if ((size_t)(end - at) == heredoc->len && memcmp(at, heredoc->word, heredoc->len) == 0) {
            reader->at = next;
            return;
        }
        at = next;
    }
}

static void skip_heredocs(struct reader *reader, const char *words)
{
    struct heredoc heredoc;

    for (int i = 0; i < HEREDOCS_MAX && next_heredoc(&words, &heredoc); i++)
        skip_heredoc(reader, &heredoc);
}

/* ---- words and variables ---- */

/* The next word, with what its quotes hold together, and without them. NULL at the end. */
static char *next_word(const char **at, char escape)
{
    autofree char *word = NULL;
    char quote = '\0';
    size_t len = 0;
    const char *p;

    *at += strspn(*at, BLANKS);
    if (!**at)
        return NULL;
    word = malloc(strlen(*at) + 1);
    for (p = *at; word && *p && (quote || !strchr(BLANKS, *p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? '\0' : *p;
        else if (*p == escape && p[1] && quote != '\'')
            word[len++] = *++p;
        else
            word[len++] = *p;
    }
    *at = p;
    if (word)
        word[len] = '\0';
    return TAKE_PTR(word);
}

static size_t name_length(const char *text)
{
    size_t len = 0;

    if (isdigit((unsigned char)*text))
        return 0;
    while (isalnum((unsigned char)text[len]) || text[len] == '_')
        len++;
    return len;
}

/* The value behind "NAME=" in a list, the last one of the name; NULL for none. */
static const char *find(const struct strv *list, const char *name, size_t len)
{
    for (size_t i = list->count; i-- > 0;) {
        if (strncmp(list->items[i], name, len) == 0 && list->items[i][len] == '=')
            return list->items[i] + len + 1;
    }
    return NULL;
}

static const struct global *find_global(const struct reading *reading, const char *name, size_t len)
{
    for (size_t i = reading->global_count; i-- > 0;) {
        if (strncmp(reading->globals[i].name, name, len) == 0 && !reading->globals[i].name[len])
            return &reading->globals[i];
    }
    return NULL;
}

/* A list of names that has each once. */
static bool note(struct strv *names, const char *name)
{
    return strv_contains(names, name) || strv_add(names, name);
}

static bool note_all(struct strv *names, const struct strv *more)
{
    for (size_t i = 0; i < more->count; i++) {
        if (!note(names, more->items[i]))
            return false;
    }
    return true;
}

/* Arguments that a builder may set by itself, each to its own value. */
static bool is_builders(const char *name, size_t len)
{
    static const char *const names[] = {"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT",
                                        "BUILDPLATFORM",  "BUILDOS",  "BUILDARCH",  "BUILDVARIANT"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (len == strlen(names[i]) && strncmp(name, names[i], len) == 0)
            return true;
    }
    return false;
}

/* "$NAME", "${NAME}", "${NAME:-WORD}" or "${NAME:+WORD}" at *at, which moves on; false for any
 * other form, and for a variable that nothing sets, or whose value cannot be told. */
static bool expand_variable(const struct reading *reading, const char **at, struct buf *out,
                            struct strv *made_of)
{
    bool braces = (*at)[1] == '{';
    const char *name = *at + 1 + braces, *value, *end, *word = "";
    size_t len = name_length(name), word_len = 0;
    const struct global *global = find_global(reading, name, len);
    char form = '\0';

    (*at)++;
    if (len == 0 || (!global && is_builders(name, len)) ||
        (global &&
         (!note(made_of, global->name) || !note_all(made_of, &global->made_of) || !global->value)))
        return false;
    value = global ? global->value : NULL;
    end = name + len;
    if (braces && *end == ':' && (end[1] == '-' || end[1] == '+')) {
        form = end[1];
        word = end + 2;
        word_len = strcspn(word, "}$");
        end = word + word_len;
    }
    if (braces && *end++ != '}')
        return false;
    *at = end;
    if (form == '-' ? !value || !*value : form == '+' && value && *value)
        return buf_append(out, word, word_len);
    if (form == '+')
        return true;
    return value && buf_append_text(out, value);
}

/* Owned by the caller; NULL when it cannot be told. `made_of` gets the names of what is in it. */
static char *expand(const struct reading *reading, const char *text, struct strv *made_of)
{
    autobuf out = BUF_INIT(CONTAINERFILE_LINE_MAX);
    bool told = true;

    while (*text) {
        size_t len = strcspn(text, "$");

        if (!buf_append(&out, text, len))
            return NULL;
        text += len;
        if (*text && !expand_variable(reading, &text, &out, made_of))
            told = false;
    }
    if (!told)
        return NULL;
    return out.len ? buf_take(&out) : strdup("");
}

/* ---- instructions ---- */

/* The last of the stages, which is being read. */
static struct stage *this_stage(struct reading *reading)
{
    return &reading->stages[reading->stage_count - 1];
}

/* What the caller gives counts, then what the builder sets, which is not known; without a value it
 * is none that a FROM could have. */
static bool declare_global(struct reading *reading, const char *name, const char *preset,
                           struct err *err)
{
    const char *given = find(reading->build_args, name, strlen(name));
    struct global *global = &reading->globals[reading->global_count];
    autostrv made_of = {0};
    bool known = preset && !is_builders(name, strlen(name));
    autofree char *value = given ? strdup(given) : known ? expand(reading, preset, &made_of) : NULL;

    if (reading->global_count == CONTAINERFILE_ARGS_MAX)
        return invalid(&reading->reader, "has too many ARGs", err);
    if (!given && !preset)
        return true;
    *global = (struct global){.name = strdup(name), .value = TAKE_PTR(value), .made_of = made_of};
    made_of = (struct strv){0};
    reading->global_count++;
    return global->name || no_memory(err);
}

/* "NAME" or "NAME=DEFAULT" */
static bool declare(struct reading *reading, const char *word, struct err *err)
{
    size_t len = strcspn(word, "=");
    autofree char *name = strndup(word, len);

    if (!name)
        return no_memory(err);
    if (len == 0)
        return invalid(&reading->reader, "has an ARG without a name", err);
    if (reading->stage_count == 0)
        return declare_global(reading, name, word[len] ? word + len + 1 : NULL, err);
    if (this_stage(reading)->arguments.count >= CONTAINERFILE_ARGS_MAX)
        return invalid(&reading->reader, "has too many ARGs", err);
    return note(&this_stage(reading)->arguments, name) || no_memory(err);
}

static bool read_arg(struct reading *reading, const char *words, struct err *err)
{
    char *word;

    while ((word = next_word(&words, reading->reader.escape))) {
        bool ok = declare(reading, word, err);

        free(word);
        if (!ok)
            return false;
    }
    return true;
}

/* The last one of that name in front of stage `end`, or NO_STAGE. */
static int find_stage(const struct reading *reading, size_t end, const char *name)
{
    for (size_t i = end; i-- > 0;) {
        if (reading->stages[i].name && strcasecmp(reading->stages[i].name, name) == 0)
            return (int)i;
    }
    return NO_STAGE;
}

/* "[--OPTION...] IMAGE [AS NAME]" */
static bool read_from(struct reading *reading, const char *words, struct err *err)
{
    char escape = reading->reader.escape;
    autofree char *image = next_word(&words, escape), *as = NULL, *name = NULL, *from = NULL;
    autostrv made_of = {0};
    int below;

    while (image && strncmp(image, "--", 2) == 0) {
        free(image);
        image = next_word(&words, escape);
    }
    as = next_word(&words, escape);
    name = as ? next_word(&words, escape) : NULL;
    if (!image || !*image || (as && (strcasecmp(as, "as") != 0 || !name)))
        return invalid(&reading->reader, "has a FROM that is not 'FROM IMAGE [AS NAME]'", err);
    if (reading->stage_count == CONTAINERFILE_STAGES_MAX)
        return invalid(&reading->reader, "has too many stages", err);
    from = expand(reading, image, &made_of);
    below = from ? find_stage(reading, reading->stage_count, from) : NO_STAGE;
    if (below != NO_STAGE) {
        free(from);
        from = reading->stages[below].from ? strdup(reading->stages[below].from) : NULL;
    }
    reading->stages[reading->stage_count++] = (struct stage){
        .name = TAKE_PTR(name), .from = TAKE_PTR(from), .below = below, .arguments = made_of};
    made_of = (struct strv){0};
    return true;
}

/* A stage by its name or number; any other text names an image. */
static void note_read(struct reading *reading, const char *name)
{
    size_t last = reading->stage_count - 1;
    int found = find_stage(reading, last, name);
    uint64_t number;

    if (found != NO_STAGE)
        this_stage(reading)->reads[found] = true;
    else if (last > 0 && num_parse(name, last - 1, &number))
        this_stage(reading)->reads[number] = true;
}

/* "[--OPTION...] ...": what "--from=STAGE" and "--mount=...,from=STAGE" name. */
static bool read_files(struct reading *reading, const char *words, struct err *err)
{
    static const char from[] = "from=", copies[] = "--from=", mounts[] = "--mount=";

    (void)err;
    while (reading->stage_count > 0) {
        autofree char *option = next_word(&words, reading->reader.escape);
        char *rest = option, *part;

        if (!option || strncmp(option, "--", 2) != 0)
            break;
        if (strncmp(option, copies, strlen(copies)) == 0)
            note_read(reading, option + strlen(copies));
        if (strncmp(option, mounts, strlen(mounts)) != 0)
            continue;
        for (rest += strlen(mounts); (part = strsep(&rest, ","));) {
            if (strncmp(part, from, strlen(from)) == 0)
                note_read(reading, part + strlen(from));
        }
    }
    return true;
}

/* "NAME=VALUE..." or "NAME VALUE" */
static bool read_label(struct reading *reading, const char *words, struct err *err)
{
    struct strv *labels = reading->stage_count ? &this_stage(reading)->labels : NULL;
    bool assigns = labels != NULL;

    while (assigns) {
        autofree char *word = next_word(&words, reading->reader.escape);

        if (!word)
            return true;
        if (labels->count == CONTAINERFILE_ARGS_MAX)
            return invalid(&reading->reader, "has too many LABELs", err);
        assigns = strchr(word, '=') != NULL;
        word[strcspn(word, "=")] = '\0';
        if (!strv_add(labels, word))
            return no_memory(err);
    }
    return true;
}

static bool read_instruction(struct reading *reading, const char *line, struct err *err)
{
    static const struct {
        const char *keyword;
        bool (*read)(struct reading *reading, const char *words, struct err *err);
        bool heredocs;
    } instructions[] = {
        {"FROM", read_from, false}, {"ARG", read_arg, false},  {"RUN", read_files, true},
        {"COPY", read_files, true}, {"ADD", read_files, true}, {"LABEL", read_label, false},
    };
    size_t len;

    line += strspn(line, BLANKS);
    len = strcspn(line, BLANKS);
    for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
        const char *keyword = instructions[i].keyword;

        if (len != strlen(keyword) || strncasecmp(line, keyword, len) != 0)
            continue;
        if (instructions[i].heredocs)
            skip_heredocs(&reading->reader, line + len);
        return instructions[i].read(reading, line + len, err);
    }
    return true;
}

/* Of what the last stage is built on, or takes files from; labels come by FROM alone. */
static bool take_reached(const struct reading *reading, struct containerfile *file, struct err *err)
{
    bool reached[CONTAINERFILE_STAGES_MAX] = {false};
    int last = (int)reading->stage_count - 1, on = last;

    reached[last] = true;
    /* A stage reaches earlier ones alone. */
    for (int i = last; i >= 0; i--) {
        const struct stage *stage = &reading->stages[i];

        if (!reached[i])
            continue;
        if (!note_all(&file->arguments, &stage->arguments) ||
            (i == on && !note_all(&file->labels, &stage->labels)))
            return no_memory(err);
        if (file->arguments.count > CONTAINERFILE_ARGS_MAX)
            return invalid(&reading->reader, "has too many ARGs", err);
        for (int k = 0; k < i; k++)
            reached[k] |= stage->reads[k] || k == stage->below;
        on = i == on ? stage->below : on;
    }
    return true;
}

bool containerfile_parse(const char *text, size_t len, const char *what,
                         const struct strv *build_args, struct containerfile *file, struct err *err)
{
    CLEANUP(reading_release)
    struct reading reading = {
        .reader = {.at = text, .end = text + len, .what = what, .escape = '\\'},
        .build_args = build_args,
    };
    autobuf line = BUF_INIT(CONTAINERFILE_LINE_MAX);
    const char *from;

    if (memchr(text, '\0', len))
        return invalid(&reading.reader, "is no text", err);
    /* A byte order mark, as some editors put it in front. */
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        reading.reader.at += 3;
    read_directives(&reading.reader);
    for (;;) {
        if (!next_instruction(&reading.reader, &line, err))
            return false;
        if (line.len == 0)
            break;
        if (!read_instruction(&reading, line.data, err))
            return false;
    }
    if (reading.stage_count == 0)
        return invalid(&reading.reader, "has no FROM", err);
    if (!take_reached(&reading, file, err))
        return false;
    from = reading.stages[reading.stage_count - 1].from;
    file->on_scratch = from && strcmp(from, SCRATCH) == 0;
    if (!from || !*from || file->on_scratch)
        return true;
    file->base = strdup(from);
    return file->base || no_memory(err);
}
