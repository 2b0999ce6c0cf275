#include "shim/cells.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/buf.h"
#include "base/file.h"
#include "runtime/native/handshake.h"
#include "shim/command.h"
#include "shim/door.h"
#include "shim/state/step_dir.h"

void found_cell_release(struct found_cell *cell)
{
    close_fd(cell->door);
    json_decref(cell->facts);
    free(cell->scratch);
    *cell = FOUND_CELL_INIT;
}

struct round {
    const char *store;
    bool (*each)(void *data, struct found_cell *cell);
    void *data;
};

static bool look_at(void *data, int cells, const char *name)
{
    const struct round *round = data;
    autocell cell = FOUND_CELL_INIT;
    autofd place = openat(cells, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_there;

    cell.door = place < 0 ? -1 : door_knock(place);
    cell.facts = cell.door < 0 ? NULL : door_look(cell.door);
    is_there = cell.facts ? json_is_object(cell.facts) : errno == EAGAIN;
    cell.scratch = text_printf("%s/cells/%s", round->store, name);
    return !is_there || !cell.scratch || round->each(round->data, &cell);
}

bool cells_each(const char *store, bool (*each)(void *data, struct found_cell *cell), void *data,
                struct err *err)
{
    struct round round = {store, each, data};
    autofd dir = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd cells =
        dir < 0 ? -1 : openat(dir, "cells", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (cells >= 0)
        file_each_entry(cells, ".", look_at, &round);
    /* A store in which no step has run yet. */
    if (cells >= 0 || (dir >= 0 && errno == ENOENT))
        return true;
    err_errno(err, ERR_OPTION_INVALID, "cannot read the store '%s'", store);
    return err_hint(err, "name the store of the steps with --store, and call as whose it is");
}

struct search {
    const char *id;
    struct found_cell *cell;
    char *silent; /* the directory of one that does not answer */
};

static bool is_it(void *data, struct found_cell *cell)
{
    struct search *search = data;
    const char *id = json_text(cell->facts, "id");

    if (!cell->facts && !search->silent)
        search->silent = TAKE_PTR(cell->scratch);
    if (!id || strcmp(id, search->id) != 0)
        return true;
    *search->cell = *cell;
    *cell = FOUND_CELL_INIT;
    return false;
}

bool cells_find(const char *store, const char *id, struct found_cell *cell, struct err *err)
{
    struct search search = {id, cell, NULL};
    bool ok;

    *cell = FOUND_CELL_INIT;
    ok = cells_each(store, is_it, &search, err);
    if (ok && cell->door < 0 && search.silent) {
        err_set(err, ERR_STORE_BUSY, "a cell does not answer, and may be the one of '%s': '%s'", id,
                search.silent);
        ok = err_hint(err, "see whether its stepcell is stopped, and let it go on or kill it");
    }
    free(search.silent);
    return ok;
}

bool cells_unknown_step(const char *store, const char *id, struct err *err)
{
    autocell cell = FOUND_CELL_INIT;
    struct err ignored;

    if (step_id_is_good(id) && cells_find(store, id, &cell, &ignored) && cell.door >= 0) {
        err_set(err, ERR_OPTION_INVALID,
                "the step of the cell '%s' had no --id: nothing is recorded of it", id);
        return err_hint(err,
                        "'stepcell exec %s -- COMMAND' looks into the cell; run the step with --id "
                        "for a record",
                        id);
    }
    err_set(err, ERR_OPTION_INVALID, "no step has the id '%s'", id);
    return err_hint(err, "it had no --id, was started with another store, or has been forgotten or "
                         "expired");
}

int cells_end(struct found_cell *cell)
{
    const struct timeval for_ever = {.tv_sec = 0};
    struct err err;
    char byte;

    setsockopt(cell->door, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
    if (handshake_send(cell->door, MESSAGE_END, 0, -1) && recv(cell->door, &byte, 1, 0) == 0)
        return 0;
    err_errno(&err, ERR_ENGINE_FAILED, "cannot end the cell");
    return command_failed(&err);
}
