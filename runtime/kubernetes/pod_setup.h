/*
 * What stepcell hands to stepcell-pod: in a Secret, as its entry POD_SETUP. Beside it are
 * POD_SCRIPT, where there is a script that no volume holds, and POD_PROGRAM, stepcell-pod itself,
 * where no image brings it. POD_DIGEST is for stepcell alone.
 *
 * struct pod_setup; the size of each secret; the instructions of the seccomp filter; NUL-ended
 * texts in this order: the working directory, HOME ("" when the caller has set it, POD_HOME_SOUGHT
 * for what the image's passwd says), the place for a home where that cannot be written to, the
 * directory whose changes are given back ("" for none), the arguments, the environment, for each
 * probe its path and what the file has to hold, the interpreters, the names of the secrets, the
 * names below that directory where something else is mounted; then the bytes of all secrets.
 *
 * In the Pod, POD_DIR is a volume in memory, in which the secrets, the output file and a home are
 * laid out. `stepcell-pod run`, the first process of the step's container, does that where the
 * Secret is mounted there, at POD_SENT. Otherwise `stepcell-pod place`, the hook of the container
 * `place`, has done it, with its program and the setup up to the texts, and at the end POD_PLACED,
 * for which `stepcell-pod hold`, the first process there, waits and ends. What is shipped with the
 * image of that container it copies into a volume of its own.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_SETUP_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_SETUP_H

#include <stdint.h>

#include "runtime/native/handshake.h"

/* Another one is refused: the init image is of another stepcell. */
#define POD_VERSION "stepcell-pod/3"

#define POD_SETUP_MAX (1 << 20) /* bytes, which is what a Secret holds */

#define POD_DIR     "/.stepcell"
#define POD_SENT    POD_DIR "/sent"  /* the Secret, in the container that lays it out */
#define POD_IMAGE   POD_DIR "/image" /* the init image, where it is a volume */
#define POD_SETUP   "setup"
#define POD_DIGEST  "digest"
#define POD_PROGRAM "stepcell-pod"
#define POD_PLACED  "placed"
/* In the image of the container `place`: directories of the caller's host. */
#define POD_SHIPPED_DIR "shipped"
#define POD_SHIPPED     "/" POD_SHIPPED_DIR
#define POD_LANDING     "/landing" /* in `place`: the volume that they are copied to */
#define POD_SECRETS     "secrets"
#define POD_SCRIPT      "script"
#define POD_RUN         "run"    /* a directory, with the output file */
#define POD_OUTPUT      "output" /* in POD_RUN */
#define POD_HOME        "home"
#define POD_DOOR        "door"   /* a socket of pid 1's: pod/door.h */
#define POD_RETURN      "return" /* a socket of `run`, for `collect` */

#define POD_HOME_SOUGHT "?"

#define POD_OUTPUT_MAX (16 << 20) /* bytes of the output file that are read: STEP_OUTPUT_MAX */
#define POD_PROBE_MAX  64         /* bytes of a probe file */

struct pod_setup {
    char version[24];
    uint32_t argument_count, environment_count, probe_count, interpreter_count, secret_count;
    uint32_t hidden_count;
    uint32_t text_size;        /* bytes of all texts */
    uint32_t takes_input;      /* its stdin, or the keys of its terminal, come by a visit */
    uint32_t groups_judged;    /* with another group than those of `config` nothing runs */
    struct terminal_size size; /* of its terminal, if it has one */
    struct init_config config;
};

#endif
