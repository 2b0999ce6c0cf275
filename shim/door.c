#include "shim/door.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "runtime/native/handshake.h"

#define ANSWER_S 2 /* that who is behind a door may take */

/* By the descriptor of its directory: the path of a store may be longer than an address. */
static struct sockaddr_un address_of(int place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" DOOR_NAME, place);
    return address;
}

static bool same_namespace(pid_t peer)
{
    char path[64];
    struct stat theirs, ours;

    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)peer);
    return peer > 0 && stat(path, &theirs) == 0 && stat("/proc/self/ns/pid", &ours) == 0 &&
           theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

/* The caller or root, and not from inside of a cell, be the store mounted there. */
static bool may_come_in(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    /* No id of any cell is root's. */
    return peer.uid == 0 || (peer.uid == geteuid() && same_namespace(peer.pid));
}

static void answer(const struct door *door, int connection)
{
    autojson *facts = door->keeper.facts(door->keeper.data);
    autofree char *text = facts ? json_dump_line(facts) : NULL;

    if (text)
        (void)!send(connection, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static struct door_guest *free_place(struct door *door)
{
    for (size_t i = 0; i < DOOR_GUESTS_MAX; i++) {
        if (door->guests[i].io.fd < 0)
            return &door->guests[i];
    }
    return NULL;
}

/* While all places are taken, who knocks waits. */
static bool listen_on(struct door *door, struct err *err)
{
    return loop_change(door->loop, &door->io, free_place(door) ? EPOLLIN : 0, err);
}

static void leave(struct door_guest *guest)
{
    loop_remove(guest->door->loop, &guest->io);
    guest->io.fd = close_fd(guest->io.fd);
}

static bool guest_speaks(void *data, uint32_t events, struct err *err)
{
    struct door_guest *guest = data;
    const struct door_keeper *keeper = &guest->door->keeper;
    int fds[HANDSHAKE_FDS_MAX];
    struct message message;
    ssize_t n =
        handshake_receive_several(guest->io.fd, &message, sizeof(message), MSG_DONTWAIT, fds);
    bool stays = n == (ssize_t)sizeof(message);

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return true;
    if (!stays) {
        /* The guest has gone. */
    } else if (message.kind == MESSAGE_LOOK) {
        answer(guest->door, guest->io.fd);
    } else if (message.kind == MESSAGE_ENTER && fds[0] >= 0 && fds[1] >= 0) {
        keeper->enter(keeper->data, fds, 2);
        /* It is in: the rest is between it and pid 1. */
        stays = false;
    } else if (message.kind == MESSAGE_END) {
        keeper->end(keeper->data);
    }
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++)
        close_fd(fds[i]);
    if (stays)
        return true;
    leave(guest);
    return listen_on(guest->door, err);
}

static bool somebody_knocks(void *data, uint32_t events, struct err *err)
{
    struct door *door = data;
    struct door_guest *guest = free_place(door);
    autofd connection = guest ? accept4(door->io.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

    (void)events;
    if (connection < 0 || !may_come_in(connection))
        return true;
    *guest = (struct door_guest){door, {TAKE_FD(connection), guest_speaks, guest}};
    return loop_add(door->loop, &guest->io, EPOLLIN, err) && listen_on(door, err);
}

bool door_open(struct door *door, int place, struct loop *loop, const struct door_keeper *keeper,
               struct err *err)
{
    struct sockaddr_un address = address_of(place);
    autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(fd, DOOR_GUESTS_MAX) == 0;

    umask(mask);
    if (!ok)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot open the door of the cell");
    *door = (struct door){.loop = loop, .keeper = *keeper};
    for (size_t i = 0; i < DOOR_GUESTS_MAX; i++)
        door->guests[i].io.fd = -1;
    door->io = (struct loop_io){TAKE_FD(fd), somebody_knocks, door};
    return loop_add(loop, &door->io, EPOLLIN, err);
}

void door_close(struct door *door)
{
    if (!door->loop)
        return;
    for (size_t i = 0; i < DOOR_GUESTS_MAX; i++) {
        if (door->guests[i].io.fd >= 0)
            leave(&door->guests[i]);
    }
    loop_remove(door->loop, &door->io);
    close_fd(door->io.fd);
    door->loop = NULL;
}

int door_knock(int place)
{
    struct sockaddr_un address = address_of(place);
    const struct timeval patience = {.tv_sec = ANSWER_S};
    autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return TAKE_FD(fd);
}

json_t *door_look(int connection)
{
    autofree char *text = malloc(DOOR_FACTS_MAX);
    struct err ignored;
    ssize_t n;

    if (!text || !handshake_send(connection, MESSAGE_LOOK, 0, -1))
        return NULL;
    n = recv(connection, text, DOOR_FACTS_MAX, 0);
    if (n < 0)
        return NULL;
    errno = n == 0 ? ECONNRESET : EPROTO;
    return n == 0 ? NULL
                  : json_parse(text, (size_t)n, "what a cell tells", ERR_ENGINE_FAILED, &ignored);
}
