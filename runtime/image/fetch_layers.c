/*
 * The other half of fetch.c: the layers. Each is hashed, stored, inflated and unpacked while it
 * arrives, several of them at a time (docs/design/pull.md).
 *
 * A worker fetches one layer after the other: it hashes the bytes, writes them to the blob's file
 * and into a pipe, out of which a child of its own in a user namespace unpacks. The pipe is what
 * holds a fast network back. What a source cannot give several of at once is fetched by this
 * process itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/image/fetch.h"
#include "runtime/image/layer_files.h"
#include "runtime/image/layer_part.h"
#include "runtime/image/task.h"

#define PIPE_SIZE   (1 << 20)   /* bytes; what an ordinary user may ask for */
#define HAND_SIZE   (256 << 10) /* bytes that are handed on at once */
#define PROGRESS_MS 100
#define NS_PER_S    (1000 * NS_PER_MS)

/* One layer that lacks something; who works on it fills in when. */
struct job {
    size_t layer;          /* its index */
    uint64_t bytes;        /* that arrived */
    struct timespec start; /* CLOCK_REALTIME */
    int64_t ns;            /* that it took */
    _Atomic bool complete;
    bool reported;
};

/* What the workers and this process share; the memory is theirs together. */
struct shared {
    _Atomic size_t next;       /* job */
    _Atomic uint64_t done;     /* bytes that arrived */
    _Atomic int64_t last_byte; /* clock_now() */
    _Atomic bool stopped;      /* a job has failed: no other needs to go on */
    struct job jobs[IMAGE_LAYERS_MAX];
};

/* The layers of one image for one map. */
struct crew {
    struct fetch *fetch;
    const struct layer_map *map;
    int map_fd;
    struct shared *shared;
    struct job *job;        /* that this process works on */
    size_t count, reported; /* jobs */
    uint64_t bytes;         /* that have to arrive */
    bool alone;             /* this process is the worker, and shows the progress */
};

static void crew_release(struct crew *crew)
{
    close_fd(crew->map_fd);
    if (crew->shared)
        munmap(crew->shared, sizeof(*crew->shared));
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot fetch an image");
}

/* ---- progress ---- */

static void report_job(struct crew *crew, struct job *job)
{
    const struct fetch *fetch = crew->fetch;
    const struct fetch_layer layer = {fetch->manifest.layers[job->layer].blob.digest, job->bytes,
                                      job->start, job->ns};

    job->reported = true;
    crew->reported++;
    if (fetch->progress.layer)
        fetch->progress.layer(fetch->progress.data, &layer, crew->reported, crew->count);
}

static void report(struct crew *crew)
{
    const struct fetch_progress *progress = &crew->fetch->progress;

    if (progress->bytes)
        progress->bytes(progress->data, atomic_load(&crew->shared->done), crew->bytes);
    for (size_t i = 0; i < crew->count; i++) {
        struct job *job = &crew->shared->jobs[i];

        if (!job->reported && atomic_load(&job->complete))
            report_job(crew, job);
    }
}

/* ---- a blob on its way ---- */

struct transfer {
    struct crew *crew;
    struct blob_writer *writer;
    uint64_t arrived;
    char *bytes; /* HAND_SIZE that come in smaller pieces */
    size_t len;
    int pipe;       /* to the child that unpacks, or -1 */
    bool pipe_gone; /* it has ended, and says why */
};

static bool hand_on(struct transfer *transfer, struct err *err)
{
    size_t len = transfer->len;

    transfer->len = 0;
    if (!blob_write(transfer->writer, transfer->bytes, len, err))
        return false;
    if (transfer->pipe >= 0 && !file_write_all(transfer->pipe, transfer->bytes, len)) {
        transfer->pipe_gone = true;
        return err_errno(err, ERR_ENGINE_FAILED, "cannot hand on a layer");
    }
    return true;
}

static bool transfer_write(void *data, const void *bytes, size_t len, struct err *err)
{
    struct transfer *transfer = data;
    struct crew *crew = transfer->crew;

    if (atomic_load(&crew->shared->stopped))
        return err_set(err, ERR_ENGINE_FAILED, "another layer has failed");
    for (size_t done = 0; done < len;) {
        size_t room = HAND_SIZE - transfer->len, part = len - done < room ? len - done : room;

        memcpy(transfer->bytes + transfer->len, (const char *)bytes + done, part);
        transfer->len += part;
        done += part;
        if (transfer->len == HAND_SIZE && !hand_on(transfer, err))
            return false;
    }
    transfer->arrived += len;
    crew->job->bytes += len;
    atomic_fetch_add(&crew->shared->done, len);
    if (crew->alone)
        report(crew);
    return true;
}

/* A source that waits, for a registry that is busy say, need not when another layer has failed. */
static bool is_stopped(void *data)
{
    const struct shared *shared = data;

    return atomic_load(&shared->stopped);
}

static bool transfer_blob(struct transfer *transfer, struct err *err)
{
    struct fetch *fetch = transfer->crew->fetch;
    const struct source_sink sink = {.write = transfer_write, .data = transfer};
    bool ok;

    if (!fetch_source(fetch, err))
        return false;
    if (fetch->source->ops->heed)
        fetch->source->ops->heed(fetch->source, is_stopped, transfer->crew->shared);
    transfer->bytes = malloc(HAND_SIZE);
    if (!transfer->bytes)
        return no_memory(err);
    ok = fetch->source->ops->blob(fetch->source, transfer->writer->blob, &sink, err) &&
         hand_on(transfer, err);
    free(transfer->bytes);
    atomic_store(&transfer->crew->shared->last_byte, clock_now());
    return ok;
}

/* What came and was of no use does not count as progress. */
static void transfer_undo(const struct transfer *transfer)
{
    transfer->crew->job->bytes -= transfer->arrived;
    atomic_fetch_sub(&transfer->crew->shared->done, transfer->arrived);
}

/* ---- unpacking ---- */

struct unpacking {
    struct layer_unpack layer;
    int writer; /* of the pipe, which is this process's alone */
};

static bool run_unpacking(void *argument, struct err *err)
{
    struct unpacking *unpacking = argument;

    unpacking->writer = close_fd(unpacking->writer);
    return layer_unpack_run(&unpacking->layer, err);
}

static bool open_pipe(int *reader, int *writer, struct err *err)
{
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
    *reader = pipes[0];
    *writer = pipes[1];
    /* Smaller is slower, no more. */
    fcntl(*writer, F_SETPIPE_SZ, PIPE_SIZE);
    return true;
}

/* Fetches the blob, while the child unpacks what has arrived. */
static bool unpack_arriving(struct crew *crew, const struct layer_unpack *layer,
                            struct blob_writer *writer, struct err *err)
{
    struct unpacking unpacking = {.layer = *layer};
    struct transfer transfer = {.crew = crew, .writer = writer, .pipe = -1};
    autofd reader = -1, feeder = -1;
    autotask task = TASK_INIT;
    struct err why;
    bool arrived, unpacked = false;

    if (!open_pipe(&reader, &feeder, err))
        return false;
    unpacking.layer.input = reader;
    unpacking.writer = feeder;
    if (!task_start(&task, run_unpacking, &unpacking, err))
        return false;
    reader = close_fd(reader);
    transfer.pipe = feeder;
    arrived = transfer_blob(&transfer, err) && blob_check(writer, err);
    feeder = close_fd(feeder);
    /* A layer that does not arrive is no matter of the child's. */
    if (arrived || transfer.pipe_gone) {
        unpacked = task_wait(&task, &why);
        if (!unpacked)
            *err = why;
    }
    if (arrived && unpacked)
        return true;
    transfer_undo(&transfer);
    return false;
}

static bool unpack_stored(struct crew *crew, struct layer_unpack *unpacking,
                          const struct descriptor *blob, struct err *err)
{
    autofd input = store_open_blob(crew->fetch->store, blob->digest, err);

    unpacking->input = input;
    return input >= 0 && layer_unpack_run(unpacking, err);
}

/* ---- a layer ---- */

static bool has_layer(const struct crew *crew, size_t i)
{
    const char *hex = digest_hex(crew->fetch->image.diff_ids.items[i]);

    return faccessat(crew->map_fd, hex, F_OK, 0) == 0;
}

/* Whether the blob was seen to hold this layer, for this image or for another. */
static bool is_compared(const struct crew *crew, size_t i)
{
    const struct fetch *fetch = crew->fetch;

    return fetch->has_record || store_holds_layer(fetch->store, &fetch->manifest.layers[i],
                                                  fetch->image.diff_ids.items[i]);
}

/*
 * Where the layer is there already, a blob that was not compared with it is read through all the
 * same: one that holds something else than its image says must not be kept under that image's name.
 */
static bool make_layer(struct crew *crew, size_t i, struct err *err)
{
    const struct layer *layer = &crew->fetch->manifest.layers[i];
    const char *diff_id = crew->fetch->image.diff_ids.items[i];
    autolayerpart part = LAYER_PART_INIT;
    struct layer_unpack unpacking = {.map = crew->map,
                                     .compression = layer->compression,
                                     .diff_id = diff_id,
                                     .only_check = has_layer(crew, i)};
    autoblobwriter writer = BLOB_WRITER_INIT;
    bool present, ok;

    if (!blob_begin(crew->fetch->store, &layer->blob, &writer, &present, err))
        return false;
    if (present && unpacking.only_check && is_compared(crew, i))
        return true;
    if (!layer_part_begin(&part, crew->fetch->store, crew->fetch->remover, crew->map, crew->map_fd,
                          digest_hex(diff_id), err))
        return false;
    unpacking.target = part.fd;
    ok = present ? unpack_stored(crew, &unpacking, &layer->blob, err)
                 : unpack_arriving(crew, &unpacking, &writer, err);
    if (ok && unpacking.only_check)
        ok = present || (blob_flush(&writer, err) && blob_publish(&writer, err));
    else
        ok = ok && layer_part_keep(&part, present ? NULL : &writer, err);
    if (ok)
        store_note_layer(crew->fetch->store, layer, diff_id);
    return ok;
}

/*
 * A blob in the store that turns out to be damaged is fetched anew, and one that a mirror gave
 * wrong is taken from elsewhere.
 */
static bool may_be_mended(struct fetch *fetch, const struct descriptor *blob, bool *dropped,
                          const struct err *err)
{
    if (err->code != ERR_IMAGE_CORRUPT || fetch->policy == FETCH_NEVER)
        return false;
    if (!*dropped && store_drop_damaged(fetch->store, blob->digest))
        return *dropped = true;
    return fetch_elsewhere(fetch, err);
}

/* Makes what is not there; whoever held the lock before may have made it. */
static bool complete_layer(struct crew *crew, size_t i, struct err *err)
{
    const struct descriptor *blob = &crew->fetch->manifest.layers[i].blob;
    bool dropped = false;

    while (!make_layer(crew, i, err)) {
        if (!may_be_mended(crew->fetch, blob, &dropped, err))
            return false;
    }
    return true;
}

static bool do_job(struct crew *crew, struct job *job, struct err *err)
{
    const struct fetch *fetch = crew->fetch;
    size_t i = job->layer;
    autofree char *lock_name =
        text_printf("layer-%s-%s", crew->map->key, digest_hex(fetch->image.diff_ids.items[i]));
    autofd lock = -1;
    int64_t start;

    if (!lock_name)
        return no_memory(err);
    lock = store_lock(fetch->store, lock_name, LOCK_EX, err);
    if (lock < 0)
        return false;
    /* Whoever held the lock before has had that time for itself. */
    clock_gettime(CLOCK_REALTIME, &job->start);
    start = clock_now();
    crew->job = job;
    if (!complete_layer(crew, i, err))
        return err_context(err, "layer '%s' of '%s'", fetch->manifest.layers[i].blob.digest,
                           fetch->reference->given);
    job->ns = clock_now() - start;
    atomic_store(&job->complete, true);
    return true;
}

/* ---- the workers ---- */

static bool work(void *argument, struct err *err)
{
    struct crew *crew = argument;
    size_t job;

    while (!atomic_load(&crew->shared->stopped) &&
           (job = atomic_fetch_add(&crew->shared->next, 1)) < crew->count) {
        if (!do_job(crew, &crew->shared->jobs[job], err)) {
            /* The first to fail is the one to say so. */
            if (atomic_exchange(&crew->shared->stopped, true))
                err->code = ERR_NONE;
            return false;
        }
    }
    return true;
}

/* Connections cannot be shared; what is known of tokens, credentials and mirrors can. */
static bool work_apart(void *argument, struct err *err)
{
    struct crew *crew = argument;
    struct source *source = crew->fetch->source;

    if (source && source->ops->copied)
        source->ops->copied(source);
    else
        crew->fetch->source = NULL;
    return work(crew, err);
}

/* Shows the progress until the last worker has closed its end of the pipe. */
static void watch(struct crew *crew, int alive)
{
    struct pollfd poll_fd = {.fd = alive, .events = POLLIN};

    while (poll(&poll_fd, 1, PROGRESS_MS) <= 0)
        report(crew);
    report(crew);
}

static bool run_apart(struct crew *crew, size_t workers, struct err *err)
{
    struct task tasks[FETCH_WORKERS];
    autofd alive = -1, held = -1;
    struct err why;
    size_t started = 0;
    bool ok = open_pipe(&alive, &held, err);

    for (; ok && started < workers; started++) {
        tasks[started] = TASK_INIT;
        ok = task_start(&tasks[started], work_apart, crew, err);
        if (!ok)
            break;
    }
    held = close_fd(held);
    if (!ok && started)
        atomic_store(&crew->shared->stopped, true);
    else if (ok)
        watch(crew, alive);
    for (size_t i = 0; i < started; i++) {
        if (task_wait(&tasks[i], &why))
            continue;
        ok = false;
        if (why.code != ERR_NONE)
            *err = why;
    }
    return ok;
}

/* An archive is read from its start for every file in it, which several would do for nothing. */
static bool may_share(const struct crew *crew)
{
    enum transport transport = crew->fetch->reference->transport;

    return transport == TRANSPORT_REGISTRY || transport == TRANSPORT_OCI;
}

static bool run_jobs(struct crew *crew, struct err *err)
{
    struct fetch_progress *progress = &crew->fetch->progress;
    size_t workers = crew->count < FETCH_WORKERS ? crew->count : FETCH_WORKERS;

    crew->alone = crew->count == 1 || !may_share(crew);
    if (progress->begin)
        progress->begin(progress->data, crew->count, crew->bytes);
    if (!crew->alone)
        return run_apart(crew, workers, err);
    if (!work(crew, err))
        return false;
    report(crew);
    return true;
}

/* ---- what there is to do ---- */

static bool is_repeated(const struct crew *crew, size_t i)
{
    const struct layer *layers = crew->fetch->manifest.layers;
    char **diff_ids = crew->fetch->image.diff_ids.items;

    for (size_t k = 0; k < crew->count; k++) {
        size_t other = crew->shared->jobs[k].layer;

        if (strcmp(layers[i].blob.digest, layers[other].blob.digest) == 0 &&
            strcmp(diff_ids[i], diff_ids[other]) == 0)
            return true;
    }
    return false;
}

/*
 * How much a layer takes once it is unpacked only the layer itself knows; hardly one takes less
 * than its compressed form. So what is refused here could not have ended well, and what is not may
 * still.
 */
static bool check_disk(const struct crew *crew, uint64_t needed, struct err *err)
{
    const struct fetch *fetch = crew->fetch;
    struct statvfs fs;
    uint64_t available;

    if (fstatvfs(fetch->store->fd, &fs) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot ask for the free space of the store");
    available = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (needed <= available)
        return true;
    err_set(err, ERR_STORE_FULL,
            "'%s' needs %" PRIu64 " MB at least, and the image store '%s' has %" PRIu64 " MB left",
            fetch->reference->given, needed / 1000000 + 1, fetch->store->path, available / 1000000);
    return err_hint(err, "make room with 'stepcell image gc', or name another store with --store");
}

static bool share_memory(struct crew *crew, struct err *err)
{
    void *shared = mmap(NULL, sizeof(*crew->shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return no_memory(err);
    crew->shared = shared;
    return true;
}

static bool plan(struct crew *crew, struct err *err)
{
    const struct fetch *fetch = crew->fetch;
    uint64_t needed = 0;

    for (size_t i = 0; i < fetch->image.diff_ids.count; i++) {
        const struct descriptor *blob = &fetch->manifest.layers[i].blob;
        bool layer = has_layer(crew, i), stored = store_has_blob(fetch->store, blob);

        if ((layer && stored && is_compared(crew, i)) || is_repeated(crew, i))
            continue;
        crew->shared->jobs[crew->count++].layer = i;
        needed += layer ? 0 : blob->size;
        if (!stored) {
            crew->bytes += blob->size;
            needed += blob->size;
        }
    }
    return check_disk(crew, needed, err);
}

/* ---- passwd and group ---- */

struct accounts {
    int layers[IMAGE_LAYERS_MAX + 1]; /* with `out` behind the last one for a child */
    size_t count;
    const char *name;
    int out;
};

static void accounts_release(struct accounts *accounts)
{
    for (size_t i = 0; i < accounts->count; i++)
        close_fd(accounts->layers[i]);
    close_fd(accounts->out);
}

/* In the child, since a layer's directories may be closed to anybody but their owner. */
static bool read_account(void *argument, struct err *err)
{
    const struct accounts *accounts = argument;
    autobuf text = BUF_INIT(PASSWD_MAX);

    if (!layer_file_read(accounts->layers, accounts->count, "etc", accounts->name, &text, err))
        return false;
    return file_write_all(accounts->out, text.data, text.len) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot hand on '/etc/%s'", accounts->name);
}

static bool take_account(const struct layer_map *map, struct accounts *accounts, const char *name,
                         char **out, struct err *err)
{
    const struct reach reach = {accounts->layers[0], accounts->layers, accounts->count + 1};
    autobuf text = BUF_INIT(PASSWD_MAX);

    if (accounts->count == 0) {
        *out = strdup("");
        return *out || no_memory(err);
    }
    accounts->name = name;
    close_fd(accounts->out);
    accounts->out = memfd_create("accounts", MFD_CLOEXEC);
    if (accounts->out < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '/etc/%s'", name);
    accounts->layers[accounts->count] = accounts->out;
    if (!map->run(map->data, &reach, read_account, accounts, err))
        return false;
    if (lseek(accounts->out, 0, SEEK_SET) < 0 ||
        !file_read_fd(accounts->out, name, &text, ERR_ENGINE_FAILED, err))
        return false;
    *out = buf_take(&text);
    return *out || no_memory(err);
}

static bool read_accounts(struct fetch *fetch, const struct layer_map *map, int map_fd,
                          struct err *err)
{
    CLEANUP(accounts_release) struct accounts accounts = {.out = -1};

    for (size_t i = 0; i < fetch->image.diff_ids.count; i++) {
        int fd = openat(map_fd, digest_hex(fetch->image.diff_ids.items[i]),
                        O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
            return err_errno(err, ERR_CONFIG_INVALID, "cannot open a layer");
        accounts.layers[accounts.count++] = fd;
    }
    return take_account(map, &accounts, "passwd", &fetch->image.passwd, err) &&
           take_account(map, &accounts, "group", &fetch->image.group, err);
}

/* ---- all of it ---- */

static bool open_map(struct crew *crew, struct err *err)
{
    autofree char *path = text_printf("layers/%s", crew->map->key);
    int store = crew->fetch->store->fd;

    if (!path)
        return no_memory(err);
    if (mkdirat(store, path, 0700) < 0 && errno != EEXIST)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", path);
    crew->map_fd = openat(store, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return crew->map_fd >= 0 || err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", path);
}

/* The pull ends with the last byte that comes, and goes on until then beside the unpacking. */
static void add_phase(struct fetch *fetch, enum fetch_phase phase, int64_t from, int64_t to)
{
    struct fetch_phase_time *time = &fetch->phases[phase];

    if (time->ns == 0) {
        int64_t ago = clock_now() - from;

        clock_gettime(CLOCK_REALTIME, &time->start);
        time->start.tv_sec -= ago / NS_PER_S;
        time->start.tv_nsec -= ago % NS_PER_S;
        if (time->start.tv_nsec < 0) {
            time->start.tv_nsec += NS_PER_S;
            time->start.tv_sec--;
        }
    }
    time->ns += to - from;
}

bool fetch_layers(struct fetch *fetch, const struct layer_map *map, struct err *err)
{
    CLEANUP(crew_release) struct crew crew = {.fetch = fetch, .map = map, .map_fd = -1};
    int64_t start = clock_now(), arrived;
    bool ok = open_map(&crew, err) && share_memory(&crew, err) && plan(&crew, err) &&
              (!crew.count || run_jobs(&crew, err)) &&
              (fetch->image.passwd || read_accounts(fetch, map, crew.map_fd, err));

    arrived = crew.shared ? atomic_load(&crew.shared->last_byte) : 0;
    if (arrived < start)
        arrived = start;
    add_phase(fetch, FETCH_PHASE_PULL, start, arrived);
    add_phase(fetch, FETCH_PHASE_UNPACK, arrived, clock_now());
    return ok;
}
