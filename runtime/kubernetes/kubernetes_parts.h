/* What kubernetes.c and kubernetes_create.c share. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_KUBERNETES_PARTS_H
#define STEPCELL_RUNTIME_KUBERNETES_KUBERNETES_PARTS_H

#include <sys/types.h>

#include "runtime/cell_pipes.h"
#include "runtime/engine.h"
#include "runtime/kubernetes/pod_channel.h"
#include "runtime/kubernetes/pod_name.h"

#define CELL_PATIENCE_MS 300000 /* that the removal of a Pod is waited for */

struct cell {
    const struct run_spec *spec;
    struct exit_record record;
    char name[POD_NAME_MAX];
    struct pod_volume *volumes;
    size_t volume_count;
    const struct mount *returned; /* of which the changes are given back, or NULL */
    struct strv hidden;           /* names below it where something else is mounted */
    struct strv probes; /* for each file its path here, its path in the Pod, and what it holds */
    int events, clock;
    int daemon;   /* stepcell-kubernetes', or -1 while there is none */
    pid_t helper; /* it, or 0 */
    int request;  /* what it reads */
    int output;   /* the writing end of record.output */
    int changes;  /* the file of cluster_spec.changes, or -1 */
    int entry;    /* to it, for who enters */
    int helper_entry;
    struct cell_pipes pipes;
    bool ready, ended, asked_to_end, killed, cleaning, removed;
    struct strv left;
    struct err failure; /* of the clean-up */
};

/* Everything up to what is sent. */
bool kubernetes_create(const struct run_spec *spec, const struct root_filesystem *root,
                       struct cell **cell, struct err *err);

/* Puts the probe files into their places, and lets stepcell-kubernetes begin. */
bool kubernetes_start(struct cell *cell, struct err *err);

/* Takes them away. */
void kubernetes_remove_probes(struct cell *cell);

enum kubernetes_source { FROM_HELPER, FROM_CLOCK };

#endif
