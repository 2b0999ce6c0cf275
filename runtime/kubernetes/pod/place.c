#include "runtime/kubernetes/pod/pod.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/inside.h"
#include "runtime/kubernetes/pod/copy.h"

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* What another hook of the same Pod has left is begun anew. */
static int make_file(int dir, const char *name, mode_t mode)
{
    int fd;

    unlinkat(dir, name, 0);
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd >= 0)
        (void)!fchmod(fd, mode);
    return fd;
}

static bool make_whole(int dir, const char *name, mode_t mode, const void *bytes, size_t len)
{
    autofd fd = make_file(dir, name, mode);

    return fd >= 0 && write_all(fd, bytes, len);
}

static bool copy_program(int dir)
{
    autofd from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    autofd to = make_file(dir, POD_PROGRAM, 0555);

    return from >= 0 && to >= 0 && copy_bytes(from, to);
}

/*
 * One that is mounted was made by the kubelet, as root and for all: root closes it, and where the
 * step's user is another one nobody else can be in its container.
 */
static bool make_dir(int dir, const char *name, mode_t mode)
{
    if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
        return false;
    (void)!fchmodat(dir, name, mode, 0);
    return true;
}

static bool place_secrets(int dir, const struct setup *setup, struct err *err)
{
    const char *bytes = setup->bytes;
    autofd secrets = -1;

    if (!make_dir(dir, POD_SECRETS, 0700))
        return failed(err, "make a directory for the secrets");
    secrets = openat(dir, POD_SECRETS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (uint32_t i = 0; i < setup->head.secret_count; i++) {
        unlinkat(secrets, setup->secrets[i], 0);
        if (!inside_make_secret(secrets, setup->secrets[i], bytes, setup->secret_sizes[i], err))
            return false;
        bytes += setup->secret_sizes[i];
    }
    return true;
}

/* Nothing is there when nothing is shipped. */
static bool place_shipped(struct err *err)
{
    autofd to = open(POD_LANDING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (to < 0 && errno == ENOENT)
        return true;
    return to < 0 ? failed(err, "open the volume for what was shipped")
                  : copy_entries(AT_FDCWD, POD_SHIPPED, to, 0, err);
}

static int open_pod_dir(void)
{
    return open(POD_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool pod_lay_out(struct setup *setup, struct err *err)
{
    autofd dir = open_pod_dir();

    umask(0);
    /* As the volume is made, everybody could put other files into the places of these. */
    (void)!fchmod(dir, 0755);
    if (!setup_read(POD_SENT "/" POD_SETUP, true, setup, err))
        return false;
    if (dir < 0 || !make_dir(dir, POD_HOME, 0755) || !make_dir(dir, POD_RUN, 0755) ||
        !make_whole(dir, POD_RUN "/" POD_OUTPUT, 0600, "", 0))
        return failed(err, "prepare the volume of the Pod");
    return place_secrets(dir, setup, err);
}

bool pod_place(struct err *err)
{
    autofd dir = open_pod_dir();
    struct setup setup;

    if (!pod_lay_out(&setup, err) || !place_shipped(err))
        return false;
    /* The secrets are not in it any more. */
    return (copy_program(dir) &&
            make_whole(dir, POD_SETUP, 0400, setup.bytes - setup.kept, setup.kept) &&
            make_whole(dir, POD_PLACED, 0400, "", 0)) ||
           failed(err, "keep the setup and the program in the volume of the Pod");
}
