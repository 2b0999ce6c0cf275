/* What the kernel can do: found out by doing it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "base/num.h"
#include "runtime/confine/landlock.h"
#include "shim/doctor/doctor.h"

#define SETTING_MAX 64

void doctor_kernel(struct doctor *doctor)
{
    struct utsname uts;

    uname(&uts);
    doctor_find(doctor, LEVEL_OK, NULL, "%s %s on %s", uts.sysname, uts.release, uts.machine);
}

/* A setting under /proc/sys that forbids user namespaces when it has this value. */
static const struct {
    const char *path;
    uint64_t bad;
    const char *hint;
} settings[] = {
    {"/proc/sys/user/max_user_namespaces", 0,
     "run 'sysctl -w user.max_user_namespaces=15000' as root"},
    {"/proc/sys/kernel/unprivileged_userns_clone", 0,
     "run 'sysctl -w kernel.unprivileged_userns_clone=1' as root"},
    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
     "give stepcell an AppArmor profile with 'userns,', or set the setting to 0 as root"},
};

/* Names the setting that forbids them, if one does. */
static bool find_setting(struct doctor *doctor)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        autobuf text = BUF_INIT(SETTING_MAX);
        struct err ignored; /* a kernel without the setting does not forbid */
        uint64_t value;

        if (!file_read(AT_FDCWD, settings[i].path, &text, ERR_ENGINE_FAILED, &ignored))
            continue;
        text.data[strcspn(text.data, "\n")] = '\0';
        /* Root may make namespaces even where others may not. */
        if (!num_parse(text.data, UINT64_MAX, &value) || value != settings[i].bad ||
            (i > 0 && geteuid() == 0))
            continue;
        doctor_find(doctor, LEVEL_ERROR, settings[i].hint,
                    "'%s' is %s: user namespaces are forbidden, and so are cells", settings[i].path,
                    text.data);
        return true;
    }
    return false;
}

#define CELL_NAMESPACES                                                                            \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int attempt_nothing(void)
{
    return 0;
}

/* 0, or the errno of an attempt in a child, in new namespaces. */
static int try_in(uint64_t namespaces, int (*attempt)(void))
{
    pid_t child = idmap_clone(namespaces);
    int status;

    if (child == 0)
        _exit(attempt());
    status = child < 0 ? errno : child_wait(child);
    return status < 0 ? ECHILD : status;
}

void doctor_user_namespaces(struct doctor *doctor)
{
    int error;

    if (find_setting(doctor))
        return;
    error = try_in(CELL_NAMESPACES, attempt_nothing);
    if (error == 0)
        doctor_find(doctor, LEVEL_OK, NULL, "user namespaces can be made");
    else
        doctor_find(doctor, LEVEL_ERROR,
                    error == ENOSPC
                        ? "too many of them are in use, or nested: raise "
                          "user.max_user_namespaces as root"
                        : "in a container, its seccomp filter must allow clone3(2) with "
                          "CLONE_NEWUSER",
                    "user namespaces cannot be made, and so no cells: %s", strerror(error));
}

static int attempt_openat2(void)
{
    const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                 .resolve = RESOLVE_IN_ROOT};

    return syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)) >= 0 ? 0 : errno;
}

/* Where user namespaces can be had, which is said elsewhere, they have the rights for it. */
static int attempt_mounts(void)
{
    struct mount_attr attributes = {.propagation = MS_PRIVATE};
    int context, root;

    if (mount_setattr(-1, "/", AT_RECURSIVE, &attributes, sizeof(attributes)) < 0)
        return errno;
    context = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return errno;
    root = fsmount(context, FSMOUNT_CLOEXEC, 0);
    return root >= 0 &&
                   open_tree(root, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | OPEN_TREE_CLOEXEC) >= 0
               ? 0
               : errno;
}

static int attempt_pidfd(void)
{
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

    return self >= 0 && syscall(SYS_pidfd_send_signal, self, 0, NULL, 0) == 0 ? 0 : errno;
}

static int attempt_seccomp(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

void doctor_kernel_features(struct doctor *doctor)
{
    static const struct {
        const char *what, *since;
        uint64_t namespaces;
        int (*attempt)(void);
        const char *prevents;
    } features[] = {
        {"openat2(2)", "5.6", 0, attempt_openat2, "paths of an image cannot be opened safely"},
        {"the mount API (fsopen, open_tree, mount_setattr)", "5.12", CLONE_NEWUSER | CLONE_NEWNS,
         attempt_mounts, "nothing can be mounted into a cell"},
        {"pidfds", "5.3", 0, attempt_pidfd, "cells cannot be signalled and waited for"},
        {"seccomp filters", "4.14", 0, attempt_seccomp, "cells cannot be confined"},
    };
    bool namespaces = try_in(CELL_NAMESPACES, attempt_nothing) == 0, all = namespaces;

    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        int error = !namespaces ? 0 : try_in(features[i].namespaces, features[i].attempt);
        autofree char *hint =
            text_printf("use Linux %s or newer; in a container, its seccomp filter must allow it",
                        features[i].since);

        if (error == 0)
            continue;
        all = false;
        doctor_find(doctor, LEVEL_ERROR, hint, "%s cannot be used (%s): %s", features[i].what,
                    strerror(error), features[i].prevents);
    }
    if (all)
        doctor_find(doctor, LEVEL_OK, NULL, "openat2, the mount API, pidfds and seccomp work");
}

void doctor_abstract_sockets(struct doctor *doctor)
{
    int version = landlock_version();

    if (landlock_has_scopes()) {
        doctor_find(doctor, LEVEL_OK, NULL,
                    "cells on the host's network cannot reach the host's abstract unix sockets "
                    "(Landlock version %d)",
                    version);
        return;
    }
    doctor_find(doctor, LEVEL_WARNING,
                "use Linux 6.12 or newer with Landlock among the 'lsm=' of its command line, or "
                "run steps with --network none or private",
                "cells on the host's network can reach the host's abstract unix sockets: %s",
                version > 0 ? "this kernel's Landlock has no scopes" : "there is no Landlock");
}
