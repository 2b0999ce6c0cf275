#include "base/libexec.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

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
