#include "mounts/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"

/* mount(2) takes one page of options. */
#define OPTIONS_MAX 4095

#define OVERLAY_OPTIONS "userxattr,volatile,metacopy=off,redirect_dir=nofollow"

static bool failed(struct err *err)
{
    err_errno(err, ERR_ENGINE_FAILED, "cannot mount the overlay of the image's layers");
    return err_hint(err,
                    "run 'stepcell doctor': the store must lie on a file system that overlayfs "
                    "can write to");
}

/*
 * Before Linux 6.13: descriptors named by /proc/self/fd in one page of options. What is not
 * attached cannot be opened by such a name after mount(2), hence the mountpoint.
 */
static int mount_legacy(const int *layers, size_t count, int upper, int work,
                        const char *mountpoint, struct err *err)
{
    autobuf options = BUF_INIT(OPTIONS_MAX);
    bool ok = buf_printf(&options, OVERLAY_OPTIONS ",lowerdir=");
    int root;

    for (size_t i = count; ok && i > 0; i--)
        ok = buf_printf(&options, "/proc/self/fd/%d%s", layers[i - 1], i > 1 ? ":" : "");
    ok = ok &&
         buf_printf(&options, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper, work);
    if (!ok) {
        err_set(err, ERR_ENGINE_FAILED, "%zu layers are too many for this kernel", count);
        err_hint(err, "Linux 6.13 has no such limit; or flatten the image");
        return -1;
    }
    if (mkdir(mountpoint, 0700) < 0 ||
        mount("overlay", mountpoint, "overlay", MS_NODEV, options.data) < 0) {
        failed(err);
        return -1;
    }
    root = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        failed(err);
    return root;
}

static bool add_lower(int context, const int *layers, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        if (fsconfig(context, FSCONFIG_SET_FD, "lowerdir+", NULL, layers[i - 1]) < 0)
            return false;
    }
    return true;
}

static bool set_options(int context)
{
    fsconfig(context, FSCONFIG_SET_STRING, "uuid", "null", 0);
    return fsconfig(context, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == 0 &&
           fsconfig(context, FSCONFIG_SET_STRING, "metacopy", "off", 0) == 0 &&
           fsconfig(context, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0) == 0;
}

static bool configure(int context, const int *layers, size_t count, int top, int upper, int work)
{
    return (top < 0 || add_lower(context, &top, 1)) && add_lower(context, layers, count) &&
           fsconfig(context, FSCONFIG_SET_FD, "upperdir", NULL, upper) == 0 &&
           fsconfig(context, FSCONFIG_SET_FD, "workdir", NULL, work) == 0 &&
           fsconfig(context, FSCONFIG_SET_FLAG, "volatile", NULL, 0) == 0 && set_options(context);
}

int overlay_mount(const int *layers, size_t count, int top, int upper, int work,
                  const char *mountpoint, bool *attached, struct err *err)
{
    autofd context = fsopen("overlay", FSOPEN_CLOEXEC);
    int root;

    if (context < 0) {
        failed(err);
        return -1;
    }
    if (!configure(context, layers, count, top, upper, work) ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        if (top >= 0)
            return overlay_mount(layers, count, -1, upper, work, mountpoint, attached, err);
        *attached = true;
        return mount_legacy(layers, count, upper, work, mountpoint, err);
    }
    *attached = false;
    root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
    if (root < 0)
        failed(err);
    return root;
}

int overlay_view(const int *layers, size_t count)
{
    autofd context = fsopen("overlay", FSOPEN_CLOEXEC);

    if (context < 0 || !add_lower(context, layers, count) || !set_options(context) ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
}
