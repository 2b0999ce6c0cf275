#include "runtime/native/cgroup_find.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/mountinfo.h"

#define LIST_MAX 4096 /* bytes of a list of controllers */

/* The property that makes systemd enable it for a scope. */
static const struct {
    const char *name;
    const char *property;
} controllers_known[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = {"memory", "MemoryAccounting=yes"},
    [CGROUP_CPU] = {"cpu", "CPUWeight=100"},
    [CGROUP_PIDS] = {"pids", "TasksAccounting=yes"},
    [CGROUP_FREEZER] = {"freezer", NULL},
};

const char *cgroup_controller_name(enum cgroup_controller controller)
{
    return controllers_known[controller].name;
}

/* Whether one of the words is `name`; `separators` and what is in `ends` end a word. */
static bool has_word(const char *text, const char *separators, const char *ends, const char *name)
{
    size_t len = strlen(name);

    while (*text && !strchr(ends, *text)) {
        size_t word = strcspn(text, separators);
        size_t rest = strcspn(text, ends);

        word = word < rest ? word : rest;
        if (word == len && memcmp(text, name, len) == 0)
            return true;
        text += word;
        text += *text && !strchr(ends, *text);
    }
    return false;
}

/*
 * The path of a line "ID:CONTROLLERS:PATH" of /proc/self/cgroup; false when the line is none. The
 * list of version 2 is empty.
 */
static bool split_line(const char *line, const char **list, const char **path)
{
    size_t digits = strspn(line, "0123456789");

    if (!digits || line[digits] != ':')
        return false;
    *list = line + digits + 1;
    *path = *list + strcspn(*list, ":\n");
    if (**path != ':' || (*path)[1] != '/')
        return false;
    (*path)++;
    return true;
}

/*
 * The own path in the hierarchy of the controller, of version 1 if it is there, else of version 2.
 */
static bool find_path(const char *cgroups, const char *controller, bool *unified,
                      char path[MOUNT_PATH_MAX])
{
    const char *found = NULL;
    size_t len;

    for (const char *line = cgroups; *line;) {
        const char *list, *rest;

        if (!split_line(line, &list, &rest))
            return false;
        if (has_word(list, ",", ":", controller)) {
            found = rest;
            *unified = false;
            break;
        }
        if (*list == ':' && strncmp(line, "0:", 2) == 0) {
            found = rest;
            *unified = true;
        }
        line = rest + strcspn(rest, "\n");
        line += *line == '\n';
    }
    len = found ? strcspn(found, "\n") : 0;
    if (!found || len >= MOUNT_PATH_MAX)
        return false;
    memcpy(path, found, len);
    path[len] = '\0';
    return true;
}

/* Outside of the caller's cgroup namespace the kernel begins a path with "/..". */
static bool is_outside(const char *path)
{
    return strncmp(path, "/..", 3) == 0 && (path[3] == '/' || !path[3]);
}

/* The directory of the own path in a mount; false when the mount does not show it. */
static bool show_path(const struct mountinfo_entry *mount, const char *path,
                      char parent[MOUNT_PATH_MAX])
{
    const char *rest;
    int len;

    if (is_outside(path) || is_outside(mount->root) || !path_is_below(path, mount->root))
        return false;
    rest = strcmp(mount->root, "/") == 0 ? path : path + strlen(mount->root);
    rest = strcmp(rest, "/") == 0 ? "" : rest;
    len = snprintf(parent, MOUNT_PATH_MAX, "%s%s", mount->point, rest);
    return len > 0 && len < MOUNT_PATH_MAX;
}

bool cgroup_find(const char *cgroups, const char *mountinfo, enum cgroup_controller controller,
                 struct cgroup_own *own, struct err *err)
{
    const char *name = cgroup_controller_name(controller);
    char path[MOUNT_PATH_MAX];
    bool found = false;

    if (!find_path(cgroups, name, &own->unified, path)) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "this kernel has no cgroup controller '%s'", name);
        return err_hint(err, "use a kernel with cgroups, and mount them");
    }
    while (*mountinfo) {
        struct mountinfo_entry mount;

        /* The last mount lies on top. */
        if (!mountinfo_read(&mountinfo, &mount) ||
            strcmp(mount.type, own->unified ? "cgroup2" : "cgroup") != 0 ||
            (!own->unified && !has_word(mount.options, ",", "", name)) ||
            !show_path(&mount, path, own->parent))
            continue;
        strcpy(own->mount, mount.point);
        own->dev = mount.dev;
        found = true;
    }
    if (found)
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "the cgroup '%s' of the caller, version %d, is not mounted", path,
            own->unified ? 2 : 1);
    return err_hint(err, "mount the cgroup file system that has '%s' at /sys/fs/cgroup or below it",
                    name);
}

/* Which controllers of the set a file of a cgroup lists; none when it cannot be read. */
static unsigned int listed(const char *dir, const char *file, unsigned int controllers)
{
    autofree char *path = text_printf("%s/%s", dir, file);
    autobuf text = BUF_INIT(LIST_MAX);
    unsigned int found = 0;
    struct err ignored;

    if (!path || !file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, &ignored) || !text.data)
        return 0;
    for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if ((controllers & 1U << i) &&
            has_word(text.data, " ", "\n", cgroup_controller_name((enum cgroup_controller)i)))
            found |= 1U << i;
    }
    return found;
}

/* Only in the root may a cgroup with processes have controllers for its children. */
static bool enable(const char *dir, unsigned int controllers)
{
    autofree char *type = text_printf("%s/cgroup.type", dir);
    autofree char *path = text_printf("%s/cgroup.subtree_control", dir);
    autobuf words = BUF_INIT(LIST_MAX);
    autofd file = -1;

    if (!type || !path || access(type, F_OK) == 0)
        return false;
    for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (controllers & 1U << i)
            buf_printf(&words, "+%s ", cgroup_controller_name((enum cgroup_controller)i));
    }
    file = open(path, O_WRONLY | O_CLOEXEC);
    return file >= 0 && words.data && file_write_all(file, words.data, words.len);
}

static bool not_enabled(const char *dir, unsigned int controllers, struct err *err)
{
    unsigned int present = listed(dir, "cgroup.controllers", controllers);
    autobuf names = BUF_INIT(LIST_MAX), properties = BUF_INIT(LIST_MAX);

    for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (!(controllers & 1U << i))
            continue;
        buf_printf(&names, "%s'%s'", names.len ? " and " : "", controllers_known[i].name);
        buf_printf(&properties, " -p %s", controllers_known[i].property);
    }
    err_set(err, ERR_ENGINE_UNAVAILABLE, "the cgroup controller %s is not %s '%s'", names.data,
            present == controllers ? "enabled beside or below" : "given to", dir);
    return err_hint(err, "call stepcell by 'systemd-run %s--scope%s stepcell …', which enables it",
                    geteuid() == 0 ? "" : "--user ", properties.data);
}

bool cgroup_find_parent(struct cgroup_own *own, unsigned int controllers, struct err *err)
{
    unsigned int missing =
        controllers & ~listed(own->parent, "cgroup.subtree_control", controllers);
    char above[MOUNT_PATH_MAX];

    if (!missing || (listed(own->parent, "cgroup.controllers", missing) == missing &&
                     enable(own->parent, missing)))
        return true;
    if (strcmp(own->parent, own->mount) != 0) {
        strcpy(above, own->parent);
        *strrchr(above, '/') = '\0';
        missing = controllers & ~listed(above, "cgroup.subtree_control", controllers);
        if (!missing) {
            strcpy(own->parent, above);
            return true;
        }
    }
    return not_enabled(own->parent, missing, err);
}
