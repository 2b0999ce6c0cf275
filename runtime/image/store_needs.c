#include "runtime/image/store_needs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "runtime/image/image_config.h"
#include "runtime/image/layer_part.h"

#define LOCK_PATH_MAX 1024

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the image store");
}

bool store_each(const struct store *store, const char *path,
                bool (*visit)(void *data, const char *path, const char *name, struct err *err),
                void *data, struct err *err)
{
    int fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    autodir *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (!dir) {
        close_fd(fd);
        return errno == ENOENT || errno == ENOTDIR ||
               err_errno(err, ERR_CONFIG_INVALID, "cannot read '%s'", path);
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && !visit(data, path, entry->d_name, err))
            return false;
    }
    return true;
}

void needs_release(struct needs *needs)
{
    strv_release(&needs->blobs);
    strv_release(&needs->layers);
}

static bool add_new(struct strv *strv, const char *item)
{
    return strv_contains(strv, item) || strv_add(strv, item);
}

static bool read_right(const struct store *store, const char *digest, struct buf *text,
                       struct err *err)
{
    char found[DIGEST_TEXT_MAX];

    if (!store_read_blob(store, digest, text, err))
        return false;
    digest_of(text->data, text->len, found);
    return strcmp(found, digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "the blob '%s' in the store is damaged", digest);
}

bool store_read_image(const struct store *store, const char *digest, struct manifest *manifest,
                      struct image *image, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX), config = BUF_INIT(CONFIG_MAX);
    autoimage read = IMAGE_INIT;

    if (!read_right(store, digest, &text, err) ||
        !manifest_parse(text.data, text.len, NULL, digest, manifest, err))
        return false;
    if (manifest->is_index)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is an index", digest);
    if (!read_right(store, manifest->config.digest, &config, err) ||
        !image_config_parse(config.data, config.len, digest, manifest->layer_count, &read, err))
        return false;
    read.manifest_digest = strdup(digest);
    read.config_digest = strdup(manifest->config.digest);
    if (!read.manifest_digest || !read.config_digest)
        return no_memory(err);
    *image = read;
    read = IMAGE_INIT;
    return true;
}

/* Of an image whose manifest is gone or damaged, what its record knows. */
static bool add_needs(const struct store *store, const struct image *image, struct needs *needs,
                      struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    automanifest manifest = {0};
    autofree char *oci = NULL;
    char digest[DIGEST_TEXT_MAX];
    bool ok = add_new(&needs->blobs, image->manifest_digest) &&
              add_new(&needs->blobs, image->config_digest);

    for (size_t i = 0; ok && i < image->diff_ids.count; i++)
        ok = add_new(&needs->layers, image->diff_ids.items[i]);
    if (read_right(store, image->manifest_digest, &text, err) &&
        manifest_parse(text.data, text.len, NULL, image->manifest_digest, &manifest, err)) {
        for (size_t i = 0; ok && i < manifest.layer_count; i++)
            ok = add_new(&needs->blobs, manifest.layers[i].blob.digest);
        ok = ok && manifest_as_oci(text.data, text.len, image->manifest_digest, &oci, err);
        if (ok && oci) {
            digest_of(oci, strlen(oci), digest);
            ok = add_new(&needs->blobs, digest);
        }
    }
    return ok || no_memory(err);
}

bool store_add_needs(const struct store *store, const char *digest, bool *known,
                     struct needs *needs, struct err *err)
{
    automanifest manifest = {0};
    autoimage noted = IMAGE_INIT, read = IMAGE_INIT;
    struct err ignored;
    bool has_record, has_blobs;

    if (!store_load_image(store, digest, &has_record, &noted, err))
        return false;
    has_blobs = store_read_image(store, digest, &manifest, &read, &ignored);
    *known = has_record || has_blobs;
    return (!has_record || add_needs(store, &noted, needs, err)) &&
           (!has_blobs || add_needs(store, &read, needs, err));
}

bool store_keep_image(const struct store *store, const char *digest, struct needs *needs,
                      struct err *err)
{
    bool known, busy = false;
    autofd held = -1;

    if (store_is_damaged(store, digest)) {
        err_set(err, ERR_IMAGE_CORRUPT, "the manifest '%s' in the store is damaged", digest);
        return err_hint(err, "run 'stepcell image verify'");
    }
    if (!store_add_needs(store, digest, &known, needs, err))
        return false;
    if (!known)
        held = store_claim_image(store, digest, &busy);
    return !busy || err_set(err, ERR_STORE_BUSY,
                            "a cell runs the image '%s', whose record cannot be read", digest);
}

int store_claim_image(const struct store *store, const char *digest, bool *busy)
{
    char path[LOCK_PATH_MAX];
    autofd fd = -1;

    snprintf(path, sizeof(path), "images/%s/image.json", digest_hex(digest));
    fd = openat(store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
    return *busy ? -1 : TAKE_FD(fd);
}

bool store_remove_record(const struct store *store, const char *digest, struct err *err)
{
    autofree char *dir = text_printf("images/%s", digest_hex(digest));
    autofree char *path = dir ? text_printf("%s/image.json", dir) : NULL;

    if (!path)
        return no_memory(err);
    if ((unlinkat(store->fd, path, 0) < 0 && errno != ENOENT) || !file_remove_tree(store->fd, dir))
        return err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
    return true;
}

static void remove_lock(const struct store *store, const char *kind, const char *name)
{
    char path[2 * LOCK_PATH_MAX];

    /* Nobody waits for it: whoever would holds the store's lock. */
    snprintf(path, sizeof(path), "locks/%s-%s", kind, name);
    unlinkat(store->fd, path, 0);
}

bool store_remove_blob(const struct store *store, const char *hex, struct err *err)
{
    char path[LOCK_PATH_MAX];

    snprintf(path, sizeof(path), "blobs/sha256/%s", hex);
    if (unlinkat(store->fd, path, 0) < 0 && errno != ENOENT)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
    remove_lock(store, "blob", hex);
    return true;
}

bool store_remove_layer(const struct store *store, const struct tree_remover *remover, int map_fd,
                        const char *map, const char *hex, struct err *err)
{
    char part[LOCK_PATH_MAX], name[LOCK_PATH_MAX];

    snprintf(part, sizeof(part), "%s" PART_SUFFIX, hex);
    snprintf(name, sizeof(name), "%s-%s", map, hex);
    if (renameat(map_fd, hex, map_fd, part) < 0)
        return errno == ENOENT || err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", hex);
    remove_lock(store, "layer", name);
    return layer_part_remove(store, remover, map_fd, map, part, err);
}
