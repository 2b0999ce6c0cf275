/*
 * Runs a command in a child, so that a signal can end it at any moment and what it leaves is
 * cleared away all the same: files below tmp/ and layers that are half unpacked.
 */
#ifndef STEPCELL_SHIM_IMAGE_SUPERVISE_H
#define STEPCELL_SHIM_IMAGE_SUPERVISE_H

/*
 * Returns the exit status of `command`. On SIGINT, SIGTERM or SIGHUP the child and its children are
 * killed, `clear_away` is called, and this process dies by the signal.
 */
int supervise(int (*command)(int argc, char **argv), int argc, char **argv,
              void (*clear_away)(int argc, char **argv));

#endif
