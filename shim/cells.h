/* The cells of a store that run or are kept, as their doors tell of them (door.h). */
#ifndef STEPCELL_SHIM_CELLS_H
#define STEPCELL_SHIM_CELLS_H

#include "base/json.h"

struct found_cell {
    int door;      /* a connection; -1 when there is no cell */
    json_t *facts; /* what it says: see session_hold.c; NULL: it does not answer */
    char *scratch; /* its directory */
};

#define FOUND_CELL_INIT ((struct found_cell){.door = -1})

void found_cell_release(struct found_cell *cell);
#define autocell CLEANUP(found_cell_release) struct found_cell

/*
 * Calls `each` for every cell, those that do not answer as well, until one call gives false; it may
 * take `cell` over. False when the store cannot be read.
 */
bool cells_each(const char *store, bool (*each)(void *data, struct found_cell *cell), void *data,
                struct err *err);

/* Looks for the cell of the step `id`; false as cells_each, and when it may be one that does not
 * answer. */
bool cells_find(const char *store, const char *id, struct found_cell *cell, struct err *err);

/* Says why nothing is recorded of a step that was asked for by its id: false, with err. */
bool cells_unknown_step(const char *store, const char *id, struct err *err);

/* Ends it, and waits until it is gone; the exit status of a command that does so. */
int cells_end(struct found_cell *cell);

#endif
