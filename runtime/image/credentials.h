/*
 * Credentials for registries, as docker and podman keep them, file by file:
 *   $REGISTRY_AUTH_FILE
 *   $DOCKER_CONFIG/config.json, or ~/.docker/config.json
 *   ${XDG_RUNTIME_DIR}/containers/auth.json
 *   $XDG_CONFIG_HOME/containers/auth.json, or ~/.config/containers/auth.json
 * Where users may not configure (registry_users.h) no variable counts, and ~ is the home of passwd.
 * In each the helper of `credHelpers` or `credsStore` is asked first, then `auths` is looked at.
 * They are never printed, and wiped from memory when they are released.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CREDENTIALS_H
#define STEPCELL_RUNTIME_IMAGE_CREDENTIALS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/json.h"

#define CREDENTIALS_FILE_MAX (1 << 20) /* bytes */

/* Any may be NULL; all are for an anonymous caller. */
struct credentials {
    char *basic;    /* base64 of "USER:PASSWORD" */
    char *identity; /* a token that the token server takes for a password */
    char *registry; /* a token that the registry itself takes */
};

/*
 * The most specific entry for HOST/PATH, of the first file that has one: HOST/PATH, its parents,
 * HOST. None is no error; a file that cannot be understood is config.invalid, a helper that fails
 * registry.auth.
 */
bool credentials_find(const char *host, const char *path, struct credentials *credentials,
                      struct err *err);
void credentials_release(struct credentials *credentials);

/* The entry of a file's `auths`, as credentials_find takes it; `file` names it in messages. */
bool credentials_from_auths(const json_t *auths, const char *host, const char *path,
                            const char *file, struct credentials *credentials, struct err *err);

/* What a helper answers; `helper` names it in messages. */
bool credentials_from_answer(const char *text, size_t len, const char *helper,
                             struct credentials *credentials, struct err *err);

/* Wipes a text before it is freed. */
void secret_free(char *secret);

#define autocredentials CLEANUP(credentials_release) struct credentials

#endif
