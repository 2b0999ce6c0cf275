/*
 * The values of --memory, --cpus, --pids-limit and --ulimit, in docker's grammar (pure). Each
 * function gives NULL and sets `limits`, or the hint that says what a value looks like.
 */
#ifndef STEPCELL_SHIM_LIMITS_H
#define STEPCELL_SHIM_LIMITS_H

#include "runtime/run_spec.h"

/* "64m": bytes, or KiB, MiB, GiB, TiB with k, m, g, t. 0 for none; less than 6 MiB starts nothing.
 */
const char *limits_parse_memory(const char *text, struct limits *limits);

/* "1.5": processors, 0.01 at least. 0 for none. */
const char *limits_parse_cpus(const char *text, struct limits *limits);

/* Tasks, 2 at least. 0 and -1 for none. */
const char *limits_parse_pids(const char *text, struct limits *limits);

/* "NAME=SOFT[:HARD]"; replaces what was given for the same name. */
const char *limits_parse_ulimit(const char *text, struct limits *limits);

#endif
