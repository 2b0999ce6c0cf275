/* stepcell-kubernetes: everything that speaks to the API of a cluster. */
#include "shim/command.h"
#include "shim/kubernetes/command.h"

static const struct subcommand commands[] = {
    {.name = "cell", .run = command_cell},
    {.name = "sweep", .run = command_sweep},
    {0},
};

int main(int argc, char **argv)
{
    const struct subcommand *command = subcommand_find(commands, argc > 1 ? argv[1] : "");
    struct err err;

    if (!subcommand_begin(&err))
        return command_failed(&err);
    if (command)
        return command_end(command->run(argc - 2, argv + 2));
    err_set(&err, ERR_OPTION_INVALID, "stepcell-kubernetes is started by stepcell alone");
    return command_failed(&err);
}
