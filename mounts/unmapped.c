#include "mounts/unmapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/mountinfo.h"

/* Whether the one mount at `path` cannot be idmapped. What is not there any more does no harm. */
static bool is_unmappable(const char *path, int userns)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    autofd tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT);

    return tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0;
}

static uint64_t mount_of(const char *path)
{
    struct statx statx_of;

    return statx(AT_FDCWD, path, 0, STATX_MNT_ID, &statx_of) == 0 ? statx_of.stx_mnt_id : 0;
}

static bool read_mountinfo(struct buf *text)
{
    struct err ignored;

    return file_read(AT_FDCWD, "/proc/self/mountinfo", text, ERR_ENGINE_FAILED, &ignored);
}

/* The mount that the source lies on. */
static bool find_own(const char *text, const char *source, struct mountinfo_entry *mount)
{
    uint64_t id = mount_of(source);

    while (*text) {
        if (mountinfo_read(&text, mount) && mount->id == id)
            return true;
    }
    return false;
}

static bool find_below(const char *text, const char *source, int userns,
                       struct mountinfo_entry *mount)
{
    while (*text) {
        if (mountinfo_read(&text, mount) && strcmp(mount->point, source) != 0 &&
            path_is_below(mount->point, source) && is_unmappable(mount->point, userns))
            return true;
    }
    return false;
}

static bool refuse(const struct mount *mount, int userns, struct err *err)
{
    const char *source = mount->source.resolved;
    struct mountinfo_entry found;
    autobuf text = BUF_INIT(MOUNTINFO_MAX);
    bool known = read_mountinfo(&text);

    if (is_unmappable(source, userns)) {
        if (!known || !find_own(text.data, source, &found))
            found = (struct mountinfo_entry){.point = "/", .type = "of an unknown kind"};
        return err_set(err, ERR_MOUNT_DENIED,
                       "'%s' lies on a file system without idmapped mounts (%s, mounted at '%s')",
                       source, found.type, found.point);
    }
    if (!known || !find_below(text.data, source, userns, &found))
        return err_set(err, ERR_MOUNT_DENIED,
                       "something mounted below '%s' is a file system without idmapped mounts",
                       source);
    return err_set(err, ERR_MOUNT_DENIED,
                   "'%s', mounted below '%s', is a file system without idmapped mounts (%s)",
                   found.point, source, found.type);
}

bool unmapped_is_allowed(const struct mount *mount, int userns, struct err *err)
{
    mode_t wanted = S_ISDIR(mount->source.mode) ? S_IROTH | S_IXOTH : S_IROTH;
    bool writes = mount->kind != MOUNT_BIND || !mount->readonly;

    if (!writes && (mount->source.mode & wanted) == wanted)
        return true;
    refuse(mount, userns, err);
    if (!writes)
        return err_hint(err,
                        "without them the step reads as one of the others of the host, whom the "
                        "mode of '%s' keeps out",
                        mount->source.resolved);
    return err_hint(err,
                    "what the step writes there could not be given to its owner: use ext4, xfs or "
                    "btrfs, let the step only read it (--package), or call stepcell as the owner "
                    "instead of as root");
}
