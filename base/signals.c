#include "base/signals.h"

#include "base/cleanup.h"

bool signals_watch(struct loop *loop, bool (*on_signal)(void *data, int signal, struct err *err),
                   void *data, struct err *err)
{
    static const int handled[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1,
                                  SIGUSR2, SIGALRM, SIGWINCH, SIGCONT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
        sigaddset(&set, handled[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    /*
     * A caller may have these ignored, and what is ignored is never seen: the end of a child least
     * of all.
     */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* an error says it better */
    return loop_watch_signals(loop, &set, on_signal, data, err);
}
