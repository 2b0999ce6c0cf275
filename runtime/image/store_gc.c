#include "runtime/image/store_gc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "runtime/image/store_needs.h"

#define ENTRY_PATH_MAX 512
#define SIZE_TEXT_MAX  64

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot look through the image store");
}

/* ---- sizes and times ---- */

static uint64_t blob_bytes(const struct store *store, const char *hex)
{
    char path[ENTRY_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "blobs/sha256/%s", hex);
    return fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (uint64_t)st.st_size;
}

/* A size as text: twice, inverted the second time, so that no bit of it that rots is believed. */
static bool size_parse(const char *text, uint64_t *bytes)
{
    uint64_t inverted;

    return sscanf(text, "%" SCNu64 " %" SCNx64, bytes, &inverted) == 2 && *bytes == ~inverted;
}

/*
 * What was measured before stands in the file of the lock, which goes with the layer. Of one that
 * cannot be measured, of ids that are not the caller's any more say, what could be seen counts.
 */
static uint64_t layer_bytes(const struct store *store, const struct tree_remover *remover,
                            const char *map, const char *hex)
{
    char path[ENTRY_PATH_MAX], text[SIZE_TEXT_MAX + 1] = "";
    autofd file = -1, map_fd = -1;
    uint64_t bytes = 0;
    struct err ignored;

    snprintf(path, sizeof(path), "layers/%s", map);
    map_fd = openat(store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (map_fd < 0 || faccessat(map_fd, hex, F_OK, 0) < 0)
        return 0;
    snprintf(path, sizeof(path), "locks/layer-%s-%s", map, hex);
    file = openat(store->fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file >= 0 && read(file, text, SIZE_TEXT_MAX) > 0 && size_parse(text, &bytes))
        return bytes;
    if (!remover->measure(remover->data, map_fd, hex, &bytes, &ignored))
        return bytes;
    snprintf(text, sizeof(text), "%" PRIu64 " %016" PRIx64 "\n", bytes, ~bytes);
    if (file >= 0)
        (void)!pwrite(file, text, strlen(text), 0);
    return bytes;
}

static time_t last_use(const struct store *store, const char *digest)
{
    char path[ENTRY_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "images/%s/image.json", digest_hex(digest));
    return fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mtim.tv_sec;
}

/* Adds up what is needed; of layers, for every map. */
struct sum {
    const struct store *store;
    const struct tree_remover *remover;
    const struct needs *needs;
    uint64_t bytes;
};

static bool add_map(void *data, const char *dir, const char *map, struct err *err)
{
    struct sum *sum = data;

    (void)dir, (void)err;
    for (size_t i = 0; i < sum->needs->layers.count; i++)
        sum->bytes +=
            layer_bytes(sum->store, sum->remover, map, digest_hex(sum->needs->layers.items[i]));
    return true;
}

static bool add_up(const struct store *store, const struct tree_remover *remover,
                   const struct needs *needs, uint64_t *bytes, struct err *err)
{
    struct sum sum = {store, remover, needs, 0};

    for (size_t i = 0; i < needs->blobs.count; i++)
        sum.bytes += blob_bytes(store, digest_hex(needs->blobs.items[i]));
    if (!store_each(store, "layers", add_map, &sum, err))
        return false;
    *bytes = sum.bytes;
    return true;
}

bool store_usage(const struct store *store, const struct tree_remover *remover, const char *digest,
                 struct image_usage *usage, struct err *err)
{
    autoneeds needs = {0};
    bool known;

    usage->last_used = last_use(store, digest);
    return store_add_needs(store, digest, &known, &needs, err) &&
           add_up(store, remover, &needs, &usage->bytes, err);
}

/* ---- what goes ---- */

struct gc {
    const struct store *store;
    const struct tree_remover *remover;
    const struct gc_options *options;
    struct gc_result *result;
    struct stored_names names;
    bool *gone, *busy; /* by index of names */
    struct needs kept;
    struct needs running; /* of images that cells run */
    bool unsure;          /* nobody knows what an image needs that has a record */
    uint64_t orphaned;
    const char *map;           /* that is looked at */
    const struct needs *needs; /* of its layers */
    int map_fd;
};

static void gc_release(struct gc *gc)
{
    stored_names_release(&gc->names);
    needs_release(&gc->kept);
    needs_release(&gc->running);
    free(gc->gone);
    free(gc->busy);
}

static bool same_reference(const struct gc *gc, size_t a, size_t b)
{
    return strcmp(gc->names.items[a].reference, gc->names.items[b].reference) == 0;
}

/* Whether an image is named by something else that stays. */
static bool is_named(const struct gc *gc, size_t except, const char *digest)
{
    for (size_t i = 0; i < gc->names.count; i++) {
        if (!gc->gone[i] && !same_reference(gc, i, except) &&
            strcmp(gc->names.items[i].manifest_digest, digest) == 0)
            return true;
    }
    return false;
}

/* Takes the names of one reference away, unless a cell runs one of its images. */
static bool drop_reference(struct gc *gc, size_t first, struct err *err)
{
    const struct stored_name *names = gc->names.items;
    bool busy = false;

    for (size_t i = 0; i < gc->names.count && !busy; i++) {
        autofd held = -1;

        if (same_reference(gc, i, first) && !is_named(gc, first, names[i].manifest_digest))
            held = store_claim_image(gc->store, names[i].manifest_digest, &busy);
    }
    for (size_t i = 0; i < gc->names.count; i++) {
        if (same_reference(gc, i, first))
            *(busy ? &gc->busy[i] : &gc->gone[i]) = true;
    }
    gc->result->busy += busy;
    if (busy)
        return true;
    if (!gc->options->dry_run && unlinkat(gc->store->fd, names[first].file, 0) < 0 &&
        errno != ENOENT)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", names[first].file);
    gc->options->removed(gc->options->data, "image", names[first].reference);
    return true;
}

static bool drop_old(struct gc *gc, struct err *err)
{
    time_t now = time(NULL);

    for (size_t i = 0; i < gc->names.count; i++) {
        time_t newest = 0;

        if (gc->gone[i] || gc->busy[i])
            continue;
        for (size_t k = 0; k < gc->names.count; k++) {
            time_t used = last_use(gc->store, gc->names.items[k].manifest_digest);

            if (same_reference(gc, i, k) && used > newest)
                newest = used;
        }
        if (now - newest >= (time_t)gc->options->age_s && !drop_reference(gc, i, err))
            return false;
    }
    return true;
}

/* Adds what images need that cells run, whether a name leads to them or not. */
struct running {
    const struct store *store;
    struct needs *needs;
};

static bool add_running(void *data, const char *dir, const char *hex, struct err *err)
{
    const struct running *running = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    autofd held = -1;
    bool busy;

    (void)dir;
    if (!digest)
        return no_memory(err);
    if (!digest_is_valid(digest))
        return true;
    held = store_claim_image(running->store, digest, &busy);
    return !busy || store_keep_image(running->store, digest, running->needs, err);
}

static bool find_kept(struct gc *gc, struct err *err)
{
    struct running running = {gc->store, &gc->kept};

    needs_release(&gc->kept);
    gc->kept = (struct needs){0};
    for (size_t i = 0; i < gc->names.count; i++) {
        if (!gc->gone[i] &&
            !store_keep_image(gc->store, gc->names.items[i].manifest_digest, &gc->kept, err))
            return false;
    }
    return store_each(gc->store, "images", add_running, &running, err);
}

static bool drop_large(struct gc *gc, struct err *err)
{
    for (;;) {
        size_t oldest = SIZE_MAX;
        uint64_t bytes;

        if (!find_kept(gc, err) || !add_up(gc->store, gc->remover, &gc->kept, &bytes, err))
            return false;
        for (size_t i = 0; i < gc->names.count; i++) {
            if (!gc->gone[i] && !gc->busy[i] &&
                (oldest == SIZE_MAX ||
                 last_use(gc->store, gc->names.items[i].manifest_digest) <
                     last_use(gc->store, gc->names.items[oldest].manifest_digest)))
                oldest = i;
        }
        if (bytes <= gc->options->size_max || oldest == SIZE_MAX)
            return true;
        if (!drop_reference(gc, oldest, err))
            return false;
    }
}

/* ---- what nobody needs ---- */

static void tell(const struct gc *gc, const char *kind, const char *name)
{
    gc->options->removed(gc->options->data, kind, name);
}

/* What cannot be read is in nobody's way, and a cell that runs with it holds it. */
static bool collect_record(void *data, const char *dir, const char *hex, struct err *err)
{
    struct gc *gc = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    autofd held = -1;
    bool busy = false;

    (void)dir;
    if (!digest)
        return no_memory(err);
    if (!digest_is_valid(digest) || strv_contains(&gc->kept.blobs, digest))
        return true;
    held = store_claim_image(gc->store, digest, &busy);
    if (busy)
        return err_set(err, ERR_STORE_BUSY, "a cell has just started with the image '%s'", digest);
    if (!gc->options->dry_run && !store_remove_record(gc->store, digest, err))
        return false;
    tell(gc, "record", digest);
    return true;
}

static bool collect_blob(void *data, const char *dir, const char *hex, struct err *err)
{
    struct gc *gc = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    uint64_t bytes = blob_bytes(gc->store, hex);

    (void)dir;
    if (!digest)
        return no_memory(err);
    gc->result->before += bytes;
    if (strv_contains(&gc->kept.blobs, digest)) {
        gc->result->after += bytes;
        return true;
    }
    if (!gc->options->dry_run && !store_remove_blob(gc->store, hex, err))
        return false;
    tell(gc, "blob", digest);
    return true;
}

static bool collect_layer(void *data, const char *dir, const char *hex, struct err *err)
{
    struct gc *gc = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    autofree char *name = text_printf("%s/%s", gc->map, hex);
    uint64_t bytes;

    (void)dir;
    if (!digest || !name)
        return no_memory(err);
    if (!digest_is_valid(digest))
        return true;
    bytes = layer_bytes(gc->store, gc->remover, gc->map, hex);
    gc->result->before += bytes;
    if (strv_contains(&gc->needs->layers, digest)) {
        gc->result->after += bytes;
        return true;
    }
    /* Where one has to stay, the others go all the same. */
    if (gc->options->dry_run ||
        store_remove_layer(gc->store, gc->remover, gc->map_fd, gc->map, hex, &gc->result->left))
        tell(gc, "layer", name);
    else
        gc->result->after += bytes;
    return true;
}

static bool collect_map(void *data, const char *dir, const char *map, struct err *err)
{
    struct gc *gc = data;
    autofree char *path = text_printf("%s/%s", dir, map);
    autofd map_fd = path ? openat(gc->store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct running running = {gc->store, &gc->running};
    bool orphan;

    if (map_fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", map);
    gc->map = map;
    gc->map_fd = map_fd;
    orphan = gc->options->is_orphan(gc->options->data, map);
    gc->needs = orphan ? &gc->running : &gc->kept;
    if ((orphan && !store_each(gc->store, "images", add_running, &running, err)) ||
        !store_each(gc->store, path, collect_layer, gc, err))
        return false;
    /* Stays while there is something in it. */
    if (orphan && !gc->options->dry_run)
        (void)!unlinkat(gc->store->fd, path, AT_REMOVEDIR);
    return true;
}

/* What a process that was killed would have renamed. Nobody writes now, so nobody will. */
static bool collect_torn(void *data, const char *dir, const char *name, struct err *err)
{
    struct gc *gc = data;
    autofree char *path = text_printf("%s/%s", dir, name);
    bool is_top = strcmp(dir, ".") == 0;

    if (!path)
        return no_memory(err);
    if (!file_is_temporary(name))
        return is_top || store_each(gc->store, path, collect_torn, gc, err);
    if (!gc->options->dry_run && unlinkat(gc->store->fd, path, 0) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
    tell(gc, "unfinished", is_top ? name : path);
    return true;
}

static bool collect_all_torn(struct gc *gc, struct err *err)
{
    static const char *const dirs[] = {".", "references", "images"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        if (!store_each(gc->store, dirs[i], collect_torn, gc, err))
            return false;
    }
    return true;
}

/* index.json first, and last where the disk was full: as store_remove does it. */
static bool collect_all(struct gc *gc, struct err *err)
{
    struct err full;
    bool pruned = gc->options->dry_run || store_prune_index(gc->store, &full);

    return store_each(gc->store, "images", collect_record, gc, err) &&
           store_each(gc->store, "blobs/sha256", collect_blob, gc, err) &&
           store_each(gc->store, "layers", collect_map, gc, err) && collect_all_torn(gc, err) &&
           (pruned || store_prune_index(gc->store, err));
}

static bool keep_recorded(void *data, const char *dir, const char *hex, struct err *err)
{
    struct gc *gc = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    autofree char *path = text_printf("%s/%s/image.json", dir, hex);
    bool known;

    if (!digest || !path)
        return no_memory(err);
    if (!digest_is_valid(digest) || faccessat(gc->store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    if (!store_add_needs(gc->store, digest, &known, &gc->kept, err))
        return false;
    gc->unsure = gc->unsure || !known;
    return true;
}

static void tell_nobody(void *data, const char *kind, const char *name)
{
    (void)data, (void)kind, (void)name;
}

static bool is_no_orphan(void *data, const char *map)
{
    (void)data, (void)map;
    return false;
}

bool store_drop_unnamed_layers(const struct store *store, const struct tree_remover *remover,
                               struct err *err)
{
    const struct gc_options options = {.removed = tell_nobody, .is_orphan = is_no_orphan};
    struct gc_result result = {0};
    CLEANUP(gc_release)
    struct gc gc = {.store = store, .remover = remover, .options = &options, .result = &result};

    return store_each(store, "images", keep_recorded, &gc, err) &&
           (gc.unsure || store_each(store, "layers", collect_map, &gc, err));
}

static void tell_swept(void *data, const char *path)
{
    tell(data, "unfinished", path);
}

bool store_gc(const struct store *store, const struct tree_remover *remover,
              const struct gc_options *options, struct gc_result *result, struct err *err)
{
    CLEANUP(gc_release)
    struct gc gc = {.store = store, .remover = remover, .options = options, .result = result};
    const struct sweep_listener listener = {options->dry_run, tell_swept, &gc};
    autofd lock = store_lock(store, "store", LOCK_EX, err);

    *result = (struct gc_result){0};
    if (lock < 0 || !store_sweep(store, remover, &listener, err) ||
        !store_list(store, &gc.names, err) || !stored_names_are_all(&gc.names, err))
        return false;
    gc.gone = calloc(gc.names.count + 1, sizeof(bool));
    gc.busy = calloc(gc.names.count + 1, sizeof(bool));
    if (!gc.gone || !gc.busy)
        return no_memory(err);
    return (!options->has_age || drop_old(&gc, err)) &&
           (!options->has_size || drop_large(&gc, err)) && find_kept(&gc, err) &&
           collect_all(&gc, err);
}
