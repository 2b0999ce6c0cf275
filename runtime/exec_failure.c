#include "runtime/exec_failure.h"

#include <errno.h>

void exec_failure_take(const char *command, int number, bool own_filter, struct exit_record *record)
{
    struct err *err = &record->error;
    bool missing = number == ENOENT || number == ENOTDIR;

    record->kind = EXIT_STATUS;
    record->value = missing ? 127 : 126;
    errno = number;
    if (missing) {
        err_set(err, ERR_COMMAND_NOT_FOUND, "command '%s' is not in the image", command);
        err_hint(err, "install it in the image, or give its path; the interpreter that its first "
                      "line names has to be there as well");
    } else {
        err_errno(err, ERR_COMMAND_NOT_EXECUTABLE, "command '%s' cannot be executed", command);
        err_hint(err,
                 own_filter
                     ? "check that the seccomp profile allows execve, its execute permission "
                       "for the user of the step, and its format"
                     : "check its execute permission for the user of the step, and its format");
    }
}
