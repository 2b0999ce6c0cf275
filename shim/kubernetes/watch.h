/*
 * What two threads see of a Pod: one watches the API's object of it, the other reads its log. Both
 * tell the first thread by `wake` (eventfd), which looks at what they have found.
 */
#ifndef STEPCELL_SHIM_KUBERNETES_WATCH_H
#define STEPCELL_SHIM_KUBERNETES_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/kubernetes/frames.h"
#include "shim/kubernetes/objects.h"

struct sight {
    const struct kube_config *config;
    const char *name;
    int wake;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* With the lock. */
    struct pod_state state;
    bool gone;             /* there is no such Pod any more */
    int64_t silent_since;  /* clock_now() when the API began to give no answer; 0: it does */
    struct err no_contact; /* why it does not */
    bool read;             /* the log has been read to its end, whatever that was */
    struct frame end;      /* of it, */
    bool has_end;          /* where it came and is the whole */
    bool asked;            /* and the command had been told to end */
    bool reread;           /* by a second connection: maybe of another Pod of that name */
    struct err log_error;  /* why there is none */
    bool failed;           /* the cell has said that its command cannot run */
};

/* Thread functions; `data` is the struct sight. */
void *watch_pod(void *data);
void *follow_log(void *data);

/* The first thread and both others: something has changed. */
void sight_changed(struct sight *sight);

#endif
