#include "shim/image/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "shim/image/command.h"
#include "shim/print.h"

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

/* A signal that the caller made us ignore, as nohup does, stays ignored. */
static void watched_set(sigset_t *set)
{
    struct sigaction action;

    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
        if (sigaction(ending[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, ending[i]);
    }
}

/* The child hears no signal but KILL: its parent decides. */
_Noreturn static void work(int (*command)(int argc, char **argv), int argc, char **argv,
                           pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(STATUS_FAILED);
    exit(command_end(command(argc, argv)));
}

/* Waits for the worker; 0 with its status, or the signal that came first. */
static int wait_for(pid_t worker, const sigset_t *watched, int *status)
{
    for (;;) {
        int signal = sigwaitinfo(watched, NULL);

        if (signal > 0 && signal != SIGCHLD)
            return signal;
        if (waitpid(worker, status, WNOHANG) == worker)
            return 0;
    }
}

_Noreturn static void die(int signal)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;

    sigaction(signal, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signal);
    raise(signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + signal);
}

int supervise(int (*command)(int argc, char **argv), int argc, char **argv,
              void (*clear_away)(int argc, char **argv))
{
    pid_t self = getpid(), worker;
    sigset_t watched;
    struct err err;
    int status = 0, signal;

    watched_set(&watched);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    /* The worker's children come here when it is killed: their locks are free once they are gone.
     */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    worker = fork();
    if (worker == 0)
        work(command, argc, argv, self);
    if (worker < 0) {
        err_errno(&err, ERR_ENGINE_FAILED, "cannot start a child");
        return command_failed(&err);
    }
    signal = wait_for(worker, &watched, &status);
    child_end_all();
    if (signal == 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
    clear_away(argc, argv);
    die(signal);
}
