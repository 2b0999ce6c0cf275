#include "shim/abandoned.h"

#include "base/child.h"
#include "base/cleanup.h"
#include "shim/helper.h"

bool abandoned_remove(const char *engine, const char *host, const char *step)
{
    char *words[] = {
        "stepcell-docker",      "sweep",      "--engine", (char *)engine, "--step", (char *)step,
        host ? "--host" : NULL, (char *)host, NULL,
    };
    autofd report = -1;
    struct err ignored;
    pid_t child;

    return helper_start("stepcell-docker", words, -1, &child, &report, &ignored) &&
           child_wait(child) == 0;
}
