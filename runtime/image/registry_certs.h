/*
 * TLS certificates for registries, as docker and podman keep them: a directory HOST[:PORT] with the
 * authorities as *.crt, and the client's certificate and key as NAME.cert and NAME.key. The first
 * directory counts, of
 *   $XDG_CONFIG_HOME/containers/certs.d, $XDG_CONFIG_HOME/docker/certs.d   (default ~/.config)
 *   /etc/containers/certs.d, /etc/docker/certs.d
 * HOST and HOST:443 are the same.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_REGISTRY_CERTS_H
#define STEPCELL_RUNTIME_IMAGE_REGISTRY_CERTS_H

#include "base/err.h"
#include "runtime/net/http.h"

#define CERTS_MAX       (1 << 20) /* bytes of all certificates of authorities of a host */
#define CERTS_FILES_MAX 256       /* files in a directory */

/*
 * Finds the certificates for the origin of a URL; none is no error. A certificate without key, or
 * one that cannot be read, is config.invalid. Of several client certificates the first by name is
 * used.
 */
bool registry_certs_find(const struct url *url, struct http_tls *tls, struct err *err);

/* Whether there is a directory for the origin. */
bool registry_certs_exist(const struct url *url);

#endif
