/* stepcell-docker: everything that speaks to the daemon of an engine. */
#include "shim/command.h"
#include "shim/docker/command.h"

static const struct subcommand commands[] = {
    {.name = "ensure", .run = command_ensure},
    {.name = "cell", .run = command_cell},
    {.name = "sweep", .run = command_sweep},
    {0},
};

int main(int argc, char **argv)
{
    return subcommand_main("stepcell-docker", commands, argc, argv);
}
