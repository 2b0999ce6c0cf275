/*
 * Durable steps (docs/design/durable-steps.md): a supervisor, forked by whoever asks first, runs
 * the step; everybody else reads its directory.
 */
#ifndef STEPCELL_SHIM_DURABLE_H
#define STEPCELL_SHIM_DURABLE_H

#include "shim/session.h"

/*
 * Sees to it that the step of the session's options is recorded and somebody carries it on: the
 * supervisor that this forks, unless there is one, or has ever been one. Fails with step.conflict
 * when another step has the id.
 */
bool durable_ensure(struct session *session, struct err *err);

/*
 * Follows the step to its end; its result is the caller's. Signals go to its supervisor, but for
 * HUP: a caller whose connection breaks goes, and the step goes on.
 */
bool durable_attach(struct session *session, json_t **result, struct err *err);

/* Prints what `run` prints at the end of a step, from its result. */
void durable_print_outcome(const json_t *result, enum verbosity verbosity);

/* Sends a signal to the supervisor of the step; false when there is none, or none yet. */
bool durable_signal(const struct step_dir *step, int signal);

/* Settles a step as canceled by `signal` that was accepted, and that nobody has taken charge of;
 * false when somebody has. */
bool durable_cancel(struct step_dir *step, const char *id, int signal, struct err *err);

/* Ends who only looks on, with err, upon a signal that ends a process. */
bool durable_stop_looking(int signal, struct err *err);

/*
 * Looks after a step that nobody carries on: one whose supervisor was killed is settled as unknown,
 * once nothing of it remains. *state is what the ledger says then.
 */
bool durable_look_after(const char *store, struct step_dir *step, const char *id,
                        enum ledger_record *state, struct err *err);

/*
 * The state to tell of a step of which the ledger says `state`: from its result on it has ended.
 * The ledger says so a little later, when readers of its events know already.
 */
enum ledger_record durable_state(const struct step_dir *step, enum ledger_record state);

/*
 * Where files about the step may not lie: a policy's own places, and links in the working
 * directory, where the step may have left them.
 */
bool durable_find_outlets(const struct step_dir *step, const char *store_option,
                          struct outlets *outlets, struct err *err);

/* Starts the delivery of the events by HTTP again, if it was interrupted. */
void durable_resume_delivery(const struct step_dir *step);

/* Settles steps whose supervisor was killed, starts deliveries that were interrupted, and removes
 * what has expired. Looks once in a while at the most. */
void durable_sweep(const char *store);

#endif
