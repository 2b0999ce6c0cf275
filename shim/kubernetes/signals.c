#include "shim/kubernetes/signals.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "runtime/kubernetes/pod_channel.h"
#include "runtime/kubernetes/pod_exec.h"
#include "runtime/kubernetes/pod_spec.h"

#define NUMBER_MAX 16    /* bytes of its text */
#define PASS_MS    30000 /* that it may take */

static bool ignore_output(void *data, enum pod_stream stream, const void *bytes, size_t len,
                          struct err *err)
{
    (void)data, (void)stream, (void)bytes, (void)len, (void)err;
    return true;
}

static bool pass(const struct signals *signals, int number, struct err *err)
{
    int64_t deadline = clock_now() + PASS_MS * NS_PER_MS;
    char text[NUMBER_MAX];
    const char *const command[] = {signals->program, "signal", text, NULL};
    const struct pod_exec_call call = {
        .pod = signals->name,
        .container = POD_CONTAINER,
        .command = command,
        .take = ignore_output,
        .stop = {.stopped = http_is_late, .data = &deadline},
    };
    autopodexec *exec = NULL;
    int status;

    snprintf(text, sizeof(text), "%d", number);
    return pod_exec_open(signals->config, &call, &exec, err) && pod_exec_wait(exec, &status, err) &&
           (status == 0 ||
            err_set(err, ERR_ENGINE_FAILED, "the first process of the Pod does not take it"));
}

static void tell_loss(int number, const struct err *why)
{
    const char *name = sigabbrev_np(number);
    struct pod_message message = {.kind = POD_NOTE};

    err_set(&message.err, why->code, "SIG%s did not reach the step: %s", name ? name : "",
            why->message);
    (void)!send(POD_CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL);
}

/* The next of them, 0 when there is none. */
static int take_next(struct signals *signals)
{
    int number = 0;

    pthread_mutex_lock(&signals->lock);
    signals->busy = signals->waiting != 0;
    if (signals->busy) {
        number = __builtin_ctzll(signals->waiting) + 1;
        signals->waiting &= signals->waiting - 1;
    }
    pthread_mutex_unlock(&signals->lock);
    return number;
}

static void *pass_all(void *data)
{
    struct signals *signals = data;
    struct err err;
    int number;

    while ((number = take_next(signals))) {
        if (!pass(signals, number, &err))
            tell_loss(number, &err);
    }
    return NULL;
}

void signals_add(struct signals *signals, int number)
{
    if (number < 1 || number >= NSIG)
        return;
    pthread_mutex_lock(&signals->lock);
    signals->waiting |= UINT64_C(1) << (number - 1);
    pthread_mutex_unlock(&signals->lock);
}

void signals_pass(struct signals *signals)
{
    pthread_t thread;

    pthread_mutex_lock(&signals->lock);
    if (signals->waiting && !signals->busy &&
        pthread_create(&thread, NULL, pass_all, signals) == 0) {
        pthread_detach(thread);
        signals->busy = true;
    }
    pthread_mutex_unlock(&signals->lock);
}
