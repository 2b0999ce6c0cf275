#include "runtime/image/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"

struct block {
    bool ok;
    size_t len;
    unsigned char bytes[AHEAD_BLOCK];
};

/*
 * Blocks go round: the thread fills those that `empty` counts, the caller takes what `full` counts.
 */
struct ahead {
    ahead_produce *produce;
    void *data;
    bool threaded, holding;
    int stop;
    _Atomic bool stopped;
    pthread_t thread;
    sem_t empty, full;
    struct err err; /* of the block that is not ok */
    size_t next;    /* block of the caller */
    bool ended;
    struct block blocks[AHEAD_BLOCKS];
};

/* True unless it was the last. */
static bool fill(struct ahead *ahead, struct block *block)
{
    block->len = 0;
    block->ok =
        ahead->produce(ahead->data, block->bytes, sizeof(block->bytes), &block->len, &ahead->err);
    return block->ok && block->len;
}

/* A wait that a signal interrupts goes on. */
static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

static void *run(void *data)
{
    struct ahead *ahead = data;
    bool more = true;

    for (size_t i = 0; more; i = (i + 1) % AHEAD_BLOCKS) {
        take(&ahead->empty);
        more = !atomic_load(&ahead->stopped) && fill(ahead, &ahead->blocks[i]);
        sem_post(&ahead->full);
    }
    return NULL;
}

struct ahead *ahead_new(ahead_produce *produce, void *data, int stop, struct err *err)
{
    struct ahead *ahead = calloc(1, sizeof(*ahead));

    if (!ahead) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot start to unpack a layer");
        return NULL;
    }
    ahead->produce = produce;
    ahead->data = data;
    ahead->stop = stop;
    sem_init(&ahead->empty, 0, AHEAD_BLOCKS);
    sem_init(&ahead->full, 0, 0);
    ahead->threaded = pthread_create(&ahead->thread, NULL, run, ahead) == 0;
    return ahead;
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead)
        return;
    if (ahead->threaded) {
        atomic_store(&ahead->stopped, true);
        eventfd_write(ahead->stop, 1);
        sem_post(&ahead->empty);
        pthread_join(ahead->thread, NULL);
    }
    sem_destroy(&ahead->empty);
    sem_destroy(&ahead->full);
    free(ahead);
}

static struct block *next_block(struct ahead *ahead)
{
    struct block *block;

    if (!ahead->threaded) {
        fill(ahead, &ahead->blocks[0]);
        return &ahead->blocks[0];
    }
    if (ahead->holding)
        sem_post(&ahead->empty);
    take(&ahead->full);
    ahead->holding = true;
    block = &ahead->blocks[ahead->next];
    ahead->next = (ahead->next + 1) % AHEAD_BLOCKS;
    return block;
}

bool ahead_next(struct ahead *ahead, const void **bytes, size_t *len, struct err *err)
{
    struct block *block;

    *len = 0;
    if (ahead->ended)
        return true;
    block = next_block(ahead);
    ahead->ended = !block->ok || !block->len;
    if (!block->ok) {
        *err = ahead->err;
        return false;
    }
    *bytes = block->bytes;
    *len = block->len;
    return true;
}
