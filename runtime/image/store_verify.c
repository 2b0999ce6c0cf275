#include "runtime/image/store_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/image/layer_part.h"
#include "runtime/image/store_gc.h"
#include "runtime/image/store_needs.h"
#include "runtime/image/store_verify_names.h"
#include "runtime/image/tree_compare.h"

#define NAME_MAX_LEN   512
#define DIFFERENCE_MAX 8192

struct verification {
    const struct store *store;
    struct store_check *check;
    struct strv layers; /* "MAP/HEX BLOB" that were looked at */
};

static void verification_release(struct verification *verification)
{
    strv_release(&verification->layers);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot verify the image store");
}

static void report(struct verification *verification, const char *part, const char *name,
                   const char *what, enum finding_remedy remedy)
{
    const struct finding finding = {part, name, what, remedy};

    verification->check->findings++;
    verification->check->found(verification->check->data, &finding);
}

/* ---- blobs ---- */

static bool is_right(const struct store *store, const char *path, const char *digest)
{
    autofd fd = openat(store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd >= 0 && digest_is_valid(digest) && store_is_intact(fd, digest);
}

static bool drop_blob(const struct store *store, const char *path, const char *digest,
                      struct err *err)
{
    autofree char *lock_name = text_printf("blob-%s", digest_hex(digest));
    autofd lock = -1;

    if (!lock_name)
        return no_memory(err);
    lock = store_lock(store, lock_name, LOCK_EX, err);
    if (lock < 0)
        return false;
    /* A pull may have brought the right one meanwhile. */
    if (is_right(store, path, digest))
        return true;
    return unlinkat(store->fd, path, 0) == 0 || errno == ENOENT ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
}

static bool verify_blob(void *data, const char *dir, const char *name, struct err *err)
{
    struct verification *verification = data;
    autofree char *digest = text_printf("sha256:%s", name);
    autofree char *path = text_printf("%s/%s", dir, name);

    if (!digest || !path)
        return no_memory(err);
    verification->check->blobs++;
    if (is_right(verification->store, path, digest))
        return true;
    report(verification, "blob", digest, "its content is not what its name says", REMEDY_PULL);
    return drop_blob(verification->store, path, digest, err);
}

/* ---- records ---- */

static const char unreadable[] =
    "it cannot be read, or its passwd or its group is not what was written";
static const char changed[] = "it is not what the configuration says";
static const char rewritten[] = "it is not what was written";

/* Reading is more lenient than writing: a bit may have changed that makes no difference to it. */
static bool is_as_written(const struct store *store, const struct image *image)
{
    autofree char *path = text_printf("images/%s/image.json", digest_hex(image->manifest_digest));
    autofree char *written = store_image_text(image);
    autobuf text = BUF_INIT(RECORD_MAX);
    struct err ignored;

    return path && written && file_read(store->fd, path, &text, ERR_IMAGE_CORRUPT, &ignored) &&
           text.len == strlen(written) && memcmp(text.data, written, text.len) == 0;
}

/* Loads the manifest and compares the record with the configuration that it was made of. */
static const char *check_record(const struct store *store, const struct image *image,
                                struct manifest *manifest)
{
    autoimage fresh = IMAGE_INIT;
    autojson *ours = NULL, *theirs = NULL;
    struct err ignored;

    if (!store_read_image(store, image->manifest_digest, manifest, &fresh, &ignored))
        return "its manifest or its configuration is missing";
    ours = store_image_json(image);
    theirs = store_image_json(&fresh);
    if (!ours || !theirs || !json_equal(ours, theirs))
        return changed;
    if (!is_as_written(store, image))
        return rewritten;
    for (size_t i = 0; i < manifest->layer_count; i++) {
        if (!store_has_blob(store, &manifest->layers[i].blob))
            return "the blob of a layer is missing";
    }
    return NULL;
}

/* ---- layers ---- */

/* Two trees of one layer, compared by a child that may read them. */
struct trees {
    int fresh, stored;
    struct timespec since; /* the fresh one was begun */
    char *difference;      /* memory that is shared */
};

static bool compare_mapped(void *argument, struct err *err)
{
    const struct trees *trees = argument;
    autobuf difference = BUF_INIT(DIFFERENCE_MAX);
    autofd stored = openat(trees->stored, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (stored < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open a layer");
    if (!tree_compare(trees->fresh, stored, &trees->since, &difference, err))
        return false;
    if (difference.len)
        snprintf(trees->difference, DIFFERENCE_MAX, "%s", difference.data);
    return true;
}

/* No cell may start with what is being replaced: all images that have the layer are held. */
static bool replace_layer(struct verification *verification, struct layer_part *part,
                          const struct strv *users, struct err *err)
{
    autofree int *locks = calloc(users->count + 1, sizeof(int));
    autofd lock = store_lock(verification->store, "images", LOCK_EX, err);
    bool ok = locks && lock >= 0;
    size_t held = 0;

    for (; ok && held < users->count; held++) {
        bool busy;

        locks[held] = store_claim_image(verification->store, users->items[held], &busy);
        /* Without a record there is no cell. */
        ok = !busy && (locks[held] >= 0 || errno == ENOENT);
    }
    ok = ok && layer_part_replace(part, err);
    for (size_t i = 0; locks && i < held; i++)
        close_fd(locks[i]);
    return ok;
}

struct users {
    const struct store *store;
    const char *diff_id;
    struct strv digests;
};

static bool add_user(void *data, const char *dir, const char *name, struct err *err)
{
    struct users *users = data;
    autofree char *digest = text_printf("sha256:%s", name);
    autoneeds needs = {0};
    bool known;

    (void)dir;
    if (!digest)
        return no_memory(err);
    if (!digest_is_valid(digest))
        return true;
    if (!store_add_needs(users->store, digest, &known, &needs, err))
        return false;
    /* One that cannot be read may have any layer. */
    return (known && !strv_contains(&needs.layers, users->diff_id)) ||
           strv_add(&users->digests, digest) || no_memory(err);
}

static bool compare_layer(struct verification *verification, struct layer_part *part,
                          const struct timespec *since, const struct layer_unpack *unpack,
                          const char *name, struct err *err)
{
    autofd stored = openat(part->map_fd, part->hex, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct trees trees = {.fresh = part->fd, .stored = stored, .since = *since};
    const struct reach reach = {part->fd, &trees.stored, 1};
    struct users users = {.store = verification->store, .diff_id = unpack->diff_id};
    autofree char *what = NULL;
    bool ok = false, done;

    if (stored < 0)
        return errno == ENOENT || err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", name);
    trees.difference =
        mmap(NULL, DIFFERENCE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trees.difference == MAP_FAILED)
        return no_memory(err);
    ok = unpack->map->run(unpack->map->data, &reach, compare_mapped, &trees, err);
    trees.difference[DIFFERENCE_MAX - 1] = '\0'; /* the child may have written anything */
    if (ok && trees.difference[0]) {
        ok = store_each(verification->store, "images", add_user, &users, err);
        done = ok && replace_layer(verification, part, &users.digests, err);
        what = text_printf("'%s' is not what the layer has there", trees.difference);
        report(verification, "layer", name, what ? what : "", done ? REMEDY_DONE : REMEDY_AGAIN);
    }
    strv_release(&users.digests);
    munmap(trees.difference, DIFFERENCE_MAX);
    return ok;
}

/* ---- images ---- */

struct image_check {
    struct verification *verification;
    const struct image *image;
    const struct manifest *manifest;
    bool lies; /* a blob holds something else than the image says */
};

static void report_lie(struct image_check *image, size_t i, const struct err *why)
{
    autofree char *what =
        text_printf("'%s': %s", image->manifest->layers[i].blob.digest, why->message);

    image->lies = true;
    report(image->verification, "record", image->image->manifest_digest, what ? what : "",
           REMEDY_PULL);
}

/* Unpacks the layer once more, beside the one that is there. */
static bool verify_layer(struct image_check *image, const struct layer_map *map, int map_fd,
                         size_t i, struct err *err)
{
    struct verification *verification = image->verification;
    const struct layer *layer = &image->manifest->layers[i];
    const char *diff_id = image->image->diff_ids.items[i];
    autofree char *name = text_printf("%s/%s", map->key, digest_hex(diff_id));
    autofree char *pair = text_printf("%s %s", name, layer->blob.digest);
    autofree char *lock_name = text_printf("layer-%s-%s", map->key, digest_hex(diff_id));
    autofd lock = -1, input = -1; /* released last: what is not kept of the part is the lock's */
    autolayerpart part = LAYER_PART_INIT;
    struct layer_unpack unpack = {
        .map = map, .compression = layer->compression, .diff_id = diff_id};
    struct timespec since;
    struct err why;

    if (!name || !pair || !lock_name)
        return no_memory(err);
    if (strv_contains(&verification->layers, pair) ||
        faccessat(map_fd, digest_hex(diff_id), F_OK, 0) < 0)
        return true;
    input = store_open_blob(verification->store, layer->blob.digest, &why);
    if (input < 0) {
        report(verification, "layer", name, "its blob is not there to compare it with",
               REMEDY_PULL);
        return strv_add(&verification->layers, pair) || no_memory(err);
    }
    lock = store_lock(verification->store, lock_name, LOCK_EX, err);
    if (lock < 0 || !layer_part_begin(&part, verification->store, verification->check->remover, map,
                                      map_fd, digest_hex(diff_id), err))
        return false;
    unpack.input = input;
    unpack.target = part.fd;
    /* The clock that files get their times from. */
    clock_gettime(CLOCK_REALTIME_COARSE, &since);
    if (!layer_unpack_run(&unpack, &why)) {
        *err = why;
        if (why.code == ERR_IMAGE_CORRUPT)
            report_lie(image, i, &why);
        return image->lies;
    }
    verification->check->layers++;
    return (strv_add(&verification->layers, pair) || no_memory(err)) &&
           compare_layer(verification, &part, &since, &unpack, name, err);
}

static bool verify_layers_of_map(void *data, const char *dir, const char *key, struct err *err)
{
    struct image_check *image = data;
    struct verification *verification = image->verification;
    autofree char *path = text_printf("%s/%s", dir, key);
    autofd map_fd = -1;
    struct layer_map map;

    if (!path)
        return no_memory(err);
    if (!verification->check->map_for(verification->check->data, key, &map)) {
        if (!strv_contains(&verification->layers, key))
            report(verification, "layer", key, "no step of the caller's has this id map any more",
                   REMEDY_COLLECT);
        return strv_contains(&verification->layers, key) || strv_add(&verification->layers, key) ||
               no_memory(err);
    }
    map_fd = openat(verification->store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (map_fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", path);
    for (size_t i = 0; i < image->manifest->layer_count && !image->lies; i++) {
        if (!verify_layer(image, &map, map_fd, i, err))
            return false;
    }
    return true;
}

/* With the lock of records. Not while a cell holds it: then it is all that keeps its layers. */
static bool drop_record(const struct store *store, const char *path, struct err *err)
{
    autofd fd = openat(store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return true;
    return unlinkat(store->fd, path, 0) == 0 ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
}

static bool drop_changed(const struct store *store, const char *path, struct err *err)
{
    autofd lock = store_lock(store, "images", LOCK_EX, err);

    return lock >= 0 && drop_record(store, path, err);
}

/*
 * Loads a record, or drops one that cannot be read. *there is false of one that is being written,
 * or was when its writer was killed.
 */
static bool load_record(const struct store *store, const char *digest, const char *path,
                        bool *there, bool *found, struct image *image, struct err *err)
{
    autofd lock = store_lock(store, "images", LOCK_EX, err);

    if (lock < 0)
        return false;
    *there = faccessat(store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (*there && digest_is_valid(digest) && !store_load_image(store, digest, found, image, err))
        return false;
    return *found || drop_record(store, path, err);
}

static bool verify_image(void *data, const char *dir, const char *name, struct err *err)
{
    struct verification *verification = data;
    autofree char *digest = text_printf("sha256:%s", name);
    autofree char *path = text_printf("%s/%s/image.json", dir, name);
    autoimage image = IMAGE_INIT;
    automanifest manifest = {0};
    struct image_check check = {verification, &image, &manifest, false};
    const char *what = unreadable;
    bool there, found = false;

    if (!digest || !path)
        return no_memory(err);
    if (!load_record(verification->store, digest, path, &there, &found, &image, err))
        return false;
    if (!there)
        return true;
    if (found)
        what = check_record(verification->store, &image, &manifest);
    /* A damaged layer can be replaced when nobody holds the image, this process neither. */
    image.lock = close_fd(image.lock);
    if (!what)
        return store_each(verification->store, "layers", verify_layers_of_map, &check, err) &&
               (!check.lies || drop_changed(verification->store, path, err));
    report(verification, "record", digest, what, REMEDY_PULL);
    return (what != changed && what != rewritten) || drop_changed(verification->store, path, err);
}

/* ---- what is left unfinished ---- */

/* Nobody works on it, and nobody could remove it: it is in the way of this layer. */
static bool report_part(void *data, const char *dir, const char *name, struct err *err)
{
    struct verification *verification = data;
    const char *suffix = strchr(name, '.');
    autofree char *part = text_printf("%s/%s", path_name(dir), name);

    if (!part)
        return no_memory(err);
    if (suffix && strcmp(suffix, PART_SUFFIX) == 0)
        report(verification, "layer", part, "it is unfinished, and cannot be removed", REMEDY_ROOT);
    return true;
}

static bool report_parts(void *data, const char *dir, const char *map, struct err *err)
{
    struct verification *verification = data;
    autofree char *path = text_printf("%s/%s", dir, map);

    return path ? store_each(verification->store, path, report_part, data, err) : no_memory(err);
}

bool store_verify(const struct store *store, struct store_check *check, struct err *err)
{
    CLEANUP(verification_release)
    struct verification verification = {.store = store, .check = check};
    autofd lock = store_lock(store, "store", LOCK_SH, err);

    if (lock < 0 || !store_sweep(store, check->remover, NULL, err) ||
        !store_each(store, "blobs/sha256", verify_blob, &verification, err) ||
        !store_each(store, "images", verify_image, &verification, err))
        return false;
    /* What no name leads to is nobody's once no pull goes on. */
    lock = close_fd(lock);
    lock = store_lock(store, "store", LOCK_EX, err);
    return lock >= 0 && store_verify_names(store, check, err) &&
           store_drop_unnamed_layers(store, check->remover, err) &&
           store_sweep(store, check->remover, NULL, err) &&
           store_each(store, "layers", report_parts, &verification, err);
}
