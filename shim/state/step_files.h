/* What the files in the directory of a step are called (docs/design/durable-steps.md). */
#ifndef STEPCELL_SHIM_STATE_STEP_FILES_H
#define STEPCELL_SHIM_STATE_STEP_FILES_H

#define STEP_LEDGER  "ledger"
#define STEP_EVENTS  "events.ndjson"
#define STEP_RESULT  "result.json"
#define STEP_LOCK    "lock"
#define STEP_TARGET  "target.json"
#define STEP_ACKED   "acked"
#define STEP_SENDER  "deliverer"
#define STEP_SAMPLES "samples"
#define STEP_KEY     "key"

#endif
