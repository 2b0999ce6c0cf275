#include "runtime/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"

#define REFERENCE_PART_MAX 200 /* bytes of one component of a reference's path; NAME_MAX is 255 */
#define INDEX_FILE         "{\"schemaVersion\":2,\"manifests\":[]}\n"
#define LAYER_PATH_MAX     256

static const char *const transport_names[] = {
    [TRANSPORT_REGISTRY] = "registry",
    [TRANSPORT_OCI] = "oci",
    [TRANSPORT_DOCKER_ARCHIVE] = "docker-archive",
    [TRANSPORT_OCI_ARCHIVE] = "oci-archive",
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the image store");
}

/* ---- where it is, and opening it ---- */

char *store_default_path(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (geteuid() == 0)
        return strdup("/var/lib/stepcell");
    if (data && *data == '/')
        return text_printf("%s/stepcell", data);
    errno = ENOENT;
    return home && *home == '/' ? text_printf("%s/.local/share/stepcell", home) : NULL;
}

char *store_path(const char *option, struct err *err)
{
    const char *variable = getenv("STEPCELL_STORE");
    const char *given = option ? option : variable && *variable ? variable : NULL;
    autofree char *cwd = NULL;
    char *path;

    if (!given) {
        path = store_default_path();
        if (!path) {
            err_set(err, ERR_CONFIG_INVALID, "there is no place for the image store");
            err_hint(err, "set HOME, or name a directory with --store");
        }
        return path;
    }
    cwd = getcwd(NULL, 0);
    path = *given ? path_clean(cwd ? cwd : "/", given) : NULL;
    /* With ".." it has to exist, so that the disk can say what it means. */
    if (!path && *given)
        path = realpath(given, NULL);
    if (!path)
        err_set(err, ERR_CONFIG_INVALID, "the image store '%s' cannot be found", given);
    return path;
}

/* A user who could write here would choose what others run; a store of another's is no one's own.
 */
static bool check_owner(const char *path, int fd, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open the image store '%s'", path);
    if (st.st_uid != geteuid()) {
        err_set(err, ERR_CONFIG_INVALID, "the image store '%s' belongs to user %u, not to user %u",
                path, st.st_uid, geteuid());
        return err_hint(err, "name a directory of your own with --store or STEPCELL_STORE");
    }
    if (st.st_mode & 022) {
        err_set(err, ERR_CONFIG_INVALID, "other users may write to the image store '%s'", path);
        return err_hint(err, "run: chmod 700 '%s'", path);
    }
    return true;
}

/* Whoever could put a link in its place, say, would choose what is written and removed. */
static bool take_part(int fd, const char *name, struct err *err)
{
    if (file_is_own_dir(fd, name))
        return true;
    if (errno == ENOENT && mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create '%s'", name);
    if (file_is_own_dir(fd, name))
        return true;
    err_set(err, ERR_CONFIG_INVALID, "its '%s' is no directory that belongs to user %u alone", name,
            geteuid());
    return err_hint(err, "see what it is; --store or STEPCELL_STORE names another store");
}

static bool write_once(int fd, const char *name, const char *text, struct err *err)
{
    if (faccessat(fd, name, F_OK, 0) == 0)
        return true;
    return file_replace(fd, name, text, strlen(text), 0600, ERR_CONFIG_INVALID, err);
}

/* oci-layout comes last: a store that has it is complete. */
static bool create_contents(int fd, struct err *err)
{
    static const char *const dirs[] = {
        "blobs", "blobs/sha256", "layers", "images", "references", "cells", "tmp", "locks",
    };

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        if (!take_part(fd, dirs[i], err))
            return false;
    }
    if (faccessat(fd, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return write_once(fd, "index.json", INDEX_FILE, err) &&
           write_once(fd, "oci-layout", STORE_LAYOUT_FILE, err);
}

bool store_open(const char *path, struct store *store, struct err *err)
{
    autofd fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *copy;

    if (fd < 0 && errno == ENOENT) {
        if (!file_make_dirs(path, 0700, ERR_CONFIG_INVALID, err))
            return err_hint(err, "name another directory with --store or STEPCELL_STORE");
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open the image store '%s'", path);
    if (!check_owner(path, fd, err))
        return false;
    if (!create_contents(fd, err))
        return err_context(err, "image store '%s'", path);
    copy = strdup(path);
    if (!copy)
        return no_memory(err);
    store->path = copy;
    store->fd = TAKE_FD(fd);
    return true;
}

void store_close(struct store *store)
{
    free(store->path);
    close_fd(store->fd);
    *store = STORE_INIT;
}

int store_open_lock(const struct store *store, const char *name, struct err *err)
{
    autofree char *path = text_printf("locks/%s", name);
    autofd fd = -1;

    if (path)
        fd = openat(store->fd, path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        err_errno(err, ERR_CONFIG_INVALID, "cannot open the lock '%s' of the image store", name);
    return TAKE_FD(fd);
}

/* ---- references ---- */

/* Everything but '/', '%' and control bytes may stand in a file name as it is. */
static bool encode(const char *text, struct buf *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = c > ' ' && c != '/' && c != '%' && c != 0x7f;

        if (!(plain ? buf_append(out, text, 1) : buf_printf(out, "%%%02X", c)))
            return false;
    }
    return true;
}

/*
 * Directories end in '+' and the file ends in ".json", so no component is "." or "..", and no
 * directory is in the way of a file.
 */
char *store_reference_path(const struct reference *reference)
{
    autobuf encoded = BUF_INIT(PATH_MAX), path = BUF_INIT(PATH_MAX / 2);
    const char *rest;

    if (!encode(reference->name, &encoded) ||
        !buf_printf(&path, "references/%s/", transport_names[reference->transport]))
        return NULL;
    for (rest = encoded.data; strlen(rest) > REFERENCE_PART_MAX; rest += REFERENCE_PART_MAX) {
        if (!buf_printf(&path, "%.*s+/", REFERENCE_PART_MAX, rest))
            return NULL;
    }
    return buf_printf(&path, "%s.json", rest) ? buf_take(&path) : NULL;
}

static int64_t timespec_ns(const struct timespec *time)
{
    return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}

bool store_fingerprint(const struct reference *reference, struct store_fingerprint *fingerprint,
                       struct err *err)
{
    bool layout = reference->transport == TRANSPORT_OCI;
    autofree char *path = text_printf("%s%s", reference->path, layout ? "/index.json" : "");
    struct stat st;

    if (!path)
        return no_memory(err);
    if (stat(path, &st) < 0)
        return err_errno(err, ERR_IMAGE_NOT_FOUND, "cannot find '%s'", path);
    *fingerprint = (struct store_fingerprint){
        .dev = st.st_dev,
        .ino = st.st_ino,
        .size = (uint64_t)st.st_size,
        .mtime_ns = timespec_ns(&st.st_mtim),
        .ctime_ns = timespec_ns(&st.st_ctim),
    };
    return true;
}

static bool has_number(const json_t *object, const char *key, int64_t value)
{
    const json_t *member = json_object_get(object, key);

    return json_is_integer(member) && json_integer_value(member) == value;
}

/* Whether a local source is still the file that the record was made from. */
static bool source_is_same(const struct reference *reference, const json_t *source)
{
    struct store_fingerprint now = {0};
    struct err err;

    return store_fingerprint(reference, &now, &err) &&
           has_number(source, "dev", (int64_t)now.dev) &&
           has_number(source, "ino", (int64_t)now.ino) &&
           has_number(source, "size", (int64_t)now.size) &&
           has_number(source, "mtime_ns", now.mtime_ns) &&
           has_number(source, "ctime_ns", now.ctime_ns);
}

/* A record that is missing, torn or of another schema is not there: the next pull writes it anew.
 */
static json_t *read_record(int dirfd, const char *path, const char *schema)
{
    struct err err;
    json_t *json = json_read_file(dirfd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, &err);
    const char *found = json_text(json, "schema");

    if (found && strcmp(found, schema) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static bool read_name(const struct store *store, const struct reference *reference,
                      const struct platform *platform, const char *path, struct image_name *name)
{
    autojson *record = read_record(store->fd, path, STORE_NAME_SCHEMA);
    const char *written = json_text(record, "reference");
    char text[PLATFORM_TEXT_MAX];
    const char *digest, *manifest_digest;
    const json_t *entry;

    if (!written || strcmp(written, reference->name) != 0)
        return false;
    if (reference->transport != TRANSPORT_REGISTRY &&
        !source_is_same(reference, json_object_get(record, "source")))
        return false;
    platform_text(platform, text);
    entry = json_object_get(json_object_get(record, "platforms"), text);
    digest = json_text(entry, "digest");
    manifest_digest = json_text(entry, "manifest_digest");
    if (!digest_is_valid(digest) || !digest_is_valid(manifest_digest))
        return false;
    name->reference = strdup(written);
    name->digest = strdup(digest);
    name->manifest_digest = strdup(manifest_digest);
    return true;
}

bool store_lookup(const struct store *store, const struct reference *reference,
                  const struct platform *platform, bool *found, struct image_name *name,
                  struct err *err)
{
    autofree char *path = store_reference_path(reference);
    autoname read = {0};

    if (!path)
        return err_set(err, ERR_OPTION_INVALID, "the reference '%s' is too long", reference->given);
    if (!read_name(store, reference, platform, path, &read)) {
        *found = false;
        return true;
    }
    if (!read.reference || !read.digest || !read.manifest_digest)
        return no_memory(err);
    *found = true;
    *name = read;
    read = (struct image_name){0};
    return true;
}

void image_name_release(struct image_name *name)
{
    free(name->reference);
    free(name->digest);
    free(name->manifest_digest);
    *name = (struct image_name){0};
}

/* ---- records ---- */

static bool take_text(const json_t *object, const char *key, char **out)
{
    const char *text = json_text(object, key);

    *out = text ? strdup(text) : NULL;
    return *out;
}

static bool take_list(const json_t *object, const char *key, struct strv *out)
{
    const json_t *list = json_object_get(object, key), *item;
    size_t i;

    if (!json_is_array(list))
        return false;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item) || !strv_add(out, json_string_value(item)))
            return false;
    }
    return true;
}

static bool take_platform(const json_t *record, struct platform *platform)
{
    const char *text = json_text(record, "platform");
    struct err err;

    return text && platform_parse(text, platform, &err);
}

static bool take_diff_ids(const json_t *record, struct strv *diff_ids)
{
    if (!take_list(record, "diff_ids", diff_ids) || diff_ids->count > IMAGE_LAYERS_MAX)
        return false;
    for (size_t i = 0; i < diff_ids->count; i++) {
        if (!digest_is_valid(diff_ids->items[i]))
            return false;
    }
    return true;
}

static bool take_record(const json_t *record, const char *manifest_digest, struct image *image)
{
    const json_t *history = json_object_get(record, "entrypoint_history");

    return take_text(record, "manifest_digest", &image->manifest_digest) &&
           strcmp(image->manifest_digest, manifest_digest) == 0 &&
           take_text(record, "config_digest", &image->config_digest) &&
           digest_is_valid(image->config_digest) && take_platform(record, &image->platform) &&
           take_list(record, "entrypoint", &image->entrypoint) &&
           (json_is_null(history) ||
            take_text(record, "entrypoint_history", &image->entrypoint_history)) &&
           take_list(record, "env", &image->env) && take_text(record, "user", &image->user) &&
           take_text(record, "workdir", &image->workdir) && take_diff_ids(record, &image->diff_ids);
}

static bool take_file(int dirfd, const char *name, char **out)
{
    autobuf buf = BUF_INIT(PASSWD_MAX);
    struct err err;

    if (!file_read(dirfd, name, &buf, ERR_IMAGE_CORRUPT, &err))
        return false;
    *out = buf_take(&buf);
    return *out;
}

bool store_accounts_digest(const struct image *image, char text[DIGEST_TEXT_MAX])
{
    autodigest *hash = digest_new();

    if (!hash)
        return false;
    digest_update(hash, image->passwd, strlen(image->passwd) + 1);
    digest_update(hash, image->group, strlen(image->group));
    digest_finish(hash, text);
    return true;
}

/* Nothing else knows what they should be, and they say which user a step is. */
static bool has_right_accounts(const json_t *record, const struct image *image)
{
    const char *written = json_text(record, "accounts_digest");
    char found[DIGEST_TEXT_MAX];

    return !written || (store_accounts_digest(image, found) && strcmp(found, written) == 0);
}

static bool read_image(int dirfd, const char *manifest_digest, struct image *image)
{
    autojson *record = NULL;
    struct stat st;

    image->lock = openat(dirfd, "image.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (image->lock < 0 || flock(image->lock, LOCK_SH | LOCK_NB) < 0)
        return false;
    /* Whoever removed it unlinked it before letting the lock go. */
    if (fstat(image->lock, &st) < 0 || st.st_nlink == 0)
        return false;
    record = read_record(dirfd, "image.json", STORE_IMAGE_SCHEMA);
    return record && take_record(record, manifest_digest, image) &&
           take_file(dirfd, "passwd", &image->passwd) && take_file(dirfd, "group", &image->group) &&
           has_right_accounts(record, image);
}

bool store_load_image(const struct store *store, const char *manifest_digest, bool *found,
                      struct image *image, struct err *err)
{
    autoimage read = IMAGE_INIT;
    autofree char *path = NULL;
    autofd dir = -1;

    if (!digest_is_valid(manifest_digest))
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' is not a digest", manifest_digest);
    path = text_printf("images/%s", digest_hex(manifest_digest));
    if (!path)
        return no_memory(err);
    dir = openat(store->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *found = dir >= 0 && read_image(dir, manifest_digest, &read);
    if (*found) {
        *image = read;
        read = IMAGE_INIT;
    }
    return true;
}

void image_release(struct image *image)
{
    free(image->manifest_digest);
    free(image->config_digest);
    strv_release(&image->entrypoint);
    free(image->entrypoint_history);
    strv_release(&image->env);
    free(image->user);
    free(image->workdir);
    strv_release(&image->diff_ids);
    free(image->passwd);
    free(image->group);
    close_fd(image->lock);
    *image = IMAGE_INIT;
}

void store_note_use(const struct image *image)
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

    (void)!futimens(image->lock, now);
}

/* ---- layers ---- */

char *store_layer_path(const char *map, const char *diff_id)
{
    return text_printf("layers/%s/%s", map, digest_hex(diff_id));
}

bool store_has_layers(const struct store *store, const char *map, const struct image *image)
{
    for (size_t i = 0; i < image->diff_ids.count; i++) {
        char path[LAYER_PATH_MAX];

        snprintf(path, sizeof(path), "layers/%s/%s", map, digest_hex(image->diff_ids.items[i]));
        if (faccessat(store->fd, path, F_OK, 0) < 0)
            return false;
    }
    return true;
}
