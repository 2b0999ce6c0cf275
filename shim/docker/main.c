/* stepcell-docker: everything that speaks to the daemon of an engine. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/caller.h"
#include "shim/command.h"
#include "shim/docker/command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"ensure", command_ensure},
    {"cell", command_cell},
    {"sweep", command_sweep},
};

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct err err;

    if (!caller_check(&err))
        return command_failed(&err);
    /* A caller may have it ignored, and then no helper for credentials could be waited for. */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return command_end(commands[i].run(argc - 2, argv + 2));
    }
    err_set(&err, ERR_OPTION_INVALID, "stepcell-docker is started by stepcell alone");
    return command_failed(&err);
}
