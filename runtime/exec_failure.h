/* A command that could not be executed, in the words and with the status that every engine has. */
#ifndef STEPCELL_RUNTIME_EXEC_FAILURE_H
#define STEPCELL_RUNTIME_EXEC_FAILURE_H

#include "runtime/exit_record.h"

/*
 * 127 and command.not-found, or 126 and command.not-executable, for the errno of execve(2).
 * `own_filter`: the caller chose a seccomp profile, which may be the cause.
 */
void exec_failure_take(const char *command, int number, bool own_filter,
                       struct exit_record *record);

#endif
