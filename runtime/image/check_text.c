#include "runtime/image/check_text.h"

#include <ctype.h>
#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._"
#define NAME_MAX_LEN    128
#define VERSION_MAX_LEN 128

/* A part of a text. */
struct span {
    const char *start;
    size_t len;
};

/* The next line without its end; false behind the last one. */
static bool next_line(struct span *rest, struct span *line)
{
    const char *end;

    if (!rest->len)
        return false;
    end = memchr(rest->start, '\n', rest->len);
    line->start = rest->start;
    line->len = end ? (size_t)(end - rest->start) : rest->len;
    rest->start += line->len + (end != NULL);
    rest->len -= line->len + (end != NULL);
    return true;
}

static struct span trimmed(struct span span)
{
    while (span.len && strchr(" \t\r", span.start[0]) && span.start[0])
        span = (struct span){span.start + 1, span.len - 1};
    while (span.len && strchr(" \t\r", span.start[span.len - 1]) && span.start[span.len - 1])
        span.len--;
    return span;
}

/* Whether the line is "KEY:value" or "KEY=value"; *value is trimmed. */
static bool take_field(struct span line, const char *key, char separator, struct span *value)
{
    size_t len = strlen(key);

    if (line.len <= len || strncasecmp(line.start, key, len) != 0 || line.start[len] != separator)
        return false;
    *value = trimmed((struct span){line.start + len + 1, line.len - len - 1});
    return true;
}

/* ---- os-release ---- */

/* What a shell makes of a word in quotes or none; nothing is expanded. */
static bool unquote(struct span value, char out[CHECK_VALUE_MAX])
{
    char quote = '\0';
    size_t len = 0;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.start[i];

        if (quote && c == quote) {
            quote = '\0';
            continue;
        }
        if (!quote && (c == '"' || c == '\'')) {
            quote = c;
            continue;
        }
        if (c == '\\' && quote != '\'' && i + 1 < value.len)
            c = value.start[++i];
        if (iscntrl((unsigned char)c) || len + 1 >= CHECK_VALUE_MAX)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return !quote;
}

bool check_os_release(const char *text, size_t len, const char *key, char value[CHECK_VALUE_MAX])
{
    struct span rest = {text, len}, line, found;
    char taken[CHECK_VALUE_MAX];
    bool ok = false;

    while (next_line(&rest, &line)) {
        line = trimmed(line);
        if (strncmp(line.start, key, strlen(key) < line.len ? strlen(key) : line.len) != 0 ||
            !take_field(line, key, '=', &found))
            continue;
        ok = unquote(found, taken);
        if (ok)
            strcpy(value, taken);
    }
    return ok;
}

/* ---- packages ---- */

void check_packages_release(struct check_packages *packages)
{
    strv_release(&packages->names);
    strv_release(&packages->versions);
}

static bool is_name(struct span name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!name.start[i] || !strchr(NAME_CHARACTERS, name.start[i]))
            return false;
    }
    return true;
}

static bool is_version(struct span version)
{
    if (version.len > VERSION_MAX_LEN)
        return false;
    for (size_t i = 0; i < version.len; i++) {
        if (!isgraph((unsigned char)version.start[i]))
            return false;
    }
    return true;
}

/* One package as far as it was read. */
struct stanza {
    struct span name, version;
    bool has_status, installed;
};

static bool add_package(struct check_packages *packages, const struct stanza *stanza)
{
    struct span version =
        stanza->version.len && is_version(stanza->version) ? stanza->version : (struct span){"", 0};

    if (!is_name(stanza->name))
        return true;
    return strv_take(&packages->names, strndup(stanza->name.start, stanza->name.len)) &&
           strv_take(&packages->versions, strndup(version.start, version.len));
}

/* "install ok installed", "hold ok installed": the third word decides. */
static bool is_installed(struct span status)
{
    static const char word[] = "installed";
    size_t len = sizeof(word) - 1;
    size_t words = 1;

    for (size_t i = 1; i < status.len; i++)
        words += status.start[i] == ' ' && status.start[i - 1] != ' ';
    return words == 3 && status.len > len && status.start[status.len - len - 1] == ' ' &&
           memcmp(status.start + status.len - len, word, len) == 0;
}

bool check_packages_dpkg(const char *text, size_t len, bool stated, struct check_packages *packages)
{
    struct span rest = {text, len}, line, status;
    struct stanza stanza = {0};
    bool more = true;

    while (more) {
        more = next_line(&rest, &line);
        if (more && trimmed(line).len) {
            take_field(line, "Package", ':', &stanza.name);
            take_field(line, "Version", ':', &stanza.version);
            if (take_field(line, "Status", ':', &status)) {
                stanza.has_status = true;
                stanza.installed = is_installed(status);
            }
            continue;
        }
        if ((stanza.installed || (stated && !stanza.has_status)) && !add_package(packages, &stanza))
            return false;
        stanza = (struct stanza){0};
    }
    return true;
}

bool check_packages_apk(const char *text, size_t len, struct check_packages *packages)
{
    struct span rest = {text, len}, line;
    struct stanza stanza = {0};
    bool more = true;

    while (more) {
        more = next_line(&rest, &line);
        if (more && trimmed(line).len) {
            /* Letters of both cases mean different fields. */
            if (line.start[0] == 'P')
                take_field(line, "P", ':', &stanza.name);
            if (line.start[0] == 'V')
                take_field(line, "V", ':', &stanza.version);
            continue;
        }
        if (!add_package(packages, &stanza))
            return false;
        stanza = (struct stanza){0};
    }
    return true;
}

static bool matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (*name++ != *pattern)
                return false;
            continue;
        }
        if (!isdigit((unsigned char)*name))
            return false;
        while (isdigit((unsigned char)*name))
            name++;
    }
    return *name == '\0';
}

const char *check_packages_find(const struct check_packages *packages, const char *pattern)
{
    for (size_t i = 0; i < packages->names.count && i < packages->versions.count; i++) {
        if (matches(pattern, packages->names.items[i]))
            return packages->versions.items[i];
    }
    return NULL;
}

/* ---- accounts ---- */

bool check_has_account(const char *text, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    struct span rest = {text, len}, line;

    while (next_line(&rest, &line)) {
        if (name_len && line.len > name_len && line.start[name_len] == ':' &&
            memcmp(line.start, name, name_len) == 0)
            return true;
    }
    return false;
}

/* ---- start-up files of shells ---- */

static bool contains(struct span line, const char *text)
{
    return memmem(line.start, line.len, text, strlen(text)) != NULL;
}

/* One element of a PATH; what no text can tell is left out. */
static bool add_directory(struct span part, const char *home, struct strv *directories)
{
    static const char *const homes[] = {"${HOME}", "$HOME", "~"};
    autofree char *directory = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(homes) && !directory; i++) {
        size_t len = strlen(homes[i]);

        if (part.len >= len && memcmp(part.start, homes[i], len) == 0)
            directory = text_printf("%s%.*s", home, (int)(part.len - len), part.start + len);
    }
    if (!directory)
        directory = strndup(part.start, part.len);
    if (!directory)
        return false;
    if (directory[0] != '/' || strchr(directory, '$') || strchr(directory, '`') ||
        strv_contains(directories, directory))
        return true;
    return strv_add(directories, directory);
}

static bool add_directories(struct span value, const char *home, struct strv *directories)
{
    size_t start = 0;

    for (size_t i = 0; i <= value.len; i++) {
        bool ends = i == value.len || strchr("\"' \t;&|)", value.start[i]);

        if (!ends && value.start[i] != ':')
            continue;
        if (i > start &&
            !add_directory((struct span){value.start + start, i - start}, home, directories))
            return false;
        start = i + 1;
        /* A quote in front does not end the word. */
        if (ends && i > 0)
            break;
    }
    return true;
}

/* The value behind "PATH=" where that is a word of its own. */
static bool find_assignment(struct span line, struct span *value)
{
    static const char word[] = "PATH=";
    const char *at = line.start, *end = line.start + line.len;

    while ((at = memmem(at, (size_t)(end - at), word, sizeof(word) - 1))) {
        bool begins = at == line.start || strchr(" \t;&", at[-1]);

        at += sizeof(word) - 1;
        if (begins) {
            *value = (struct span){at, (size_t)(end - at)};
            return true;
        }
    }
    return false;
}

bool check_shell_paths(const char *text, size_t len, const char *home, struct strv *directories,
                       struct strv *tools)
{
    static const struct {
        const char *text, *tool;
    } managers[] = {
        {"nvm.sh", "nvm"},         {"rbenv init", "rbenv"},      {"pyenv init", "pyenv"},
        {"nodenv init", "nodenv"}, {"sdkman-init.sh", "sdkman"}, {"rvm/scripts/rvm", "rvm"},
        {"asdf.sh", "asdf"},       {"conda.sh", "conda"},
    };
    struct span rest = {text, len}, line, value;

    while (next_line(&rest, &line)) {
        line = trimmed(line);
        if (!line.len || line.start[0] == '#')
            continue;
        if (find_assignment(line, &value) && !add_directories(value, home, directories))
            return false;
        for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
            if (contains(line, managers[i].text) && !strv_contains(tools, managers[i].tool) &&
                !strv_add(tools, managers[i].tool))
                return false;
        }
    }
    return true;
}

/* ---- versions ---- */

static const char *without_v(const char *version)
{
    return (version[0] == 'v' || version[0] == 'V') && isdigit((unsigned char)version[1])
               ? version + 1
               : version;
}

static bool goes_on(const char *shorter, const char *longer)
{
    size_t len = strlen(shorter);

    return len && strncmp(shorter, longer, len) == 0 &&
           (longer[len] == '\0' || strchr(".-_+", longer[len]));
}

bool check_versions_agree(const char *a, const char *b)
{
    a = without_v(a);
    b = without_v(b);
    return goes_on(a, b) || goes_on(b, a);
}

char *check_upstream_version(const char *version)
{
    const char *colon = strchr(version, ':'), *start = colon ? colon + 1 : version;
    const char *dash = strrchr(start, '-');

    return strndup(start, dash ? (size_t)(dash - start) : strlen(start));
}
