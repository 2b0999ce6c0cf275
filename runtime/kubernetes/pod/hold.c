#include "runtime/kubernetes/pod/pod.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "runtime/native/init/command.h"

#define PAUSE_NS 5000000 /* between two looks at the volume */

int pod_hold(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    sigset_t end;

    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    while (access(POD_DIR "/" POD_PLACED, F_OK) < 0) {
        if (sigtimedwait(&end, NULL, &pause) == SIGTERM)
            return INIT_FAILURE;
    }
    (void)unlink(POD_DIR "/" POD_PLACED);
    return 0;
}
