/*
 * A step whose cell may be kept, and that is not durable: a process of its own runs it and holds
 * the cell afterwards, and the caller's is a front, which hands signals on and ends with the step.
 */
#ifndef STEPCELL_SHIM_FRONT_H
#define STEPCELL_SHIM_FRONT_H

#include "shim/session.h"

/* Runs the step; *status is its exit status. Until the cell is kept, neither outlives the other. */
bool front_run(struct session *session, int *status, struct err *err);

#endif
