#include "runtime/image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/image/image_config.h"
#include "runtime/image/layer_files.h"
#include "runtime/image/unpack.h"

#define PART_SUFFIX ".part"

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot fetch an image");
}

static void phase_begin(struct fetch *fetch, enum fetch_phase phase)
{
    if (fetch->phases[phase].ns == 0)
        clock_gettime(CLOCK_REALTIME, &fetch->phases[phase].start);
    fetch->phases[phase].ns -= clock_now();
}

static bool phase_end(struct fetch *fetch, enum fetch_phase phase, bool ok)
{
    fetch->phases[phase].ns += clock_now();
    return ok;
}

void fetch_release(struct fetch *fetch)
{
    image_name_release(&fetch->name);
    free(fetch->descriptor.media_type);
    free(fetch->descriptor.digest);
    manifest_release(&fetch->manifest);
    image_release(&fetch->image);
    cleanup_source(&fetch->source);
    close_fd(fetch->lock);
    *fetch = FETCH_INIT;
}

/* ---- the source ---- */

static bool ensure_source(struct fetch *fetch, struct err *err)
{
    if (fetch->source)
        return true;
    if (fetch->policy == FETCH_NEVER) {
        err_set(err, ERR_IMAGE_NOT_FOUND, "the image '%s' is not in the store",
                fetch->reference->given);
        return err_hint(err, "pull it first, or allow it with --pull missing");
    }
    /* Taken before anything is read, so that a change while reading is noticed the next time. */
    if (fetch->reference->transport != TRANSPORT_REGISTRY && !fetch->has_fingerprint) {
        if (!store_fingerprint(fetch->reference, &fetch->fingerprint, err))
            return false;
        fetch->has_fingerprint = true;
    }
    fetch->source = source_open(fetch->reference, fetch->platform, err);
    return fetch->source;
}

/* A blob on its way from the source to the store. */
struct transfer {
    struct fetch *fetch;
    struct blob_writer *writer;
    size_t index, count; /* of layers; 0 for a configuration */
};

static bool transfer_write(void *data, const void *bytes, size_t len, struct err *err)
{
    const struct transfer *transfer = data;
    const struct fetch_progress *progress = &transfer->fetch->progress;

    if (!blob_write(transfer->writer, bytes, len, err))
        return false;
    if (progress->bytes && transfer->index)
        progress->bytes(progress->data, transfer->index, transfer->count, transfer->writer->written,
                        transfer->writer->blob->size);
    return true;
}

/* A connection that breaks is tried again; bytes that are wrong are wrong. */
static bool transfer_blob(struct fetch *fetch, struct transfer *transfer, struct err *err)
{
    const struct source_sink sink = {.write = transfer_write, .data = transfer};

    for (int try = 1;; try++) {
        const struct timespec pause = {.tv_nsec = 250 * NS_PER_MS * try};

        if (fetch->source->ops->blob(fetch->source, transfer->writer->blob, &sink, err))
            return true;
        if (err->code != ERR_REGISTRY_UNREACHABLE || try == FETCH_TRIES)
            return false;
        nanosleep(&pause, NULL);
        if (!blob_restart(transfer->writer, err))
            return false;
    }
}

static bool fetch_blob(struct fetch *fetch, const struct descriptor *blob, size_t index,
                       size_t count, struct err *err)
{
    autoblobwriter writer = BLOB_WRITER_INIT;
    struct transfer transfer = {fetch, &writer, index, count};
    bool present;

    if (!blob_begin(fetch->store, blob, &writer, &present, err))
        return false;
    if (present)
        return true;
    return ensure_source(fetch, err) && transfer_blob(fetch, &transfer, err) &&
           blob_commit(&writer, err);
}

/* ---- resolving ---- */

static bool check_text(const struct fetch *fetch, const struct buf *text, const char *digest,
                       const uint64_t *size, char found[DIGEST_TEXT_MAX], struct err *err)
{
    digest_of(text->data, text->len, found);
    if ((!digest || strcmp(found, digest) == 0) && (!size || text->len == *size))
        return true;
    return err_set(err, ERR_IMAGE_CORRUPT,
                   "'%s' is not what it should be: the source answers '%s' for '%s'",
                   fetch->reference->given, found, digest ? digest : "");
}

/* Loads the configuration and what the image is, once its manifest is known. */
static bool load_config(struct fetch *fetch, struct err *err)
{
    autobuf text = BUF_INIT(CONFIG_MAX);
    autoimage image = IMAGE_INIT;
    const struct descriptor *config = &fetch->manifest.config;

    if (!fetch_blob(fetch, config, 0, 0, err) ||
        !store_read_blob(fetch->store, config->digest, &text, err) ||
        !image_config_parse(text.data, text.len, fetch->reference->given,
                            fetch->manifest.layer_count, &image, err))
        return false;
    image.manifest_digest = strdup(fetch->name.manifest_digest);
    image.config_digest = strdup(config->digest);
    if (!image.manifest_digest || !image.config_digest)
        return no_memory(err);
    fetch->image = image;
    image = IMAGE_INIT;
    return true;
}

/* An index may say one thing of an image and its configuration another: what runs is what counts.
 */
static bool check_platform(const struct fetch *fetch, struct err *err)
{
    struct platform own = fetch->image.platform;
    char wanted[PLATFORM_TEXT_MAX], found[PLATFORM_TEXT_MAX];

    if (platform_rank(fetch->platform, &own) >= 0)
        return true;
    /* Builders often leave the variant out of the configuration; the index decided on it. */
    if (strcmp(own.os, fetch->platform->os) == 0 && strcmp(own.arch, fetch->platform->arch) == 0)
        return true;
    platform_text(fetch->platform, wanted);
    platform_text(&own, found);
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' has no image for %s: it is one for %s",
            fetch->reference->given, wanted, found);
    return err_hint(err, "choose an image that is built for %s", wanted);
}

static bool set_descriptor(struct fetch *fetch, const char *digest, size_t size,
                           const char *media_type, struct err *err)
{
    fetch->descriptor = (struct descriptor){
        .media_type = strdup(media_type),
        .digest = strdup(digest),
        .size = size,
    };
    return (fetch->descriptor.media_type && fetch->descriptor.digest) || no_memory(err);
}

/* Looks for the manifest in the store alone; what is damaged there counts as missing. */
static bool resolve_in_store(struct fetch *fetch, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    char digest[DIGEST_TEXT_MAX];
    struct err ignored;

    if (!store_lookup(fetch->store, fetch->reference, fetch->platform, &fetch->has_name,
                      &fetch->name, err))
        return false;
    if (fetch->has_name &&
        store_read_blob(fetch->store, fetch->name.manifest_digest, &text, &ignored) &&
        check_text(fetch, &text, fetch->name.manifest_digest, NULL, digest, &ignored) &&
        manifest_parse(text.data, text.len, NULL, fetch->reference->given, &fetch->manifest,
                       &ignored) &&
        !fetch->manifest.is_index)
        return true;
    fetch->has_name = false;
    image_name_release(&fetch->name);
    manifest_release(&fetch->manifest);
    return true;
}

/* Walks from the top to the manifest of the platform; `text` and `media_type` become the
 * manifest's. */
static bool descend(struct fetch *fetch, struct source_top *top, char digest[DIGEST_TEXT_MAX],
                    struct err *err)
{
    const char *what = fetch->reference->given;

    for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
        automanifest manifest = {0};
        const struct index_entry *entry;

        if (!manifest_parse(top->text.data, top->text.len, top->media_type, what, &manifest, err))
            return false;
        if (!manifest.is_index) {
            fetch->manifest = manifest;
            manifest = (struct manifest){0};
            return true;
        }
        entry = manifest_choose(&manifest, fetch->platform, what, err);
        if (!entry)
            return false;
        buf_release(&top->text);
        free(top->media_type);
        top->media_type = strdup(entry->manifest.media_type);
        if (!top->media_type)
            return no_memory(err);
        if (!fetch->source->ops->manifest(fetch->source, &entry->manifest, &top->text, err) ||
            !check_text(fetch, &top->text, entry->manifest.digest, &entry->manifest.size, digest,
                        err))
            return false;
    }
    return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d", what,
                   INDEX_DEPTH_MAX);
}

static bool resolve_at_source(struct fetch *fetch, struct err *err)
{
    autotop top = SOURCE_TOP_INIT;
    char top_digest[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];

    if (!ensure_source(fetch, err) || !fetch->source->ops->top(fetch->source, &top, err) ||
        !check_text(fetch, &top.text, top.digest, NULL, top_digest, err))
        return false;
    memcpy(digest, top_digest, sizeof(digest));
    if (!descend(fetch, &top, digest, err) ||
        !store_put_blob(fetch->store, digest, top.text.data, top.text.len, err))
        return false;
    fetch->name = (struct image_name){
        .reference = strdup(fetch->reference->name),
        .digest = strdup(top_digest),
        .manifest_digest = strdup(digest),
    };
    if (!fetch->name.reference || !fetch->name.digest || !fetch->name.manifest_digest)
        return no_memory(err);
    return set_descriptor(fetch, digest, top.text.len,
                          top.media_type ? top.media_type : MEDIA_OCI_MANIFEST, err);
}

/* A record knows passwd and group already, and its lock keeps the image from being removed. */
static bool load_record(struct fetch *fetch, struct err *err)
{
    autoimage image = IMAGE_INIT;

    if (!store_load_image(fetch->store, fetch->name.manifest_digest, &fetch->has_record, &image,
                          err))
        return false;
    if (fetch->has_record) {
        image_release(&fetch->image);
        fetch->image = image;
        image = IMAGE_INIT;
    }
    return true;
}

static bool resolve(struct fetch *fetch, struct err *err)
{
    fetch->lock = store_lock(fetch->store, "store", LOCK_SH, err);
    if (fetch->lock < 0 || !store_sweep(fetch->store, fetch->remover, err))
        return false;
    if (fetch->policy != FETCH_ALWAYS && !resolve_in_store(fetch, err))
        return false;
    if (!fetch->has_name && !resolve_at_source(fetch, err))
        return false;
    return load_config(fetch, err) && check_platform(fetch, err) && load_record(fetch, err);
}

bool fetch_resolve(struct fetch *fetch, struct err *err)
{
    phase_begin(fetch, FETCH_PHASE_RESOLVE);
    return phase_end(fetch, FETCH_PHASE_RESOLVE, resolve(fetch, err));
}

/* ---- blobs ---- */

static bool pull(struct fetch *fetch, struct err *err)
{
    const struct fetch_progress *progress = &fetch->progress;
    const struct manifest *manifest = &fetch->manifest;
    uint64_t bytes = 0;
    size_t missing = 0, index = 0;

    for (size_t i = 0; i < manifest->layer_count; i++) {
        if (store_has_blob(fetch->store, &manifest->layers[i].blob))
            continue;
        missing++;
        bytes += manifest->layers[i].blob.size;
    }
    if (missing && progress->begin)
        progress->begin(progress->data, missing, bytes);
    for (size_t i = 0; i < manifest->layer_count; i++) {
        const struct descriptor *blob = &manifest->layers[i].blob;

        if (!store_has_blob(fetch->store, blob) && !fetch_blob(fetch, blob, ++index, missing, err))
            return false;
    }
    return true;
}

bool fetch_blobs(struct fetch *fetch, struct err *err)
{
    phase_begin(fetch, FETCH_PHASE_PULL);
    return phase_end(fetch, FETCH_PHASE_PULL, pull(fetch, err));
}

/* ---- layers ---- */

/* What the child does, in the ids of the map. */
struct task {
    int blob, target;
    enum compression compression;
    const char *diff_id;
    bool may_chown;
};

static bool run_task(void *argument, struct err *err)
{
    const struct task *task = argument;

    /* A caller without privilege could not give the directory to ids that are not its own. */
    if (task->may_chown && fchown(task->target, 0, 0) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot own the directory of a layer");
    return unpack_layer(task->blob, task->compression, task->diff_id, task->target, &UNPACK_LIMITS,
                        task->may_chown, err);
}

static bool unpack_to(struct fetch *fetch, const struct layer_map *map, size_t i, int target,
                      struct err *err)
{
    const struct layer *layer = &fetch->manifest.layers[i];
    autofd blob = store_open_blob(fetch->store, layer->blob.digest, err);
    struct task task = {
        .blob = blob,
        .target = target,
        .compression = layer->compression,
        .diff_id = fetch->image.diff_ids.items[i],
        .may_chown = map->may_chown,
    };
    const struct reach reach = {.root = target, .descriptors = &task.blob, .count = 1};

    if (blob < 0 || !map->prepare(map->data, target, err))
        return false;
    return map->run(map->data, &reach, run_task, &task, err) ||
           err_context(err, "layer '%s' of '%s'", layer->blob.digest, fetch->reference->given);
}

/*
 * Unpacks into HEX.part and renames it. Beside the name that it gets: a directory that belongs to
 * another id can be renamed, but not moved. The file system is flushed once in between: flushing
 * file by file takes many times as long, and a layer that a loss of power has torn would be
 * trusted.
 */
static bool make_layer(struct fetch *fetch, const struct layer_map *map, size_t i, int map_fd,
                       struct err *err)
{
    const char *hex = digest_hex(fetch->image.diff_ids.items[i]);
    autofree char *part = text_printf("%s" PART_SUFFIX, hex);
    const struct tree_remover *remover = fetch->remover;
    autofd target = -1;
    struct err ignored;

    if (!part)
        return no_memory(err);
    if (!remover->remove(remover->data, map_fd, part, err))
        return false;
    if (mkdirat(map_fd, part, 0755) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create the layer '%s'", hex);
    target = openat(map_fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        err_errno(err, ERR_CONFIG_INVALID, "cannot open the layer '%s'", hex);
    else if (!unpack_to(fetch, map, i, target, err))
        target = close_fd(target);
    else if (syncfs(target) == 0 && renameat(map_fd, part, map_fd, hex) == 0)
        return true;
    else
        err_errno(err, ERR_CONFIG_INVALID, "cannot keep the layer '%s'", hex);
    remover->remove(remover->data, map_fd, part, &ignored);
    return false;
}

static bool ensure_layer(struct fetch *fetch, const struct layer_map *map, size_t i, int map_fd,
                         struct err *err)
{
    const char *hex = digest_hex(fetch->image.diff_ids.items[i]);
    const struct fetch_progress *progress = &fetch->progress;
    autofree char *lock_name = NULL;
    autofd lock = -1;

    if (faccessat(map_fd, hex, F_OK, 0) == 0)
        return true;
    lock_name = text_printf("layer-%s-%s", map->key, hex);
    if (!lock_name)
        return no_memory(err);
    lock = store_lock(fetch->store, lock_name, LOCK_EX, err);
    if (lock < 0)
        return false;
    /* Whoever held the lock before may have made it. */
    if (faccessat(map_fd, hex, F_OK, 0) == 0)
        return true;
    if (!fetch_blob(fetch, &fetch->manifest.layers[i].blob, i + 1, fetch->manifest.layer_count,
                    err))
        return false;
    if (progress->unpack)
        progress->unpack(progress->data, i + 1, fetch->manifest.layer_count);
    return make_layer(fetch, map, i, map_fd, err);
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

static bool unpack(struct fetch *fetch, const struct layer_map *map, struct err *err)
{
    autofree char *path = text_printf("layers/%s", map->key);
    autofd map_fd = -1;

    if (!path)
        return no_memory(err);
    if (mkdirat(fetch->store->fd, path, 0700) < 0 && errno != EEXIST)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", path);
    map_fd = openat(fetch->store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (map_fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", path);
    for (size_t i = 0; i < fetch->image.diff_ids.count; i++) {
        if (!ensure_layer(fetch, map, i, map_fd, err))
            return false;
    }
    return fetch->image.passwd || read_accounts(fetch, map, map_fd, err);
}

bool fetch_layers(struct fetch *fetch, const struct layer_map *map, struct err *err)
{
    phase_begin(fetch, FETCH_PHASE_UNPACK);
    return phase_end(fetch, FETCH_PHASE_UNPACK, unpack(fetch, map, err));
}

/* ---- the record ---- */

bool fetch_finish(struct fetch *fetch, struct err *err)
{
    const struct store_fingerprint *fingerprint =
        fetch->has_fingerprint ? &fetch->fingerprint : NULL;

    if (fetch->progress.end)
        fetch->progress.end(fetch->progress.data);
    if (!fetch->has_record && !store_save_image(fetch->store, &fetch->image, err))
        return false;
    if (fetch->has_name)
        return true;
    return store_save_name(fetch->store, fetch->reference, fetch->platform, &fetch->name,
                           fingerprint, err) &&
           store_save_index(fetch->store, fetch->reference->name, &fetch->descriptor,
                            &fetch->image.platform, err);
}
