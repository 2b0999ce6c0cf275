/*
 * The native engine: cells made by this program alone, out of namespaces, overlayfs and a static
 * pid 1.
 *
 * The command's streams are pipes. Their ends in struct cell_ends are non-blocking.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NATIVE_H
#define STEPCELL_RUNTIME_NATIVE_NATIVE_H

#include "mounts/idmap.h"
#include "runtime/engine.h"

/*
 * How long a killed cell, and its clean-up when nothing goes on, are waited for. A process that
 * waits for a server that does not answer (FUSE, NFS) ends only when that does.
 */
#define NATIVE_PATIENCE_MS 10000

extern const struct engine native_engine;

#endif
