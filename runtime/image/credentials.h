/*
 * Credentials for registries, as docker and podman keep them: `auths` of $DOCKER_CONFIG/config.json
 * (or
 * ~/.docker/config.json), then of ${XDG_RUNTIME_DIR}/containers/auth.json. They are never printed.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CREDENTIALS_H
#define STEPCELL_RUNTIME_IMAGE_CREDENTIALS_H

#include "base/err.h"
#include "base/cleanup.h"
#include "runtime/image/reference.h"

#define CREDENTIALS_FILE_MAX (1 << 20) /* bytes */

struct credentials {
    char *basic; /* base64 of "USER:PASSWORD", or NULL: anonymous */
    char *
        helper; /* a credential helper that is configured for the host and was not asked, or NULL */
};

/*
 * The most specific entry for the reference, of the first file that has one: HOST/PATH, its
 * parents, HOST. None is no error; a file that cannot be understood is config.invalid.
 */
bool credentials_find(const struct reference *reference, struct credentials *credentials,
                      struct err *err);
void credentials_release(struct credentials *credentials);

#define autocredentials CLEANUP(credentials_release) struct credentials

#endif
