/*
 * What a daemon answers, read strictly (pure). Nothing of it is trusted: each text has a limit, a
 * member of another type than the API's is an error, and what is missing is not guessed.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_ANSWERS_H
#define STEPCELL_RUNTIME_DOCKER_ANSWERS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

#define ANSWER_MESSAGE_MAX 1024      /* bytes of a daemon's message that are handed on */
#define ANSWER_TEXT_MAX    4096      /* of a name, a user, a part of a platform */
#define ANSWER_LIST_MAX    4096      /* entries of Env, Entrypoint, Volumes, RepoDigests */
#define ANSWER_ENTRY_MAX   131072    /* bytes of one of them: MAX_ARG_STRLEN */
#define DAEMON_ID_MAX      72        /* "sha256:" and 64 digits, with the final NUL */
#define ANSWER_FILE_MAX    (1 << 20) /* bytes of a file out of an archive */

struct api_version {
    unsigned int major, minor;
};

/* The oldest and the newest version that this program speaks: 1.40 is Docker 19.03 and Podman 3. */
#define API_MINOR_OLDEST 40
#define API_MINOR_NEWEST 47

/* The newest that both sides know; engine.unavailable when there is none. */
bool api_version_choose(const char *offered, struct api_version *version, struct err *err);

/* "message" of an answer that is no success, without control characters; "" when there is none. */
void answer_message(const json_t *answer, char message[ANSWER_MESSAGE_MAX]);

/* An image as the daemon has it. */
struct daemon_image {
    char *id;                  /* "sha256:…", of its configuration */
    struct strv repo_digests;  /* "NAME@sha256:…" */
    char *os, *arch, *variant; /* "" for none */
    char *user, *workdir;
    struct strv entrypoint, env;
    struct strv volumes; /* paths that a daemon mounts something at, whoever asks for a container */
};

bool answer_image(const json_t *answer, struct daemon_image *image, struct err *err);
void daemon_image_release(struct daemon_image *image);

/* The line of an image's history (newest first) that set its entrypoint, borrowed; or NULL. */
const char *answer_entrypoint_history(const json_t *answer);

/* The id of a container that was created, borrowed: 64 hexadecimal digits. NULL with err. */
const char *answer_container_id(const json_t *answer, struct err *err);

/* Whether the daemon is an ordinary user's, out of its own description. */
bool answer_rootless(const json_t *answer, bool *rootless, struct err *err);

/*
 * The option of the first limit that a container was made with (`asked`: its HostConfig) and does
 * not have in its inspection; NULL when it has all. Daemons leave out what they cannot enforce.
 */
const char *answer_limit_missing(const json_t *answer, const json_t *asked);

struct daemon_state {
    bool running; /* or it was not started yet, or its end has not been settled */
    int exit_code;
    bool oom_killed;
};

/* How a container is, out of its inspection. */
bool answer_state(const json_t *answer, struct daemon_state *state, struct err *err);

/* The exit code out of a wait. */
bool answer_wait(const json_t *answer, int *exit_code, struct err *err);

/* One line of what a daemon says while it pulls or loads. */
struct daemon_progress {
    char layer[64]; /* "" for none */
    enum { PROGRESS_OTHER, PROGRESS_DOWNLOADING, PROGRESS_COMPLETE } what;
    uint64_t current, total;        /* bytes; 0 when not said */
    char error[ANSWER_MESSAGE_MAX]; /* "" for none */
};

/* False when it is no line of that kind. */
bool answer_progress(const char *line, size_t len, struct daemon_progress *progress);

/* One line of what a daemon says while it builds. */
struct daemon_build {
    char id[DAEMON_ID_MAX]; /* of the image that it has made, "" for none */
    char *text;             /* what it says, whole and as it is, to be masked; NULL for none */
    bool failed;            /* that is an error, and not what the builder or a step prints */
};

/* False when it is no line of that kind, or without memory. The caller frees `build->text`. */
bool answer_build(const char *line, size_t len, struct daemon_build *build);

/*
 * The one regular file of a tar archive as the archive API gives it, at most ANSWER_FILE_MAX bytes.
 * False, without a word, when it is anything else.
 */
bool answer_file(const char *archive, size_t len, struct buf *file);

#define autodaemonimage CLEANUP(daemon_image_release) struct daemon_image

#endif
