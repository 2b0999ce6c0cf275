/*
 * Where the cluster is and who speaks to it, as kubectl finds it: the files of
 * KUBECONFIG, of which the first that has a name counts, or ~/.kube/config, with their context,
 * cluster and user; where there is neither, the service account
 * of the Pod that this process runs in.
 *
 * What would verify less than the file's authorities, or would act as somebody else than its user,
 * is refused and named, never left out.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_KUBECONFIG_H
#define STEPCELL_RUNTIME_KUBERNETES_KUBECONFIG_H

#include "base/buf.h"
#include "base/json.h"
#include "runtime/net/http.h"

#define KUBECONFIG_MAX       (4 << 20) /* bytes of a file, and of each that it names */
#define KUBECONFIG_FILES_MAX 64
#define KUBE_TOKEN_MAX       (64 << 10)
#define KUBE_NAMESPACE_MAX   63
#define KUBE_SERVICE_FOLDER  "/var/run/secrets/kubernetes.io/serviceaccount"

/* A program that gives credentials: see kube_plugin.h. */
struct kube_plugin {
    char *command; /* NULL: there is none */
    struct strv arguments;
    struct strv environment; /* "NAME=VALUE", besides the caller's */
    char *api_version;       /* "client.authentication.k8s.io/v1" or its v1beta1 */
    json_t *cluster;         /* of KUBERNETES_EXEC_INFO, where it is asked for; or NULL */
};

struct kube_config {
    char *server; /* the URL, without a '/' at its end */
    char *space;  /* the namespace */
    char *token, *token_file;
    struct kube_plugin plugin;
    /* Paths; what was inline is in a memory file that is open as long as this. */
    struct http_tls tls;
    int memory[2];
};

#define KUBE_CONFIG_INIT ((struct kube_config){.memory = {-1, -1}})

/* What of the caller's surroundings counts; any text may be NULL. */
struct kube_caller {
    const char *kubeconfig, *home;
    const char *service_host, *service_port; /* of the API in a cluster */
    const char *service_folder;              /* KUBE_SERVICE_FOLDER but for tests */
};
/* With `file`, that alone; NULL: whatever the caller has. */
struct kube_caller kube_caller_now(const char *file);

/* Whether anything says where a cluster is. */
bool kube_caller_has_cluster(const struct kube_caller *caller);

/* `context` and `space` may be NULL: the file's. config.invalid names what is wrong. */
bool kube_config_find(const struct kube_caller *caller, const char *context, const char *space,
                      struct kube_config *config, struct err *err);

/* A file, and what it holds. */
struct kube_file {
    const char *path;
    const json_t *root;
};
/* The pure part, of one file at least. */
bool kube_config_take(const struct kube_file *files, size_t count, const char *context,
                      const char *space, struct kube_config *config, struct err *err);
void kube_config_release(struct kube_config *config);

/* A certificate and its key out of texts in PEM. */
bool kube_config_set_certificate(struct kube_config *config, const char *certificate,
                                 size_t certificate_len, const char *key, size_t key_len,
                                 struct err *err);

/* Whether a text is a name of Kubernetes: a label of the DNS (RFC 1123). */
bool kube_name_is_valid(const char *name);

#define autokubeconfig CLEANUP(kube_config_release) struct kube_config

#endif
