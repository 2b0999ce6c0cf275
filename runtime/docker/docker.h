/*
 * The engines that are daemons: cells are containers of Docker, or of Podman through the same API.
 *
 * A program of its own, stepcell-docker, speaks to the daemon (daemon_channel.h); the container's
 * first program connects back to stepcell, proves that it sees the caller's directories and runs
 * the command on pipes of stepcell's own (join_setup.h). The command's streams never go through the
 * daemon. Their ends in struct cell_ends are non-blocking.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_DOCKER_H
#define STEPCELL_RUNTIME_DOCKER_DOCKER_H

#include "runtime/engine.h"

extern const struct engine docker_engine;
extern const struct engine podman_engine;

#endif
