/* stepcell-kubernetes: everything that speaks to the API of a cluster. */
#include "shim/command.h"
#include "shim/kubernetes/command.h"

static const struct subcommand commands[] = {
    {.name = "cell", .run = command_cell},
    {.name = "reach", .run = command_reach},
    {.name = "sweep", .run = command_sweep},
    {.name = "visit", .run = command_visit},
    {0},
};

int main(int argc, char **argv)
{
    return subcommand_main("stepcell-kubernetes", commands, argc, argv);
}
