/*
 * stepcell-join: the first program of a container, and what stepcell hands to it.
 *
 * JOIN_DIR in the container is a directory of stepcell's own on the host. Through the socket in it
 * stepcell-join connects, which succeeds only where daemon and caller see the same file
 * system of the same kernel, and speaks the messages of runtime/native/handshake.h:
 *
 *   stepcell → join   TREE    a descriptor for each of enum join_descriptor, in `value`
 *   stepcell → join   MAPPED  there are no more
 *   join → stepcell   TREE    what lies at target `value`, for stepcell to compare with the host
 *   join → stepcell   FAILED  why the command cannot run
 *   join → stepcell   READY   everything has been shown and prepared
 *   join → stepcell   STREAMS the command's terminal: a descriptor of its master
 *   stepcell → join   START   become stepcell-init
 *
 * From there on it is the native engine's pid 1 that speaks: the command's streams are pipes of
 * stepcell's own, its arguments, environment and secrets never reach the daemon, and a stepcell
 * that is gone takes the cell with it.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_JOIN_SETUP_H
#define STEPCELL_RUNTIME_DOCKER_JOIN_SETUP_H

#include <stdint.h>

#include "runtime/native/handshake.h"

/* Right below the root, where no mount of a plan can cover it but by its own name. */
#define JOIN_DIR     "/.stepcell"
#define JOIN_PROGRAM "join"
#define JOIN_INIT    "stepcell-init"
#define JOIN_SOCKET  "control"

enum join_descriptor {
    JOIN_SETUP,  /* a memory file: struct join_setup and the texts behind it */
    JOIN_CONFIG, /* its configuration */
    JOIN_IN,     /* of a stream that is not there, none: it is empty, or comes of a terminal */
    JOIN_OUT,
    JOIN_ERR,
    JOIN_DESCRIPTORS,
};

/*
 * Followed by NUL-ended texts in this order: the working directory, HOME ("" when the caller has
 * set it), the place for a home where that cannot be written to, the arguments, the environment,
 * the targets, the interpreters, and for each secret its name; then the bytes of all secrets.
 */
struct join_setup {
    uint32_t argument_count, environment_count, target_count, interpreter_count, secret_count;
    uint32_t terminal;         /* the command's streams are one, made in the container */
    struct terminal_size size; /* of that */
    uint32_t secret_sizes[];   /* of each */
};

#endif
