/*
 * What config.json says of a cluster, member "kubernetes": docs/configuration.md. Options of a step
 * win over it. Pure.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_CLUSTER_CONFIG_H
#define STEPCELL_RUNTIME_KUBERNETES_CLUSTER_CONFIG_H

#include "base/buf.h"
#include "base/json.h"

#define CLUSTER_VOLUMES_MAX 64
#define CLUSTER_PAIRS_MAX   64 /* labels, and words of the node selector */

/* What is not said is NULL or empty. */
struct cluster_config {
    char *context, *space, *init_image, *ship, *service_account;
    struct strv volumes;
    json_t *node_selector, *labels; /* objects of texts, which the API takes */
    bool no_pull_secret, no_image_volumes;
};

/*
 * `files` is what registry_config_clusters gives; a key of the first file that has it counts.
 * config.invalid, with key and file, for whatever is not understood.
 */
bool cluster_config_take(const json_t *files, struct cluster_config *config, struct err *err);
void cluster_config_release(struct cluster_config *config);

#define autoclusterconfig CLEANUP(cluster_config_release) struct cluster_config

#endif
