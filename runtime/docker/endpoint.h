/*
 * Where an engine's daemon listens (pure): --engine-host, else the variables that its own client
 * reads, else where its packages put the socket.
 *
 *   docker   DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH (~/.docker); /var/run/docker.sock
 *   podman   CONTAINER_HOST; /run/podman/podman.sock, or an ordinary user's
 *            $XDG_RUNTIME_DIR/podman/podman.sock
 *
 * A host is unix:///PATH or tcp://HOST:PORT. With TLS the daemon's certificate is always verified.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_ENDPOINT_H
#define STEPCELL_RUNTIME_DOCKER_ENDPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

#define ENDPOINT_HOST_MAX 1024 /* bytes */

/* What of the caller's surroundings counts; any text may be NULL. */
struct endpoint_caller {
    uid_t uid;
    const char *docker_host, *docker_tls_verify, *docker_cert_path, *container_host;
    const char *home, *runtime_dir;
};

struct endpoint {
    char *host;        /* "unix:///run/docker.sock", as messages name it */
    char *unix_socket; /* its path, or NULL */
    char *url;         /* of the root of the API, without a '/' at its end */
    char
        *certificates; /* directory of ca.pem, cert.pem and key.pem, where TLS is spoken; or NULL */
};

/* `engine` is "docker" or "podman", `host` may be NULL. option.invalid names what is wrong. */
bool endpoint_find(const char *engine, const char *host, const struct endpoint_caller *caller,
                   struct endpoint *endpoint, struct err *err);
void endpoint_release(struct endpoint *endpoint);

/* The caller's surroundings as they are; borrowed from the environment. */
struct endpoint_caller endpoint_caller_now(void);

#define autoendpoint CLEANUP(endpoint_release) struct endpoint

#endif
