/*
 * The engine that is a cluster: cells are Pods of Kubernetes.
 *
 * A program of its own, stepcell-kubernetes, speaks to the API (pod_channel.h) and writes what the
 * Pod's log holds into pipes of stepcell's own; the Pod's first process is stepcell-pod
 * (pod_setup.h). The ends of the streams in struct cell_ends are non-blocking. Nothing is sent
 * before start.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_KUBERNETES_H
#define STEPCELL_RUNTIME_KUBERNETES_KUBERNETES_H

#include "runtime/engine.h"

extern const struct engine kubernetes_engine;

#endif
