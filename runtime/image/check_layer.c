#include "runtime/image/check_layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/file.h"
#include "runtime/image/check_scan.h"
#include "runtime/image/task.h"

#define PIPE_SIZE (1 << 20) /* bytes; what an ordinary user may ask for */

/* What the child that looks into a layer works on. */
struct scanning {
    const struct layer_map *map;
    const struct layer *layer;
    const char *diff_id;
    int root, input, records;
    int writer; /* of the pipe, which is the parent's alone */
};

static bool scan_here(void *argument, struct err *err)
{
    const struct scanning *scanning = argument;

    return check_scan_layer(scanning->input, scanning->layer->compression, scanning->diff_id,
                            scanning->records, &UNPACK_LIMITS, err);
}

static bool run_scanning(void *argument, struct err *err)
{
    struct scanning *scanning = argument;
    const int descriptors[] = {scanning->input, scanning->records};
    const struct reach reach = {scanning->root, descriptors, ARRAY_SIZE(descriptors)};

    scanning->writer = close_fd(scanning->writer);
    return scanning->map->run(scanning->map->data, &reach, scan_here, scanning, err);
}

/* A directory that is the root of the child, has nothing in it and is gone already. */
static int open_nowhere(struct err *err)
{
    const char *base = getenv("TMPDIR");
    autofree char *path = text_printf("%s/stepcell-XXXXXX", base && *base == '/' ? base : "/tmp");
    autofd fd = -1;

    if (path && mkdtemp(path)) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* The child is somebody else. */
        if (fd >= 0 && fchmod(fd, 0555) < 0)
            fd = close_fd(fd);
        rmdir(path);
    }
    if (fd < 0)
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a directory for a child");
    return TAKE_FD(fd);
}

/* The blob on its way into the pipe. */
struct feed {
    const struct descriptor *blob;
    struct digest *digest;
    uint64_t arrived;
    int pipe;
    bool pipe_gone; /* the child has ended, and says why */
};

static bool wrong_size(const struct feed *feed, struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has not %" PRIu64 " bytes", feed->blob->digest,
                   feed->blob->size);
}

static bool feed_write(void *data, const void *bytes, size_t len, struct err *err)
{
    struct feed *feed = data;

    if (len > feed->blob->size - feed->arrived)
        return wrong_size(feed, err);
    feed->arrived += len;
    digest_update(feed->digest, bytes, len);
    if (file_write_all(feed->pipe, bytes, len))
        return true;
    feed->pipe_gone = true;
    return err_errno(err, ERR_ENGINE_FAILED, "cannot hand on a layer");
}

static bool feed_blob(struct source *source, struct feed *feed, struct err *err)
{
    const struct source_sink sink = {.write = feed_write, .data = feed};
    char found[DIGEST_TEXT_MAX];

    if (!source->ops->blob(source, feed->blob, &sink, err))
        return false;
    if (feed->arrived != feed->blob->size)
        return wrong_size(feed, err);
    digest_finish(feed->digest, found);
    return strcmp(found, feed->blob->digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "the content of '%s' is '%s'", feed->blob->digest,
                   found);
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

/* The child has its say when the layer arrived, or when it is why it did not. */
static bool scan_arriving(struct source *source, struct scanning *scanning, struct err *err)
{
    struct feed feed = {.blob = &scanning->layer->blob, .pipe = -1};
    autofd reader = -1, writer = -1;
    autodigest *digest = digest_new();
    autotask task = TASK_INIT;
    struct err why;
    bool arrived, scanned = false;

    if (!digest)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read a layer");
    if (!open_pipe(&reader, &writer, err))
        return false;
    scanning->input = reader;
    scanning->writer = writer;
    if (!task_start(&task, run_scanning, scanning, err))
        return false;
    reader = close_fd(reader);
    feed.pipe = writer;
    feed.digest = digest;
    arrived = feed_blob(source, &feed, err);
    writer = close_fd(writer);
    if (arrived || feed.pipe_gone) {
        scanned = task_wait(&task, &why);
        if (!scanned)
            *err = why;
    }
    return arrived && scanned;
}

bool check_elsewhere(struct source *source, const struct err *err)
{
    return err->code == ERR_IMAGE_CORRUPT && source->ops->elsewhere &&
           source->ops->elsewhere(source);
}

bool check_layer_read(struct source *source, const struct layer_map *map, const struct layer *layer,
                      const char *diff_id, struct check_tree *tree, struct err *err)
{
    autofd root = open_nowhere(err);

    if (root < 0)
        return false;
    for (;;) {
        autofd records = check_records_new(err);
        struct scanning scanning = {
            .map = map, .layer = layer, .diff_id = diff_id, .root = root, .records = records};

        if (records < 0)
            return false;
        if (scan_arriving(source, &scanning, err))
            return check_records_read(records, tree, err);
        if (!check_elsewhere(source, err))
            return false;
    }
}
