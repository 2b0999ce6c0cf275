/* What there is in the store, and removing it: the other half of store_write.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/image/layer_part.h"
#include "runtime/image/store_needs.h"
#include "runtime/image/store_place.h"

#define REFERENCE_DEPTH_MAX 64 /* PATH_MAX / REFERENCE_PART_MAX and some */
#define ENTRY_PATH_MAX      512

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the image store");
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* ---- references ---- */

struct lister {
    const struct store *store;
    bool (*visit)(void *data, const char *path, const char *name, struct err *err);
    void *data;
    int depth;
};

void stored_names_release(struct stored_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].reference);
        free(names->items[i].file);
        free(names->items[i].digest);
        free(names->items[i].manifest_digest);
    }
    free(names->items);
    *names = (struct stored_names){0};
}

bool stored_names_have(const struct stored_names *names, const char *reference)
{
    for (size_t i = 0; reference && i < names->count; i++) {
        if (strcmp(names->items[i].reference, reference) == 0)
            return true;
    }
    return false;
}

static bool add_name(struct stored_names *names, const char *reference, const char *file,
                     const char *platform, const json_t *entry, struct err *err)
{
    const char *digest = json_text(entry, "digest");
    const char *manifest_digest = json_text(entry, "manifest_digest");
    struct stored_name name = {0}, *items;

    if (!digest_is_valid(digest) || !digest_is_valid(manifest_digest) ||
        !platform_parse(platform, &name.platform, err))
        return true;
    items = realloc(names->items, (names->count + 1) * sizeof(*items));
    if (!items)
        return no_memory(err);
    names->items = items;
    name.reference = strdup(reference);
    name.file = strdup(file);
    name.digest = strdup(digest);
    name.manifest_digest = strdup(manifest_digest);
    names->items[names->count++] = name;
    return (name.reference && name.file && name.digest && name.manifest_digest) || no_memory(err);
}

struct listing {
    const struct store *store;
    struct stored_names *names;
};

static bool note_damage(struct stored_names *names, const char *path)
{
    err_set(&names->damage, ERR_IMAGE_CORRUPT, "'%s' in the store is not what was written", path);
    err_hint(&names->damage, "run 'stepcell image verify'");
    return true;
}

static bool list_file(void *data, const char *path, const char *file, struct err *err)
{
    struct listing *listing = data;
    autojson *record = NULL;
    const char *schema, *reference, *platform;
    json_t *entry;

    (void)file;
    errno = 0;
    record = json_read_file(listing->store->fd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, err);
    if (!record && errno == ENOENT)
        return true;
    if (!store_name_is_right(record))
        return note_damage(listing->names, path);
    schema = json_text(record, "schema");
    reference = json_text(record, "reference");
    if (!schema || strcmp(schema, STORE_NAME_SCHEMA) != 0 || !reference)
        return true;
    json_object_foreach (json_object_get(record, "platforms"), platform, entry) {
        if (!add_name(listing->names, reference, path, platform, entry, err))
            return false;
    }
    return true;
}

static bool list_entry(void *data, const char *dir, const char *name, struct err *err)
{
    struct lister *lister = data;
    autofree char *path = text_printf("%s/%s", dir, name);
    bool ok;

    if (!path)
        return no_memory(err);
    if (has_suffix(name, ".json"))
        return lister->visit(lister->data, path, name, err);
    if (lister->depth >= REFERENCE_DEPTH_MAX)
        return true;
    lister->depth++;
    ok = store_each(lister->store, path, list_entry, lister, err);
    lister->depth--;
    return ok;
}

bool store_each_reference(const struct store *store,
                          bool (*visit)(void *data, const char *path, const char *name,
                                        struct err *err),
                          void *data, struct err *err)
{
    struct lister lister = {.store = store, .visit = visit, .data = data};

    return store_each(store, "references", list_entry, &lister, err);
}

bool stored_names_are_all(const struct stored_names *names, struct err *err)
{
    if (names->damage.code == ERR_NONE)
        return true;
    *err = names->damage;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    const struct stored_name *x = a, *y = b;
    char x_platform[PLATFORM_TEXT_MAX], y_platform[PLATFORM_TEXT_MAX];
    int order = strcmp(x->reference, y->reference);

    if (order)
        return order;
    platform_text(&x->platform, x_platform);
    platform_text(&y->platform, y_platform);
    return strcmp(x_platform, y_platform);
}

bool store_list(const struct store *store, struct stored_names *names, struct err *err)
{
    autonames listed = {0};
    struct listing listing = {.store = store, .names = &listed};

    if (!store_each_reference(store, list_file, &listing, err))
        return false;
    if (listed.count)
        qsort(listed.items, listed.count, sizeof(*listed.items), compare_names);
    *names = listed;
    listed = (struct stored_names){0};
    return true;
}

/* ---- removing ---- */

/* One removal: the images that go, and what they needed. */
struct removal {
    const struct store *store;
    const struct tree_remover *remover;
    struct strv victims; /* manifest digests */
    struct needs candidates, kept;
    int locks[PLATFORMS_MAX];
    size_t lock_count;
    struct err left; /* why a layer could not be removed, or ERR_NONE */
};

static void removal_release(struct removal *removal)
{
    strv_release(&removal->victims);
    needs_release(&removal->candidates);
    needs_release(&removal->kept);
    for (size_t i = 0; i < removal->lock_count; i++)
        close_fd(removal->locks[i]);
}

static bool is_named_by_others(const struct stored_names *names, const char *reference,
                               const char *manifest_digest)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].reference, reference) != 0 &&
            strcmp(names->items[i].manifest_digest, manifest_digest) == 0)
            return true;
    }
    return false;
}

/* Takes the image away from new cells; one that a cell holds is busy. */
static bool claim(struct removal *removal, const char *reference, const char *digest,
                  struct err *err)
{
    bool busy;
    autofd fd = store_claim_image(removal->store, digest, &busy);

    if (busy) {
        err_set(err, ERR_STORE_BUSY, "the image '%s' is in use by a running cell", reference);
        return err_hint(err, "wait for its steps to end, or cancel them");
    }
    if (fd < 0)
        return errno == ENOENT || err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", digest);
    if (removal->lock_count == PLATFORMS_MAX)
        return err_set(err, ERR_STORE_BUSY, "'%s' names too many images", reference);
    removal->locks[removal->lock_count++] = TAKE_FD(fd);
    return true;
}

static bool find_victims(struct removal *removal, const struct reference *reference,
                         const struct stored_names *names, const char **file, struct err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct stored_name *name = &names->items[i];
        bool known;

        if (strcmp(name->reference, reference->name) != 0)
            continue;
        *file = name->file;
        if (strv_contains(&removal->victims, name->manifest_digest) ||
            is_named_by_others(names, reference->name, name->manifest_digest))
            continue;
        if (!store_add_needs(removal->store, name->manifest_digest, &known, &removal->candidates,
                             err))
            return false;
        if (!claim(removal, reference->given, name->manifest_digest, err))
            return false;
        if (!strv_add(&removal->victims, name->manifest_digest))
            return no_memory(err);
    }
    return true;
}

static bool keep_image(struct removal *removal, const char *digest, struct err *err)
{
    return strv_contains(&removal->victims, digest) ||
           store_keep_image(removal->store, digest, &removal->kept, err);
}

static bool keep_recorded(void *data, const char *dir, const char *hex, struct err *err)
{
    autofree char *digest = text_printf("sha256:%s", hex);

    (void)dir;
    if (!digest)
        return no_memory(err);
    return !digest_is_valid(digest) || keep_image(data, digest, err);
}

/* Whatever there is but the victims: named, or only run. */
static bool find_kept(struct removal *removal, const struct stored_names *names, struct err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!keep_image(removal, names->items[i].manifest_digest, err))
            return false;
    }
    return store_each(removal->store, "images", keep_recorded, removal, err);
}

static bool remove_blobs(struct removal *removal, struct err *err)
{
    for (size_t i = 0; i < removal->candidates.blobs.count; i++) {
        const char *digest = removal->candidates.blobs.items[i];

        if (strv_contains(&removal->kept.blobs, digest))
            continue;
        if (!store_remove_blob(removal->store, digest_hex(digest), err))
            return false;
    }
    return true;
}

static bool remove_layers_of_map(void *data, const char *dir, const char *map, struct err *err)
{
    struct removal *removal = data;
    autofree char *path = text_printf("%s/%s", dir, map);
    autofd fd = path ? openat(removal->store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", map);
    for (size_t i = 0; i < removal->candidates.layers.count; i++) {
        const char *diff_id = removal->candidates.layers.items[i];

        /* One that cannot be removed keeps none of the others. */
        if (!strv_contains(&removal->kept.layers, diff_id))
            (void)store_remove_layer(removal->store, removal->remover, fd, map, digest_hex(diff_id),
                                     &removal->left);
    }
    return true;
}

/*
 * Names first, then what they named: a kill in between leaves too much, never too little. But a
 * disk that is full may have room for index.json only when the rest is gone.
 */
static bool carry_out(struct removal *removal, const struct reference *reference, const char *file,
                      struct err *err)
{
    const struct store *store = removal->store;
    struct err full;
    bool unlisted;

    if (unlinkat(store->fd, file, 0) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", file);
    unlisted = store_remove_index(store, reference->name, &full);
    for (size_t i = 0; i < removal->victims.count; i++) {
        if (!store_remove_record(store, removal->victims.items[i], err))
            return false;
    }
    return remove_blobs(removal, err) &&
           store_each(store, "layers", remove_layers_of_map, removal, err) &&
           (unlisted || store_remove_index(store, reference->name, err));
}

bool store_remove(const struct store *store, const struct reference *reference,
                  const struct tree_remover *remover, struct err *err)
{
    CLEANUP(removal_release) struct removal removal = {.store = store, .remover = remover};
    autofd lock = store_lock(store, "store", LOCK_EX, err);
    autonames names = {0};
    const char *file = NULL;

    if (lock < 0 || !store_list(store, &names, err) || !stored_names_are_all(&names, err) ||
        !find_victims(&removal, reference, &names, &file, err) || !find_kept(&removal, &names, err))
        return false;
    if (!file) {
        err_set(err, ERR_IMAGE_NOT_FOUND, "there is no image '%s' in the store", reference->given);
        return err_hint(err, "'stepcell image list' lists what there is");
    }
    if (!carry_out(&removal, reference, file, err))
        return false;
    if (removal.left.code == ERR_NONE)
        return true;
    *err = removal.left;
    return err_context(err, "the image '%s' is removed, but not all of its layers",
                       reference->given);
}

/* ---- unfinished work ---- */

struct sweep {
    const struct store *store;
    const struct tree_remover *remover;
    const struct sweep_listener *listener; /* NULL: nobody */
};

static bool is_dry(const struct sweep *sweep)
{
    return sweep->listener && sweep->listener->dry_run;
}

static bool tell_swept(const struct sweep *sweep, const char *dir, const char *name,
                       struct err *err)
{
    autofree char *path = NULL;

    if (!sweep->listener)
        return true;
    path = text_printf("%s/%s", dir, name);
    if (!path)
        return no_memory(err);
    sweep->listener->removed(sweep->listener->data, path);
    return true;
}

/* The lock of unfinished work whose owner is gone, or -1. */
static int claim_unfinished(const struct store *store, const char *lock)
{
    struct err err;

    return store_lock(store, lock, LOCK_EX | LOCK_NB, &err);
}

static bool sweep_place(void *data, const char *dir, const char *name, struct err *err)
{
    const struct sweep *sweep = data;
    autofd lock = claim_unfinished(sweep->store, name);

    return lock < 0 || ((is_dry(sweep) || place_clear(sweep->store, sweep->remover, name, err)) &&
                        tell_swept(sweep, dir, name, err));
}

static bool sweep_layer(void *data, const char *dir, const char *name, struct err *err)
{
    const struct sweep *sweep = data;
    autofree char *lock_name = NULL;
    autofd lock = -1, fd = -1;
    struct err ignored;

    if (!has_suffix(name, PART_SUFFIX))
        return true;
    lock_name = text_printf("layer-%s-%.*s", path_name(dir),
                            (int)(strlen(name) - strlen(PART_SUFFIX)), name);
    if (!lock_name)
        return no_memory(err);
    lock = claim_unfinished(sweep->store, lock_name);
    if (lock < 0)
        return true;
    fd = openat(sweep->store->fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open '%s'", dir);
    /* What is of ids that are not the caller's any more is in nobody's way. */
    return (!is_dry(sweep) && !sweep->remover->remove(sweep->remover->data, fd, name, &ignored)) ||
           tell_swept(sweep, dir, name, err);
}

static bool sweep_map(void *data, const char *dir, const char *name, struct err *err)
{
    const struct sweep *sweep = data;
    autofree char *path = text_printf("%s/%s", dir, name);

    return path ? store_each(sweep->store, path, sweep_layer, data, err) : no_memory(err);
}

bool store_sweep(const struct store *store, const struct tree_remover *remover,
                 const struct sweep_listener *listener, struct err *err)
{
    struct sweep sweep = {store, remover, listener};

    return store_each(store, "tmp", sweep_place, &sweep, err) &&
           store_each(store, "layers", sweep_map, &sweep, err);
}
