/*
 * The ledger of a durable step: what may have happened to it, in records of which each is flushed
 * to the disk before the effect that it announces (docs/design/durable-steps.md).
 *
 * One JSON object on each line: {"record", "time", …}. A line without its end was never announced:
 * whoever was writing it was killed, and did not go on.
 */
#ifndef STEPCELL_SHIM_STATE_LEDGER_H
#define STEPCELL_SHIM_STATE_LEDGER_H

#include <stdbool.h>

#include "base/json.h"
#include "base/process.h"
#include "shim/state/step_files.h"

#define LEDGER_MAX (16 << 20) /* bytes; most of them the step as asked for */

/* In the order in which they are written. */
enum ledger_record {
    LEDGER_NONE, /* there is no ledger, or nothing in it */
    LEDGER_ACCEPTED,
    LEDGER_SUPERVISED,
    LEDGER_CELL,
    LEDGER_STARTED,
    LEDGER_ENDED,
    LEDGER_FINISHED,
};

const char *ledger_record_text(enum ledger_record record);

/* Appends a record with the members of `members` (an object that it takes over, or NULL), and
 * flushes it. */
bool ledger_append(int stepfd, enum ledger_record record, json_t *members, struct err *err);

/*
 * Reads the ledger: *last is the last record that is whole, *records an array of all, owned by the
 * caller. No ledger is LEDGER_NONE with an empty array. One that cannot be understood is an error:
 * nobody may guess what a step did.
 */
bool ledger_read(int stepfd, enum ledger_record *last, json_t **records, struct err *err);

/* The record of that kind, borrowed; NULL when there is none. */
const json_t *ledger_find(const json_t *records, enum ledger_record record);

/* The members of a record that names a process; NULL when that cannot be looked at. */
json_t *ledger_pack_process(pid_t pid);

/* The process that a record names; false when it names none, or is NULL. */
bool ledger_unpack_process(const json_t *record, struct process *process);

#endif
