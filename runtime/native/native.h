/*
 * The native engine: cells made by this program alone, out of namespaces, overlayfs and a static
 * pid 1.
 *
 * The command's streams are pipes. Their ends in struct cell_streams are non-blocking.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NATIVE_H
#define STEPCELL_RUNTIME_NATIVE_NATIVE_H

#include "mounts/idmap.h"
#include "runtime/engine.h"

extern const struct engine native_engine;

#endif
