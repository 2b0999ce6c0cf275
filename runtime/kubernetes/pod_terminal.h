/*
 * A terminal of this host that stands for one in a Pod: raw, so that it changes nothing of what
 * goes through. Of its size whoever has it as controlling terminal learns by SIGWINCH.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_TERMINAL_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_TERMINAL_H

#include "runtime/native/handshake.h"

/* Both ends are the caller's, and close upon execution; the master does not block. False with
 * errno, and nothing open. */
bool pod_terminal_make(const struct terminal_size *size, int *master, int *other);

#endif
