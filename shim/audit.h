/*
 * The audit log: JSON lines in a file that the policy names, one for each step before it starts,
 * and for each command of `exec` (docs/policy.md). A line that cannot be written is an error, and
 * nothing starts.
 */
#ifndef STEPCELL_SHIM_AUDIT_H
#define STEPCELL_SHIM_AUDIT_H

#include "base/json.h"

#define AUDIT_SCHEMA   "stepcell.audit/1"
#define AUDIT_TEXT_MAX 1024 /* bytes of one text in a line */

/*
 * A line about a step, with the time and who calls; `members` is what else there is to say, which
 * is taken over. NULL without memory.
 */
json_t *audit_entry(const char *step, const char *decision, json_t *members);

/*
 * Appends one line, in one write. The file is made when it is missing, for its owner alone; it has
 * to be a regular file, and no link.
 */
bool audit_append(const char *path, const json_t *entry, struct err *err);

/* Whether the caller could append to it, or make it; nothing is written. */
bool audit_can_append(const char *path, struct err *err);

#endif
