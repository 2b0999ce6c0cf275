/* Between the files explain*.c. */
#ifndef STEPCELL_SHIM_EXPLAIN_PARTS_H
#define STEPCELL_SHIM_EXPLAIN_PARTS_H

#include "shim/environment.h"
#include "shim/explain.h"

/* A JSON string, null for NULL. */
json_t *explain_string(const char *text);

/* The image with its digest, owned by the caller; NULL where no registry could give it by that. */
char *explain_pinned(const struct session *session);

/*
 * The step alone. `origins` is as session->env_origins, but that ENV_SECRET stands for whatever
 * must not be shown.
 */
json_t *explain_step(const struct session *session, const char *origins);

#endif
