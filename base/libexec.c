#include "base/libexec.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

char *libexec_path(const char *name, struct err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *path = NULL;

    if (n > 0) {
        self[n] = '\0';
        for (int i = 0; i < 2; i++) {
            char *slash = strrchr(self, '/');

            if (slash)
                *slash = '\0';
        }
        path = text_printf("%s/libexec/stepcell/%s", self, name);
    }
    if (!path)
        err_errno(err, ERR_ENGINE_FAILED, "cannot find the program '%s'", name);
    return path;
}
