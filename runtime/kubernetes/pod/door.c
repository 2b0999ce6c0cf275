#include "runtime/kubernetes/pod/door.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/kubernetes/pod_setup.h"

#define GUESTS_MAX 32 /* that wait */
#define STAT_MAX   512

static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = POD_DIR "/" POD_DOOR};

bool door_open(struct door *door, struct err *err)
{
    mode_t mask = umask(0177);
    bool ok;

    door->guest = -1;
    door->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ok = door->socket >= 0 &&
         bind(door->socket, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
         listen(door->socket, GUESTS_MAX) == 0;
    umask(mask);
    return ok || err_errno(err, ERR_ENGINE_FAILED, "cannot open the door of the Pod");
}

/* Of who was started from outside of the namespace, the parent is not seen. */
bool door_is_guest(pid_t pid)
{
    char path[64], text[STAT_MAX] = "";
    const char *name_end;
    autofd fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pid == 1 || fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return false;
    /* "PID (NAME) STATE PARENT": the name may be anything. */
    name_end = strrchr(text, ')');
    return name_end && strlen(name_end) > 4 && atoi(name_end + 4) == 0;
}

static bool may_come_in(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           door_is_guest(peer.pid);
}

void door_answer(struct door *door)
{
    autofd connection = accept4(door->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (connection >= 0 && may_come_in(connection))
        door->guest = TAKE_FD(connection);
}

bool door_hear(struct door *door, struct message *message, int fds[HANDSHAKE_FDS_MAX],
               int *connection)
{
    ssize_t n =
        handshake_receive_several(door->guest, message, sizeof(*message), MSG_DONTWAIT, fds);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    *connection = TAKE_FD(door->guest);
    if (n == (ssize_t)sizeof(*message))
        return true;
    *connection = close_fd(*connection);
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++)
        close_fd(fds[i]);
    return false;
}

int door_knock(void)
{
    autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return TAKE_FD(fd);
}
