/*
 * How a Pod is, out of the API's object of it (pure). Nothing of it is trusted: texts have a limit,
 * and what is missing is not guessed.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_STATE_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_STATE_H

#include "runtime/kubernetes/client.h"

#define POD_REASON_MAX 64
#define WATCH_LINE_MAX (4 << 20) /* bytes of one event of a watch */

/* What keeps a step from going on. */
enum pod_trouble {
    POD_FINE,
    POD_UNSCHEDULABLE, /* no node takes it: it may become better */
    POD_NO_IMAGE,      /* an image of it cannot be had */
    POD_NO_CONTAINER,  /* the node cannot make a container of it */
    POD_RETRIED,       /* nor could it up to now, and tries again: a busy one succeeds then */
    POD_INIT_FAILED,   /* the container `place` has failed, or one that runs before */
    POD_EVICTED,       /* the node has put it out, or is about to: it is deleted then */
    POD_LOST,          /* its node is gone */
    POD_NO_MEMORY,     /* its first process was killed for memory */
};

struct pod_state {
    char uid[POD_REASON_MAX];
    char version[POD_REASON_MAX]; /* resourceVersion */
    const char *program;          /* pod_program_of it */
    bool begun;                   /* the step's container runs, or has */
    bool ended;                   /* it has ended: its log gets no longer */
    bool finished;                /* the Pod has: it will not begin any more */
    bool deleted;                 /* somebody has asked for its deletion */
    bool oom_killed;              /* its first process was, or the kubelet says so */
    enum pod_trouble trouble;
    char reason[POD_REASON_MAX];
    char message[KUBE_MESSAGE_MAX];
};

/* engine.failed for what is no Pod. */
bool pod_state_take(const json_t *pod, struct pod_state *state, struct err *err);

/* The error of a trouble, or of one that is POD_FINE although it has ended. */
void pod_state_explain(const struct pod_state *state, struct err *err);

/* The events of a Pod as one text, at most `size` bytes: the newest last. */
void pod_events_text(const json_t *list, char *text, size_t size);

/* Whether they say that a node has nothing, or something else, at a path that is mounted, which
 * it tries again and again for ever. */
bool pod_events_lack_path(const json_t *list);

/* Whether they say again and again that a volume cannot be mounted, or the Pod not be set up. */
bool pod_events_are_stuck(const json_t *list);

#endif
