/* What a step that was killed has left in an engine that is a daemon, or a cluster. */
#ifndef STEPCELL_SHIM_ABANDONED_H
#define STEPCELL_SHIM_ABANDONED_H

#include "base/json.h"

/*
 * Removes the step's containers, if their process is gone, or its Pods; `cell` is the record of its
 * cell, `accepted` the step as it was asked for. True when the engine has none of them any more.
 */
bool abandoned_remove(const char *engine, const json_t *cell, const json_t *accepted,
                      const char *step);

#endif
