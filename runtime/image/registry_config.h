/*
 * What an administrator or a user says about registries: docs/configuration.md. Two files, read
 * strictly: /etc/stepcell/config.json, and $XDG_CONFIG_HOME/stepcell/config.json (or
 * ~/.config/stepcell/config.json), whose entry for a registry replaces the whole of the first
 * file's.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_REGISTRY_CONFIG_H
#define STEPCELL_RUNTIME_IMAGE_REGISTRY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/json.h"

#define REGISTRY_CONFIG_MAX       (1 << 20) /* bytes of a file */
#define REGISTRY_MIRRORS_MAX      8         /* of a registry */
#define REGISTRY_STALL_MAX_MS     3600000
#define REGISTRY_CONFIG_FILES_MAX 2

struct registry_config {
    json_t *files[REGISTRY_CONFIG_FILES_MAX]; /* the user's first; NULL: not there */
    char *paths[REGISTRY_CONFIG_FILES_MAX];
};

struct registry_mirror {
    char *host;   /* with its port */
    char *prefix; /* in front of the path of the image there, or "" */
    bool resolve; /* tags may be asked of it, too */
};

enum plain_http { PLAIN_HTTP_UNSET, PLAIN_HTTP_NO, PLAIN_HTTP_YES };

/*
 * Missing files are no error; one that cannot be understood is config.invalid, with file and key.
 */
bool registry_config_load(struct registry_config *config, struct err *err);
void registry_config_release(struct registry_config *config);

/* Checks a text as load does, and takes it as the user's file. */
bool registry_config_parse(const char *text, size_t len, const char *path,
                           struct registry_config *config, struct err *err);

/* What is said about plain HTTP with a host. */
enum plain_http registry_config_plain_http(const struct registry_config *config, const char *host);

/* The mirrors of a host, in their order; each is released by its finder. False without memory. */
bool registry_config_mirrors(const struct registry_config *config, const char *host,
                             struct registry_mirror mirrors[REGISTRY_MIRRORS_MAX], size_t *count);
void registry_mirror_release(struct registry_mirror *mirror);

/* Milliseconds without a byte after which a connection is dead; 0 when nothing is said. */
unsigned int registry_config_stall_ms(const struct registry_config *config);

/*
 * What both say about clusters, the user's first: [{"file", "settings"}], for
 * runtime/kubernetes/cluster_config.h. Owned by the caller; NULL without memory.
 */
json_t *registry_config_clusters(const struct registry_config *config);

#define autoregistryconfig CLEANUP(registry_config_release) struct registry_config

#endif
