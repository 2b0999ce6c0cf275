/*
 * The audit log: JSON lines in a file that the policy names, one for each step, before it starts
 * (docs/policy.md). A line that cannot be written is an error, and the step does not start.
 */
#ifndef STEPCELL_SHIM_AUDIT_H
#define STEPCELL_SHIM_AUDIT_H

#include "base/json.h"

#define AUDIT_SCHEMA "stepcell.audit/1"

/*
 * Appends one line, in one write. The file is made when it is missing, for its owner alone; it has
 * to be a regular file, and no link.
 */
bool audit_append(const char *path, const json_t *entry, struct err *err);

#endif
