/*
 * The two ways to make a private network, inside the keeper (network.c): as an ordinary user with a
 * program that forwards for the cell while it runs, as root with a bridge of the host.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NETWORK_PARTS_H
#define STEPCELL_RUNTIME_NATIVE_NETWORK_PARTS_H

#include "runtime/native/network.h"
#include "runtime/native/tool.h"

/* Both ways: false without err->code when the cell ended meanwhile. */

bool network_user_check(struct err *err);
bool network_user_connect(const struct network_cell *cell, struct tool *tool, struct err *err);

bool network_root_check(struct err *err);
/*
 * `held`, the record, stays open, and locked, until the network is down: who holds it is in charge.
 */
bool network_root_connect(const struct network_cell *cell, int *held, struct err *err);
bool network_root_disconnect(const struct network_cell *cell, int held, bool connected,
                             struct err *err);

/*
 * For a record whose cell is gone; `place` is the directory that holds it. The lock of the host is
 * not waited for: a step that has nothing to do with it looks after it.
 */
bool network_root_undo(int place, struct err *err);

#endif
