/*
 * stepcell-pod: a static program, sent with a step or in the init image. `run` is the first
 * process of the step's container, `hold` that of the container `place`, where there is one, and
 * `place` the hook of that. The API's exec starts others beside `run`: `visit`; `collect`, which
 * comes for what the step has changed; and `signal`, which brings its command one.
 */
#include "runtime/kubernetes/pod/pod.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "runtime/kubernetes/pod/changes.h"
#include "runtime/kubernetes/pod/door.h"
#include "runtime/native/init/command.h"

/* Into the events of the Pod, for who looks why it does not start. */
static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* Until pid 1 has answered that it has passed it on. */
static int pass_signal(const char *text)
{
    struct message message;
    uint64_t number;
    int door = door_knock();

    return num_parse(text, NSIG - 1, &number) && door >= 0 &&
                   handshake_send(door, MESSAGE_SIGNAL, (int)number, -1) &&
                   recv(door, &message, sizeof(message), 0) == (ssize_t)sizeof(message)
               ? 0
               : INIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct err err;

    if (argc == 2 && strcmp(argv[1], "run") == 0)
        return pod_run();
    if (argc == 2 && strcmp(argv[1], "visit") == 0)
        return pod_visit();
    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        return pod_hold();
    if (argc == 3 && strcmp(argv[1], "signal") == 0)
        return pass_signal(argv[2]);
    if (argc >= 2 && strcmp(argv[1], "collect") == 0)
        return changes_collect(argc == 3 && strcmp(argv[2], "all") == 0);
    if (argc == 2 && strcmp(argv[1], "place") == 0) {
        if (pod_place(&err))
            return 0;
        say(err.message);
        return INIT_FAILURE;
    }
    say("stepcell-pod is started by stepcell alone\n");
    return INIT_FAILURE;
}
