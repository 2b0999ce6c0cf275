#include "mounts/mountinfo.h"

#include <stdio.h>
#include <string.h>

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

/* The mount point of a line, unescaped; false when the line has none that fits. */
static bool mount_point(const char *line, char point[MOUNT_PATH_MAX])
{
    size_t used = 0;

    for (int i = 0; i < MOUNT_POINT_FIELD; i++) {
        line += strcspn(line, " \n");
        if (*line != ' ')
            return false;
        line++;
    }
    while (*line && *line != ' ' && *line != '\n') {
        if (used + 1 >= MOUNT_PATH_MAX)
            return false;
        if (*line == '\\' && is_octal(line + 1)) {
            point[used++] = (char)((line[1] - '0') << 6 | (line[2] - '0') << 3 | (line[3] - '0'));
            line += 4;
        } else {
            point[used++] = *line++;
        }
    }
    point[used] = '\0';
    return point[0] == '/';
}

bool mountinfo_has_below(const char *text, const char *path)
{
    while (*text) {
        char point[MOUNT_PATH_MAX];

        if (!mount_point(text, point) || path_is_below(point, path))
            return true;
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return false;
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

/* Whether one of the comma-separated options is `option`; they end with the line. */
static bool has_option(const char *options, const char *option)
{
    size_t len = strlen(option);

    for (;;) {
        size_t next = strcspn(options, ",\n");

        if (next == len && strncmp(options, option, len) == 0)
            return true;
        if (options[next] != ',')
            return false;
        options += next + 1;
    }
}

/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS */
static bool take_line(const char *line, struct mountinfo_mount *mount)
{
    const char *end = line + strcspn(line, "\n"), *dash = strstr(line, " - ");
    unsigned long long id;
    int options = 0;

    if (!dash || dash > end || sscanf(line, "%llu ", &id) != 1 ||
        !mount_point(line, mount->point) ||
        sscanf(dash, " - %63[^ \n] %*[^ \n] %n", mount->type, &options) != 1)
        return false;
    mount->id = id;
    mount->is_private =
        is_fuse(mount->type) && options > 0 && !has_option(dash + options, "allow_other");
    return true;
}

bool mountinfo_next(const char **text, struct mountinfo_mount *mount)
{
    while (**text) {
        const char *line = *text;

        *text += strcspn(*text, "\n");
        *text += **text == '\n';
        if (take_line(line, mount))
            return true;
    }
    return false;
}
