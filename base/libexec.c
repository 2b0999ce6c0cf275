#include "base/libexec.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"

#define BESIDE_MAX 8 /* descriptors of a program that is started beside this one */

/*
 * What the dynamic loader, the C library, libcrypto and libcurl obey; a name that ends with '_'
 * stands for all that begin so.
 */
static const char *const dropped[] = {
    "LD_",         "GLIBC_",           "MALLOC_",     "OPENSSL_",      "GCONV_PATH",
    "GETCONF_DIR", "HOSTALIASES",      "LOCALDOMAIN", "LOCPATH",       "NIS_PATH",
    "NLSPATH",     "RESOLV_HOST_CONF", "RES_OPTIONS", "SSLKEYLOGFILE",
};

static bool is_dropped(const char *variable)
{
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
        size_t len = strlen(dropped[i]);

        if (strncmp(variable, dropped[i], len) == 0 &&
            (dropped[i][len - 1] == '_' || variable[len] == '='))
            return true;
    }
    return false;
}

char **libexec_environment(void)
{
    size_t count = 0, kept = 0;
    char **list;

    while (environ && environ[count])
        count++;
    list = calloc(count + 1, sizeof(*list));
    for (size_t i = 0; list && i < count; i++) {
        if (!is_dropped(environ[i]))
            list[kept++] = environ[i];
    }
    return list;
}

/* Cuts the last component off. */
static void cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        *slash = '\0';
}

char *libexec_path(const char *name, struct err *err)
{
    static const char own[] = "/libexec/stepcell";
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *path = NULL;

    if (n > 0) {
        self[n] = '\0';
        cut(self);
        n = (ssize_t)strlen(self) - (ssize_t)strlen(own);
        if (n >= 0 && strcmp(self + n, own) == 0)
            self[n] = '\0';
        else
            cut(self);
        path = text_printf("%s%s/%s", self, own, name);
    }
    if (!path)
        err_errno(err, ERR_ENGINE_FAILED, "cannot find the program '%s'", name);
    return path;
}

char *libexec_program(const char *name, struct err *err)
{
    autofree char *path = libexec_path(name, err);

    if (path && access(path, X_OK) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot use the program '%s'", path);
        return NULL;
    }
    return TAKE_PTR(path);
}

/* `fds` as the descriptors from LIBEXEC_CONTROL_FD on, and no others. */
static bool place_descriptors(const int *fds, size_t count)
{
    int high[BESIDE_MAX], keep[BESIDE_MAX];
    bool ok = true;

    for (size_t i = 0; i < count; i++)
        high[i] = fcntl(fds[i], F_DUPFD, LIBEXEC_CONTROL_FD + (int)count);
    for (size_t i = 0; i < count; i++) {
        keep[i] = LIBEXEC_CONTROL_FD + (int)i;
        ok = ok && dup2(high[i], keep[i]) == keep[i];
    }
    return ok && child_keep_only(keep, count);
}

_Noreturn static void become(const char *path, char *const words[], const int *fds, size_t count)
{
    char **environment = libexec_environment();
    sigset_t none;

    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (environment && place_descriptors(fds, count))
        execve(path, words, environment);
    _exit(127);
}

pid_t libexec_start_beside(char *const words[], const int *fds, size_t count, int *control,
                           struct err *err)
{
    autofree char *path = libexec_program(words[0], err);
    autofd own = -1, other = -1;
    int ends[2], all[BESIDE_MAX];
    pid_t child;

    if (!path)
        return 0;
    if (count >= BESIDE_MAX || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a control socket");
        return 0;
    }
    own = ends[0];
    all[0] = other = ends[1];
    memcpy(all + 1, fds, count * sizeof(*fds));
    child = fork();
    if (child == 0)
        become(path, words, all, count + 1);
    if (child < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot start %s", words[0]);
        return 0;
    }
    *control = TAKE_FD(own);
    return child;
}
