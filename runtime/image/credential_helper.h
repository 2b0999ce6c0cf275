/*
 * Credential helpers: programs `docker-credential-NAME`, which docker and podman configure by name.
 * `get` reads a server's name on standard input and answers on standard output; nothing secret is
 * in its arguments.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CREDENTIAL_HELPER_H
#define STEPCELL_RUNTIME_IMAGE_CREDENTIAL_HELPER_H

#include "base/buf.h"
#include "base/err.h"

#define HELPER_NAME_MAX   64
#define HELPER_ANSWER_MAX (64 << 10) /* bytes */
#define HELPER_TIMEOUT_MS 30000

/* Letters, digits, "-", "_" and ".", which is not the first: nothing that is a path. */
bool helper_name_is_valid(const char *name);

/*
 * Asks the helper for the server. True with the answer's text, or with an empty one when the helper
 * has no credentials. One that is missing, fails, says too much or does not end is registry.auth.
 * It is looked for along $PATH and has the caller's environment; where users may not configure
 * (registry_users.h), in fixed folders, with a fixed $PATH and the home of passwd alone: variables
 * make many programs run others.
 */
bool helper_get(const char *name, const char *server, struct buf *answer, struct err *err);

#endif
