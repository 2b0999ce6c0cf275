#include "runtime/native/handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool handshake_send(int control, enum message_kind kind)
{
    struct message message = {.kind = kind};

    return send(control, &message, sizeof(message), MSG_NOSIGNAL) == (ssize_t)sizeof(message);
}

void handshake_fail(int control, const struct err *err)
{
    struct message_failure failure = {.head = {.kind = MESSAGE_FAILED}, .code = err->code};

    memcpy(failure.message, err->message, sizeof(failure.message));
    memcpy(failure.hint, err->hint, sizeof(failure.hint));
    (void)!send(control, &failure, sizeof(failure), MSG_NOSIGNAL);
}

ssize_t handshake_receive(int control, union message_packet *packet)
{
    ssize_t n = recv(control, packet, sizeof(*packet), MSG_DONTWAIT);
    bool failed;

    if (n < 0 && errno == ECONNRESET)
        n = recv(control, packet, sizeof(*packet), MSG_DONTWAIT);
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
    err->code = (enum err_code)failure->code;
    memcpy(err->message, failure->message, sizeof(err->message));
    memcpy(err->hint, failure->hint, sizeof(err->hint));
}
