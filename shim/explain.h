/*
 * What `stepcell explain` says of a step: facts as JSON, which --step takes again, and the same as
 * text (docs/explain.md).
 */
#ifndef STEPCELL_SHIM_EXPLAIN_H
#define STEPCELL_SHIM_EXPLAIN_H

#include "shim/session.h"

#define EXPLAIN_SCHEMA "stepcell.explain/1"
#define STEP_SCHEMA    "stepcell.step/1"

/*
 * The step with everything in it resolved, and what else is known of it as its member "explain", of
 * a session that session_resolve and session_look_inside (`looked` is what that gave) have been
 * asked. Masked. NULL without memory.
 */
json_t *explain_json(struct session *session, bool looked);

/*
 * Whether JSON can say the step that the words `argv` ask for: it has no texts but UTF-8, and with
 * others in their place it would be another step.
 */
bool explain_fits_json(const struct session *session, int argc, char **argv, struct err *err);

/* The text of such JSON, free of control characters, owned by the caller. */
char *explain_text(const json_t *step);

#endif
