/* stepcell-kubernetes: the commands, of which none is for users. */
#ifndef STEPCELL_SHIM_KUBERNETES_COMMAND_H
#define STEPCELL_SHIM_KUBERNETES_COMMAND_H

/* One Pod, from its creation to its removal: see pod_channel.h. */
int command_cell(int argc, char **argv);

/* Removes the Pods and Secrets that one step of this machine and user has left. */
int command_sweep(int argc, char **argv);

/*
 * Thread function; `data` is the struct kube_config: removes what steps of this machine and user
 * have left in the namespace whose processes are known to be gone. Never what is of a durable step,
 * which another worker may carry on.
 */
void *sweep_abandoned(void *data);

/* Reports on the caller's cluster to descriptor 3: {}, where there is none. */
int command_reach(int argc, char **argv);

/* Goes into a Pod by the API's exec: see visit.h. */
int command_visit(int argc, char **argv);

#endif
