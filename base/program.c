#include "base/program.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"

const char *program_find(const char *name, char path[PROGRAM_PATH_MAX])
{
    static const char *const folders[] = {"/usr/bin",
                                          "/usr/sbin",
                                          "/usr/lib/podman",
                                          "/usr/libexec/podman",
                                          "/usr/local/bin",
                                          "/usr/local/sbin",
                                          "/bin",
                                          "/sbin"};

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, PROGRAM_PATH_MAX, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}
