/*
 * The door of a cell (docs/design/keep-and-exec.md): a unix socket in its scratch, by which other
 * calls of the same user ask what is behind it, let a command in, and end it. Over a connection go
 * messages of runtime/native/handshake.h:
 *
 *   LOOK    answered by one packet: the facts, a JSON object of DOOR_FACTS_MAX bytes at the most
 *   ENTER   handed on to pid 1 of the cell, with its descriptors; the connection ends
 *   END     ends the step, or the cell that was kept; the connection ends when the cell is gone
 */
#ifndef STEPCELL_SHIM_DOOR_H
#define STEPCELL_SHIM_DOOR_H

#include "base/json.h"
#include "base/loop.h"

#define DOOR_NAME       "door"
#define DOOR_FACTS_MAX  65536
#define DOOR_GUESTS_MAX 16 /* connections at once; further ones wait */

/* Who opens it. */
struct door_keeper {
    json_t *(*facts)(void *data); /* owned by the door; NULL: there is no memory */
    void (*enter)(void *data, const int *fds, size_t count);
    void (*end)(void *data);
    void *data;
};

struct door;

struct door_guest {
    struct door *door;
    struct loop_io io; /* fd is -1 when there is none */
};

struct door {
    struct loop *loop; /* NULL: it is not open */
    struct door_keeper keeper;
    struct loop_io io;
    struct door_guest guests[DOOR_GUESTS_MAX];
};

/* Opens it in the directory `place`; the door stays where it is until door_close. */
bool door_open(struct door *door, int place, struct loop *loop, const struct door_keeper *keeper,
               struct err *err);
void door_close(struct door *door);

/* Connects to the door in the directory `place`; -1 with errno when nobody is behind it, EAGAIN
 * when somebody is, who does not open. */
int door_knock(int place);

/* Asks what is behind it; NULL with errno, EAGAIN when there is no answer in time. */
json_t *door_look(int connection);

#endif
