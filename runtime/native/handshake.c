#include "runtime/native/handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for descriptors beside a message. */
union ancillary {
    struct cmsghdr header;
    char space[CMSG_SPACE(HANDSHAKE_FDS_MAX * sizeof(int))];
};

bool handshake_send_several(int control, enum message_kind kind, int value, const int *fds,
                            size_t count)
{
    struct message message = {.kind = kind, .value = value};
    union ancillary ancillary = {.header = {.cmsg_level = SOL_SOCKET,
                                            .cmsg_type = SCM_RIGHTS,
                                            .cmsg_len = CMSG_LEN(count * sizeof(*fds))}};
    struct iovec part = {&message, sizeof(message)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (count > 0) {
        memcpy(CMSG_DATA(&ancillary.header), fds, count * sizeof(*fds));
        packet.msg_control = &ancillary;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(*fds));
    }
    return sendmsg(control, &packet, MSG_NOSIGNAL) == (ssize_t)sizeof(message);
}

bool handshake_send(int control, enum message_kind kind, int value, int fd)
{
    return handshake_send_several(control, kind, value, &fd, fd >= 0);
}

void handshake_fail(int control, const struct err *err)
{
    struct message_failure failure = {.head = {.kind = MESSAGE_FAILED}, .code = err->code};

    memcpy(failure.message, err->message, sizeof(failure.message));
    memcpy(failure.hint, err->hint, sizeof(failure.hint));
    memcpy(failure.detail, err->detail, sizeof(failure.detail));
    (void)!send(control, &failure, sizeof(failure), MSG_NOSIGNAL);
}

ssize_t handshake_receive_several(int control, void *packet, size_t size, int flags,
                                  int fds[HANDSHAKE_FDS_MAX])
{
    union ancillary ancillary;
    struct iovec part = {packet, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof(ancillary)};
    struct cmsghdr *header;
    ssize_t n;

    /* A peer that has ended with something unread is told first, once; then comes what it said. */
    do
        n = recvmsg(control, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    header = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++)
        fds[i] = -1;
    if (header && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len <= CMSG_LEN(HANDSHAKE_FDS_MAX * sizeof(int)))
        memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return n;
}

ssize_t handshake_receive(int control, void *packet, size_t size, int flags, int *fd)
{
    int fds[HANDSHAKE_FDS_MAX];
    ssize_t n = handshake_receive_several(control, packet, size, flags, fds);

    *fd = fds[0];
    for (size_t i = 1; i < HANDSHAKE_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return n;
}

ssize_t handshake_receive_packet(int control, union message_packet *packet, int *fd)
{
    ssize_t n = handshake_receive(control, packet, sizeof(*packet), MSG_DONTWAIT, fd);
    bool failed;

    if (n < 0 && errno == ECONNRESET)
        n = handshake_receive(control, packet, sizeof(*packet), MSG_DONTWAIT, fd);
    if (n < (ssize_t)sizeof(packet->message))
        return n < 0 ? n : 0;
    failed = packet->message.kind == MESSAGE_FAILED;
    return n == (ssize_t)(failed ? sizeof(packet->failure) : sizeof(packet->message)) ? n : 0;
}

void handshake_take_failure(struct message_failure *failure, struct err *err)
{
    if (failure->code >= ERR_COUNT)
        failure->code = ERR_ENGINE_FAILED;
    failure->message[sizeof(failure->message) - 1] = '\0';
    failure->hint[sizeof(failure->hint) - 1] = '\0';
    failure->detail[sizeof(failure->detail) - 1] = '\0';
    err->code = (enum err_code)failure->code;
    memcpy(err->message, failure->message, sizeof(err->message));
    memcpy(err->hint, failure->hint, sizeof(err->hint));
    memcpy(err->detail, failure->detail, sizeof(err->detail));
}
