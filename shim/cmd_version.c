#include "shim/command.h"
#include "shim/commands.h"
#include "shim/print.h"

int cmd_version(int argc, char **argv)
{
    bool json = false;
    const struct option_spec options[] = {FLAG("--json", &json, "as JSON"), OPTIONS_END};
    const struct command command = {
        .usage = "stepcell version [OPTIONS]",
        .about = "Prints the version of stepcell.",
        .options = options,
    };
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (json)
        print_out("{\"schema\": \"stepcell.version/1\", \"version\": \"%s\"}\n", STEPCELL_VERSION);
    else
        print_out("stepcell %s\n", STEPCELL_VERSION);
    return 0;
}
