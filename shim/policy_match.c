/* Patterns, and where in a text something stands (pure). */
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "shim/policy.h"

/*
 * Takes the next token of a pattern; `fits` has, for all beginnings of the text at once, whether
 * what was taken of the pattern fits. Returns the rest of the pattern.
 */
static const char *take_token(const char *p, const char *text, size_t len, bool *fits)
{
    bool star = *p == '*', across = star && p[1] == '*';

    if (star) {
        for (size_t i = 1; i <= len; i++)
            fits[i] = fits[i] || (fits[i - 1] && (across || text[i - 1] != '/'));
        return p + 1 + across;
    }
    for (size_t i = len; i > 0; i--)
        fits[i] = fits[i - 1] && (*p == '?' ? text[i - 1] != '/' : *p == text[i - 1]);
    fits[0] = false;
    return p + 1;
}

bool policy_glob(const char *pattern, const char *text)
{
    bool fits[POLICY_TEXT_MAX + 1] = {true};
    size_t len = strlen(text);

    if (len > POLICY_TEXT_MAX)
        return false;
    while (*pattern)
        pattern = take_token(pattern, text, len, fits);
    return fits[len];
}

bool policy_glob_touches(const char *pattern, const char *path)
{
    bool fits[POLICY_TEXT_MAX + 1] = {true};
    autofree char *text = text_printf("%s%s", path, path[1] ? "/" : "");
    size_t len = text ? strlen(text) : 0;

    if (!text || len > POLICY_TEXT_MAX)
        return true;
    while (*pattern && !fits[len])
        pattern = take_token(pattern, text, len, fits);
    /* Either it goes on below the path, or it ends there or above. */
    for (size_t i = 0; i < len && !fits[len]; i++)
        fits[len] = fits[i] && text[i] == '/';
    return fits[len];
}

bool policy_glob_any(const struct strv *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (policy_glob(patterns->items[i], text))
            return true;
    }
    return false;
}

const char *policy_find_guarded(const struct strv *places, const char *path)
{
    for (size_t i = 0; i < places->count; i++) {
        if (policy_glob_touches(places->items[i], path))
            return places->items[i];
    }
    return NULL;
}

static bool is_local(const char *pattern)
{
    static const char *const transports[] = {"oci:/", "oci-archive:/", "docker-archive:/"};

    for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
        if (strncmp(pattern, transports[i], strlen(transports[i])) == 0)
            return true;
    }
    return false;
}

/* What makes the first part of a name a host, in a pattern. */
static bool names_host(const char *first)
{
    if (strpbrk(first, ".:*?") || strcmp(first, "localhost") == 0)
        return true;
    while (*first && !isupper((unsigned char)*first))
        first++;
    return *first;
}

char *policy_image_pattern(const char *pattern)
{
    size_t host = strcspn(pattern, "/");
    const char *colon = strrchr(pattern, ':');
    bool has_path = pattern[host];
    autofree char *name = NULL;

    if (is_local(pattern) || strcmp(pattern, "**") == 0)
        return strdup(pattern);
    /* Tags and digests have keys of their own; an empty part fits nothing. */
    if (!*pattern || strchr(pattern, '@') || (colon && (!has_path || colon > pattern + host)) ||
        strstr(pattern, "//") || *pattern == '/' || pattern[strlen(pattern) - 1] == '/')
        return NULL;
    name = has_path ? strndup(pattern, host) : NULL;
    if (name && names_host(name)) {
        autofree char *compared = reference_host(name);

        return compared ? text_printf("%s%s", compared, pattern + host) : NULL;
    }
    /* A name in the manner of Docker Hub; "*" could be meant for a host as well. */
    if (!has_path && strpbrk(pattern, "*?"))
        return NULL;
    return text_printf("docker.io/%s%s", has_path ? "" : "library/", pattern);
}

/* ---- lines ---- */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n,:");
}

static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return *p ? p + 1 : p;
}

static const char *skip_value(const char *p)
{
    size_t depth = 0;

    do {
        p = skip_blanks(p);
        if (*p == '"') {
            p = skip_string(p);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else {
            p += strcspn(p, " \t\r\n,:]}\"");
        }
    } while (depth && *p);
    return p;
}

/* The key in the object at `p`, or NULL. */
static const char *find_key(const char *p, const char *key, size_t len)
{
    for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(skip_value(skip_string(p)))) {
        if (strncmp(p + 1, key, len) == 0 && p[1 + len] == '"')
            return p;
    }
    return NULL;
}

static const char *find_item(const char *p, size_t index)
{
    for (p = skip_blanks(p + 1); *p && *p != ']'; p = skip_blanks(skip_value(p))) {
        if (index-- == 0)
            return p;
    }
    return NULL;
}

unsigned int policy_line(const char *text, const char *path)
{
    const char *at = skip_blanks(text), *value = at;
    unsigned int line = 1;

    while (*path && value) {
        const char *step = path + 1;
        size_t len = strcspn(step, POLICY_STEP);

        if (*value == '[') {
            value = find_item(value, strtoul(step, NULL, 10));
            at = value ? value : at;
        } else {
            value = *value == '{' ? find_key(value, step, len) : NULL;
            at = value ? value : at;
            value = value ? skip_blanks(skip_string(value)) : NULL;
        }
        path = step + len;
    }
    for (const char *p = text; p < at; p++)
        line += *p == '\n';
    return line;
}

size_t policy_enter(struct policy_place *place, const char *key)
{
    size_t mark = strlen(place->path);

    snprintf(place->path + mark, sizeof(place->path) - mark, POLICY_STEP "%s", key);
    return mark;
}

size_t policy_enter_item(struct policy_place *place, size_t index)
{
    char key[24];

    snprintf(key, sizeof(key), "%zu", index);
    return policy_enter(place, key);
}

void policy_leave(struct policy_place *place, size_t mark)
{
    place->path[mark] = '\0';
}

unsigned int policy_line_of(const struct policy_place *place)
{
    return policy_line(place->text, place->path);
}

/* "images[2].match" for the path of a place. */
static void place_name(const struct policy_place *place, struct buf *name)
{
    for (const char *p = place->path; *p;) {
        size_t len = strcspn(++p, POLICY_STEP);
        bool index = len && strspn(p, "0123456789") == len;

        buf_printf(name, index ? "[%.*s]" : name->len ? ".%.*s" : "%.*s", (int)len, p);
        p += len;
    }
}

bool policy_invalid(const struct policy_place *place, const char *why, struct err *err)
{
    autobuf name = BUF_INIT(POLICY_RULE_MAX);

    place_name(place, &name);
    err_set(err, ERR_CONFIG_INVALID, "'%s' in '%s', line %u, %s", name.data ? name.data : "",
            place->file, policy_line_of(place), why);
    return err_hint(err, "the administrator has to correct the file; until then nothing runs");
}
