/* stepcell-docker: the commands, of which none is for users. */
#ifndef STEPCELL_SHIM_DOCKER_COMMAND_H
#define STEPCELL_SHIM_DOCKER_COMMAND_H

#include "runtime/docker/client.h"
#include "runtime/image/reference.h"

/* Makes an image present in the daemon, and reports about it. */
int command_ensure(int argc, char **argv);

/* One container, from its creation to its removal: see daemon_channel.h. */
int command_cell(int argc, char **argv);

/*
 * Lets the daemon pull what a reference names, with the caller's credentials; `platform` and
 * `progress` may be NULL. What is told of it goes to the descriptor `report`, too, unless that is
 * -1.
 */
bool pull_image(struct client *client, const char *engine, const struct reference *reference,
                const char *platform, const char *progress, int report, struct err *err);

/* Hands an archive of an image to the daemon. */
bool load_image(struct client *client, const char *engine, const char *archive, struct err *err);

/* Removes the containers that one step, or any, has left: see sweep_containers. */
int command_sweep(int argc, char **argv);

/*
 * Removes what calls that were killed have left in the daemon, and only that: containers whose
 * label names a process that is known to be gone, and with `step` only those of that step. How many
 * such containers are left; 1 also when the daemon does not say.
 */
size_t sweep_containers(struct client *client, const char *step);

#endif
