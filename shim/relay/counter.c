#include "shim/relay/counter.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#define SHARE_MIN 131072 /* bytes: hashing fewer takes hardly longer than waking a thread */
#define SHARE_MAX 524288 /* bytes: a chunk of the relay, and what a mask may have added to it */

/* It counts `bytes` when `begun` is posted, and ends when there are none. */
struct counter_thread {
    pthread_t thread;
    sem_t begun, done;
    bool busy; /* `done` is still to come */
    size_t len;
    char bytes[SHARE_MAX];
};

/* In blocks that a byte can count, which the compiler makes one instruction for many bytes of. */
static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;

    while (len > 0) {
        size_t part = len < UINT8_MAX ? len : UINT8_MAX;
        uint8_t found = 0;

        for (size_t i = 0; i < part; i++)
            found = (uint8_t)(found + (bytes[i] == '\n'));
        lines += found;
        bytes += part;
        len -= part;
    }
    return lines;
}

static void count(struct counter *counter, const char *bytes, size_t len)
{
    digest_update(counter->digest, bytes, len);
    counter->lines += count_lines(bytes, len);
    counter->in_line = bytes[len - 1] != '\n';
}

/* A wait that a signal interrupts goes on. */
static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

static void *run(void *data)
{
    struct counter *counter = data;
    struct counter_thread *thread = counter->thread;

    for (take(&thread->begun); thread->len > 0; take(&thread->begun)) {
        count(counter, thread->bytes, thread->len);
        sem_post(&thread->done);
    }
    return NULL;
}

/* Waits until all that came is counted. */
static void settle(struct counter *counter)
{
    if (!counter->thread || !counter->thread->busy)
        return;
    take(&counter->thread->done);
    counter->thread->busy = false;
}

static void hand_over(struct counter_thread *thread, const char *bytes, size_t len)
{
    memcpy(thread->bytes, bytes, len);
    thread->len = len;
    sem_post(&thread->begun);
}

/* Whether there is one, now or already. */
static bool need_thread(struct counter *counter)
{
    struct counter_thread *thread = counter->thread;

    if (thread)
        return true;
    thread = calloc(1, sizeof(*thread));
    if (!thread)
        return false;
    sem_init(&thread->begun, 0, 0);
    sem_init(&thread->done, 0, 0);
    counter->thread = thread;
    if (pthread_create(&thread->thread, NULL, run, counter) == 0)
        return true;
    counter->thread = NULL;
    free(thread);
    return false;
}

static void end_thread(struct counter *counter)
{
    struct counter_thread *thread = counter->thread;

    if (!thread)
        return;
    settle(counter);
    hand_over(thread, "", 0);
    pthread_join(thread->thread, NULL);
    sem_destroy(&thread->begun);
    sem_destroy(&thread->done);
    free(thread);
    counter->thread = NULL;
}

bool counter_open(struct counter *counter)
{
    *counter = (struct counter){.digest = digest_new()};
    return counter->digest != NULL;
}

void counter_add(struct counter *counter, const char *bytes, size_t len)
{
    if (!counter->digest || len == 0)
        return;
    settle(counter);
    if (len < SHARE_MIN || len > SHARE_MAX || !need_thread(counter)) {
        count(counter, bytes, len);
        return;
    }
    hand_over(counter->thread, bytes, len);
    counter->thread->busy = true;
}

bool counter_finish(struct counter *counter, struct counts *counts)
{
    if (!counter->digest)
        return false;
    settle(counter);
    counts->lines = counter->lines + counter->in_line;
    digest_finish(counter->digest, counts->sha256);
    counter_release(counter);
    return true;
}

void counter_release(struct counter *counter)
{
    end_thread(counter);
    digest_free(counter->digest);
    counter->digest = NULL;
}
