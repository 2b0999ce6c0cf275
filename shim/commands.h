/* The commands of stepcell: each takes the words behind its name and gives the exit status. */
#ifndef STEPCELL_SHIM_COMMANDS_H
#define STEPCELL_SHIM_COMMANDS_H

#include "shim/command.h"

int cmd_run(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_upstream(int argc, char **argv);
int cmd_manifest(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
