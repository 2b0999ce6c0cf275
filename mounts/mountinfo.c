#include "mounts/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/path.h"

#define MOUNT_POINT_FIELD 4 /* counted from 0 */

static bool is_octal(const char *text)
{
    for (int i = 0; i < 3; i++) {
        if (text[i] < '0' || text[i] > '7')
            return false;
    }
    return true;
}

/* Moves behind the field at *line and the blank that follows; false at the end of the line. */
static bool skip_field(const char **line)
{
    *line += strcspn(*line, " \n");
    if (**line != ' ')
        return false;
    (*line)++;
    return true;
}

/* The next byte of the field at *line, unescaped; NUL at its end. */
static char next_byte(const char **line)
{
    const char *at = *line;

    if (*at == '\0' || *at == ' ' || *at == '\n')
        return '\0';
    if (*at == '\\' && is_octal(at + 1)) {
        *line += 4;
        return (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
    }
    (*line)++;
    return *at;
}

/* The field at `line`, unescaped and cut to what fits; false when it was cut. */
static bool copy_field(const char *line, char *out, size_t size)
{
    size_t used = 0;
    char byte;

    while ((byte = next_byte(&line)) != '\0' && used + 1 < size)
        out[used++] = byte;
    out[used] = '\0';
    return byte == '\0';
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS" */
static bool read_line(const char *line, struct mountinfo_entry *entry)
{
    unsigned int major, minor;
    unsigned long long id = 0, parent = 0;
    bool ok = sscanf(line, "%llu %llu ", &id, &parent) == 2;
    size_t len;

    entry->id = id;
    entry->parent = parent;
    if (!ok || !skip_field(&line) || !skip_field(&line) ||
        sscanf(line, "%u:%u ", &major, &minor) != 2 || !skip_field(&line) ||
        !copy_field(line, entry->root, sizeof(entry->root)) || !skip_field(&line) ||
        !copy_field(line, entry->point, sizeof(entry->point)) || entry->point[0] != '/' ||
        !skip_field(&line))
        return false;
    entry->dev = makedev(major, minor);
    do {
        if (!skip_field(&line))
            return false;
    } while (strncmp(line, "- ", 2) != 0);
    if (!skip_field(&line))
        return false;
    copy_field(line, entry->type, sizeof(entry->type));
    if (!skip_field(&line) || !skip_field(&line))
        return false;
    len = strcspn(line, "\n");
    len = len < sizeof(entry->options) ? len : sizeof(entry->options) - 1;
    memcpy(entry->options, line, len);
    entry->options[len] = '\0';
    return true;
}

static const char *next_line(const char *text)
{
    text += strcspn(text, "\n");
    return text + (*text == '\n');
}

bool mountinfo_read(const char **text, struct mountinfo_entry *entry)
{
    bool ok = read_line(*text, entry);

    *text = next_line(*text);
    return ok;
}

/* `path` without `prefix`, which it is below: "/" is the prefix of everything. */
static const char *behind(const char *path, const char *prefix)
{
    return path + (strcmp(prefix, "/") != 0 ? strlen(prefix) : 0);
}

/* Where `path`, which is below `from`, lies when that is found at `to`. */
static char *moved(const char *path, const char *from, const char *to)
{
    const char *rest = behind(path, from);

    if (strcmp(rest, "/") == 0)
        rest = "";
    return text_printf("%s%s", *rest && strcmp(to, "/") == 0 ? "" : to, rest);
}

/* The device of a line, and all that is behind it; "" when there is none. */
static const char *device_of(const char *line)
{
    const char *device = line;

    return skip_field(&device) && skip_field(&device) ? device : "";
}

/* The line of the mount with that id, or the end of the text. */
static const char *find_line(const char *text, uint64_t id)
{
    while (*text && strtoull(text, NULL, 10) != id)
        text = next_line(text);
    return text;
}

bool mountinfo_names(const char *text, uint64_t id, const char *path, struct strv *names)
{
    const char *line = find_line(text, id), *device = device_of(line);
    struct mountinfo_entry own, mount;
    autofree char *inner = NULL;

    if (!*line || !mountinfo_read(&line, &own) || !path_is_below(path, own.point))
        return true;
    inner = moved(path, own.point, own.root);
    while (inner && *text) {
        char *name;

        /* Hosts have many mounts, and most are of other file systems. */
        if (strncmp(device_of(text), device, strcspn(device, " ") + 1) != 0) {
            text = next_line(text);
            continue;
        }
        if (!mountinfo_read(&text, &mount) || !path_is_below(inner, mount.root))
            continue;
        name = moved(inner, mount.root, mount.point);
        if (name && strv_contains(names, name))
            free(name);
        else if (!name || !strv_take(names, name))
            return false;
    }
    return inner;
}

/* Whether the mount point of a line, of whatever length, is below the path; true without one. */
static bool is_mounted_below(const char *line, const char *path, bool itself)
{
    char byte;

    for (int i = 0; i < MOUNT_POINT_FIELD; i++) {
        if (!skip_field(&line))
            return true;
    }
    if (*line != '/')
        return true;
    for (const char *at = path; *at; at++) {
        if (next_byte(&line) != *at)
            return false;
    }
    byte = next_byte(&line);
    return byte == '\0' ? itself : byte == '/' || strcmp(path, "/") == 0;
}

static bool has_mount(const char *text, const char *path, bool itself)
{
    while (*text) {
        if (is_mounted_below(text, path, itself))
            return true;
        text = next_line(text);
    }
    return false;
}

bool mountinfo_has_below(const char *text, const char *path)
{
    return has_mount(text, path, true);
}

bool mountinfo_has_inside(const char *text, const char *path)
{
    return has_mount(text, path, false);
}

static bool is_fuse(const char *type)
{
    static const char *const types[] = {"fuse", "fuseblk"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t len = strlen(types[i]);

        if (strncmp(type, types[i], len) == 0 && (type[len] == '\0' || type[len] == '.'))
            return true;
    }
    return false;
}

/* Whether one of the comma-separated options is `option`. */
static bool has_option(const char *options, const char *option)
{
    size_t len = strlen(option);

    for (;;) {
        size_t next = strcspn(options, ",");

        if (next == len && strncmp(options, option, len) == 0)
            return true;
        if (options[next] != ',')
            return false;
        options += next + 1;
    }
}

bool mountinfo_is_served(const struct mountinfo_entry *entry)
{
    static const char *const types[] = {"9p",       "afs",  "autofs",  "ceph", "cifs",
                                        "coda",     "gfs2", "lustre",  "nfs",  "nfs4",
                                        "orangefs", "smb3", "virtiofs"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(entry->type, types[i]) == 0)
            return true;
    }
    return is_fuse(entry->type);
}

bool mountinfo_has_served(const char *text)
{
    while (*text) {
        struct mountinfo_entry entry;

        if (!mountinfo_read(&text, &entry) ||
            (mountinfo_is_served(&entry) && !path_is_below(entry.point, "/proc")))
            return true;
    }
    return false;
}

bool mountinfo_is_private(const struct mountinfo_entry *entry)
{
    return is_fuse(entry->type) && !has_option(entry->options, "allow_other");
}
