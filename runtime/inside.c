#include "runtime/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_SIZE    4096

static const char *variable(char *const *environment, const char *name)
{
    size_t len = strlen(name);

    for (; *environment; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    }
    return NULL;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool is_on_path(const char *path, const char *name)
{
    char full[PATH_SIZE];

    if (strchr(name, '/'))
        return is_program(name);
    while (*path) {
        size_t len = strcspn(path, ":");

        if (snprintf(full, sizeof(full), "%.*s/%s", (int)len, len ? path : ".", name) <
                (int)sizeof(full) &&
            is_program(full))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

bool inside_check_interpreter(char *const *environment, const char *name, struct err *err)
{
    const char *path = variable(environment, "PATH");

    if (is_on_path(path ? path : PATH_DEFAULT, name))
        return true;
    err_set(err, ERR_IMAGE_SHELL_MISSING, "the image has no '%s', which the script needs", name);
    return err_hint(err, "use an image that has it, or choose another interpreter with --shell");
}

bool inside_make_secret(int dir, const char *name, const void *bytes, size_t len, struct err *err)
{
    autofd fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

    return (fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, 0400) == 0) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot make the secrets of the cell");
}

/* The directory is there, or can be made, and the user can write to it. */
static bool is_home(const char *home)
{
    char path[PATH_SIZE];
    struct stat st;

    if (home[0] != '/' || (home[1] == '\0' && geteuid() != 0) || strlen(home) >= sizeof(path))
        return false;
    strcpy(path, home);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0755);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0;
}

const char *inside_choose_home(const char *home, const char *spare)
{
    return is_home(home) ? home : spare;
}

bool inside_enter(const char *workdir, struct err *err)
{
    if (chdir(workdir) == 0)
        return true;
    err_errno(err, ERR_WORKDIR_MISSING, "cannot enter the working directory '%s' in the cell",
              workdir);
    return err_hint(err, "let the user of the step enter it (its owner and mode), or give another "
                         "one with --workdir");
}
