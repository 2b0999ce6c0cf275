/* The parts of stepcell-pod: see pod_setup.h. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_POD_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_POD_H

#include "runtime/kubernetes/pod/setup.h"

/* The first process of the container `place`, there until all is laid out; its exit status. */
int pod_hold(void);

/* Lays out in POD_DIR what was sent, but for the setup itself. */
bool pod_lay_out(struct setup *setup, struct err *err);

/* That with the setup for `run`, and what was shipped. */
bool pod_place(struct err *err);

/* The first process of the step's container; its exit status. */
int pod_run(void);

/* What is started beside it, for a command that visits, or for the input of the step's own. */
int pod_visit(void);

#endif
