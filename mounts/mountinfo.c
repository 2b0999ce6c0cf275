#include "mounts/mountinfo.h"

#include <string.h>

#include "base/path.h"
#include "mounts/mount_spec.h"

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
