#include "runtime/kubernetes/pod/changes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/kubernetes/pod/give.h"
#include "runtime/kubernetes/pod/pod.h"
#include "runtime/kubernetes/pod/walk.h"
#include "runtime/kubernetes/return_stream.h"
#include "runtime/native/handshake.h"
#include "runtime/native/init/command.h"

#define HOLD_MS   600000  /* that changes are held for somebody who takes them */
#define TICK_NS   1000000 /* between two looks at the clock of the files */
#define TICKS_MAX 1200

/* ---- what is there ---- */

/* FNV-1a: an accident is what it has to keep away, since the step could say what it likes. */
static uint64_t hash(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t value = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < len; i++)
        value = (value ^ at[i]) * UINT64_C(1099511628211);
    return value;
}

static struct mark mark_of(const char *path, const struct stat *st)
{
    const uint64_t state[] = {st->st_ino, (uint64_t)st->st_ctim.tv_sec,
                              (uint64_t)st->st_ctim.tv_nsec, st->st_mode};

    return (struct mark){hash(path, strlen(path)), hash(state, sizeof(state))};
}

/* What is being remembered, and the last change of all. */
struct looking {
    struct changes *changes;
    struct timespec last;
    bool has_fractions;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static bool remember(void *data, const struct walk *walk, int dir, const char *name,
                     const struct stat *st)
{
    struct looking *looking = data;
    struct changes *changes = looking->changes;

    (void)dir, (void)name;
    if (changes->count == changes->room) {
        size_t room = changes->room ? 2 * changes->room : 1024;
        struct mark *marks = realloc(changes->marks, room * sizeof(*marks));

        if (!marks)
            return false;
        changes->marks = marks;
        changes->room = room;
    }
    changes->marks[changes->count++] = mark_of(walk->path, st);
    if (is_later(&st->st_ctim, &looking->last))
        looking->last = st->st_ctim;
    looking->has_fractions |= st->st_ctim.tv_nsec != 0;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct mark *one = a, *other = b;

    return one->path != other->path ? (one->path < other->path ? -1 : 1) : 0;
}

bool changes_has(const struct changes *changes, const char *path, const struct stat *st)
{
    struct mark now = mark_of(path, st);
    const struct mark *then =
        changes->count ? bsearch(&now, changes->marks, changes->count, sizeof(now), compare) : NULL;

    return then && then->state == now.state;
}

/*
 * Files get the time of a clock that stands still between its ticks: a change in the tick of the
 * one before would not be seen.
 */
static void await_tick(const struct looking *looking)
{
    const struct timespec pause = {.tv_nsec = TICK_NS};
    struct timespec last = looking->last, now;

    if (!looking->has_fractions)
        last.tv_nsec = 999999999;
    for (int i = 0; i < TICKS_MAX; i++) {
        if (clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0 || is_later(&now, &last))
            return;
        nanosleep(&pause, NULL);
    }
}

bool changes_begin(struct changes *changes, struct err *err)
{
    struct looking looking = {.changes = changes};
    struct walk walk = {.hidden = changes->hidden, .each = remember, .data = &looking};

    if (!walk_directory(&walk, changes->directory))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot look at '%s/%s', which was shipped",
                         changes->directory, walk.path);
    if (changes->count > 1)
        qsort(changes->marks, changes->count, sizeof(*changes->marks), compare);
    await_tick(&looking);
    return true;
}

/* ---- who asks for them ---- */

static struct sockaddr_un address(void)
{
    return (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = POD_DIR "/" POD_RETURN};
}

/* In a process of its own: a reader that is lost may take nothing for ever. */
_Noreturn static void serve(const struct changes *changes, int from, volatile bool *taken)
{
    int streams[HANDSHAKE_FDS_MAX];
    struct message message;
    char answer = 0;

    /* stdin and stdout of the other side, and what it wants. */
    if (handshake_receive_several(from, &message, sizeof(message), 0, streams) !=
            (ssize_t)sizeof(message) ||
        message.kind != MESSAGE_STREAMS || !give_changes(changes, message.value, streams[1]) ||
        read(streams[0], &answer, 1) != 1 || answer != RETURN_TAKEN)
        _exit(INIT_FAILURE);
    *taken = true;
    _exit(0);
}

/* The step may have left something in its place: a directory goes aside, with whatever is in it. */
static bool clear_place(const char *path)
{
    char aside[] = POD_DIR "/aside-XXXXXX";

    return unlink(path) == 0 || errno == ENOENT || (mkdtemp(aside) && rename(path, aside) == 0);
}

static int listen_there(void)
{
    const struct sockaddr_un there = address();
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || !clear_place(there.sun_path) ||
        bind(fd, (const struct sockaddr *)&there, sizeof(there)) < 0 || listen(fd, 8) < 0)
        return close_fd(fd);
    return fd;
}

static void reap(int signals)
{
    struct signalfd_siginfo info;

    /* Whoever wants this to end kills it, when the time for it is over. */
    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

void changes_give(const struct changes *changes, int signals)
{
    autofd there = listen_there();
    volatile bool *taken =
        mmap(NULL, sizeof(*taken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct pollfd polled[] = {{there, POLLIN, 0}, {signals, POLLIN, 0}};

    if (there < 0 || taken == MAP_FAILED)
        return;
    while (!*taken && poll(polled, ARRAY_SIZE(polled), HOLD_MS) > 0) {
        if (polled[1].revents)
            reap(signals);
        if (polled[0].revents) {
            autofd from = accept4(there, NULL, NULL, SOCK_CLOEXEC);

            if (from >= 0 && fork() == 0)
                serve(changes, from, taken);
        }
    }
}

/* Its streams are open as long as it is there: until the other side is done with them. */
int changes_collect(bool all)
{
    const struct sockaddr_un there = address();
    const int streams[] = {STDIN_FILENO, STDOUT_FILENO};
    autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    char end;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&there, sizeof(there)) < 0 ||
        !handshake_send_several(fd, MESSAGE_STREAMS, all, streams, ARRAY_SIZE(streams)))
        return INIT_FAILURE;
    (void)!read(fd, &end, 1);
    return 0;
}
