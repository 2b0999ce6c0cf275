/*
 * YAML as JSON (pure): the only door to libyaml.
 *
 * One document of mappings, sequences and scalars, in the meaning of YAML's JSON schema: plain
 * scalars are null, booleans or integers where they look so, all others are strings. What a text of
 * ours never needs and an attacker's would use is refused: anchors, aliases, tags, a key twice or
 * that is no scalar, more than YAML_DEPTH_MAX levels, more than YAML_VALUES_MAX values.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_YAML_H
#define STEPCELL_RUNTIME_KUBERNETES_YAML_H

#include "base/json.h"

#define YAML_DEPTH_MAX  32
#define YAML_VALUES_MAX 65536

/* Owned by the caller; `what` names it in messages. NULL on error, with config.invalid. */
json_t *yaml_parse(const char *text, size_t len, const char *what, struct err *err);

#endif
