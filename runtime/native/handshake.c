#include "runtime/native/handshake.h"

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
