#include <string.h>

#include "base/err.h"
#include "shim/commands.h"
#include "shim/print.h"

int cmd_version(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], "--json") == 0) {
        print_out("{\"schema\": \"stepcell.version/1\", \"version\": \"%s\"}\n", STEPCELL_VERSION);
        return 0;
    }
    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        print_out("Usage: stepcell version [--json]\n\nPrints the version of stepcell.\n");
        return 0;
    }
    if (argc > 0) {
        struct err err;

        err_set(&err, ERR_OPTION_INVALID, "unknown option '%s'", argv[0]);
        print_err(&err);
        return STATUS_FAILED;
    }
    print_out("stepcell %s\n", STEPCELL_VERSION);
    return 0;
}
