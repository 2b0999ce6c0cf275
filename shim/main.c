/* stepcell: one step, one cell. This file finds the command; docs/architecture.md is a tour of the
 * rest. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/cleanup.h"
#include "shim/commands.h"
#include "shim/print.h"

static int cmd_help(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run one step in a cell and end with its exit status"},
    {"shell", cmd_shell, "open an interactive shell in the cell of a step"},
    {"exec", cmd_exec, "run a command in a cell that runs or is kept"},
    {"ps", cmd_ps, "list the cells that run and those that are kept"},
    {"start", cmd_start, "start a durable step, and return once it is recorded"},
    {"explain", cmd_explain, "tell what a step would be, and what keeps it from starting"},
    {"status", cmd_status, "tell what is known of a durable step"},
    {"logs", cmd_logs, "replay the output of a durable step, or its events"},
    {"wait", cmd_wait, "wait for a durable step and end with its exit status"},
    {"cancel", cmd_cancel, "ask a step to end, or end a cell that is kept"},
    {"forget", cmd_forget, "remove what is kept of a durable step that has ended"},
    {"report", cmd_report, "tell what happened to a durable step, and when"},
    {"image", cmd_image, "pull, push, list, inspect and remove images"},
    {"lock", cmd_lock, "keep what tags stand for in a file, and compare it with registries"},
    {"upstream", cmd_upstream, "tell whether an image has to be built again"},
    {"manifest", cmd_manifest, "make one tag for several platforms, and show what is behind one"},
    {"policy", cmd_policy, "test a step against the administrator's policy"},
    {"doctor", cmd_doctor, "tell what this host can do, and how to mend what it cannot"},
    {"version", cmd_version, "print the version"},
    {"help", cmd_help, "print this text"},
};

static int cmd_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    print_out("Usage: stepcell COMMAND [OPTIONS]\n\nRuns the steps of deployments in cells made of "
              "container images, without a daemon.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        print_out("  %-10s %s\n", commands[i].name, commands[i].help);
    print_out("\n'stepcell COMMAND --help' tells more.\n");
    return 0;
}

/*
 * A caller may have closed a standard descriptor. Its number must not become one of ours, or the
 * output would go there.
 */
static void open_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close_fd(fd);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct err err;

    open_standard_descriptors();
    if (!caller_check(&err)) {
        print_err(&err);
        return STATUS_FAILED;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return command_end(commands[i].run(argc - 2, argv + 2));
    }
    if (argc > 1)
        err_set(&err, ERR_OPTION_INVALID, "unknown command '%s'", name);
    else
        err_set(&err, ERR_OPTION_INVALID, "no command was given");
    err_hint(&err, "'stepcell help' lists the commands");
    print_err(&err);
    return STATUS_FAILED;
}
