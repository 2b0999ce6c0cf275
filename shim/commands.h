/* The commands of stepcell: each takes the words behind its name and gives the exit status. */
#ifndef STEPCELL_SHIM_COMMANDS_H
#define STEPCELL_SHIM_COMMANDS_H

/* What stepcell exits with when it or an engine failed, or nothing was started. */
#define STATUS_FAILED 125

int cmd_run(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
