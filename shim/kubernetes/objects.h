/* The objects of one step in a cluster: its Pod, its Secret, which has the same name, and where
 * there are credentials for its images one with those, which has that name and PULL_SUFFIX. */
#ifndef STEPCELL_SHIM_KUBERNETES_OBJECTS_H
#define STEPCELL_SHIM_KUBERNETES_OBJECTS_H

#include "runtime/kubernetes/client.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/kubernetes/pod_state.h"

#define OBJECTS_GONE_MS 60000 /* that objects take to go, beside the grace of the Pod */

#define PULL_SUFFIX "-pull"

/* Whether one of them is there, and this call's. */
enum presence {
    OBJECT_ABSENT,
    OBJECT_OTHERS, /* of that name, but another worker's */
    OBJECT_UNSURE, /* whose it is only its labels say */
    OBJECT_PRESENT,
};

struct objects {
    const struct kube_config *config;
    const char *name;
    const char *step, *owner; /* the labels of this call's; objects_make sets them */
    struct kube_client *client;
    char call[POD_NAME_MAX]; /* ANNOTATION_POD_CALL of the Secret that is there */
    enum presence has_secret, has_pull, has_pod;
    bool durable;         /* another worker may take them over at any time */
    bool attached;        /* another worker has made them */
    bool modern;          /* the Pod has an image volume */
    unsigned int grace_s; /* of the Pod */
    bool never_begun;     /* it cannot begin: nobody waits for a kubelet that tries to */
    bool node_lost;       /* the Pod has been waited for, and does not go before its node is back */
};

/* The path of a kind ("pods", "secrets") in the namespace, and of what is behind it; owned by the
 * caller. */
char *objects_path(const struct objects *objects, const char *kind, const char *behind);

/*
 * The Secrets, of which `pull` may be NULL, then the Pod, which becomes their owner: `modern`,
 * which may be NULL, where the API says that it knows the volumes of that. They are named alike by
 * an annotation, which nobody else knows who may not read Secrets: a Pod without it is none of the
 * step's, whatever its labels are. Where another
 * worker has made them for the same durable step, its Pod is the one; of another step they are
 * step.conflict, and stay as they are.
 */
bool objects_make(struct objects *objects, json_t *secret, const json_t *pull, json_t *pod,
                  json_t *modern, struct pod_state *state, struct err *err);

/* Whether a Pod of that name is there and is not the one with this uid. */
bool objects_is_another(struct objects *objects, const char *uid);

/* Asks the command to end; the Pod and its log stay. */
bool objects_end_command(struct objects *objects, struct err *err);

/* Asks for the Pod's deletion, with a second of grace, or its own grace where `gently`. */
bool objects_delete_pod(struct objects *objects, bool gently, struct err *err);

/*
 * Removes all, the Pod in the same way, and looks until the API says that they are gone. Where the
 * Pod turns out to be another worker's, so are the Secrets: all stay.
 */
bool objects_remove(struct objects *objects, bool gently, struct err *err);

/* What the cluster tells of the Pod in its events joins the detail of the error. */
void objects_add_events(struct objects *objects, struct err *err);

/* Whether they say that a volume of it cannot be mounted, or that it cannot be set up. */
bool objects_are_stuck(struct objects *objects);

#endif
