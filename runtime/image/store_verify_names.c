#include "runtime/image/store_verify_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "runtime/image/image_config.h"
#include "runtime/image/store_needs.h"

struct name_check {
    const struct store *store;
    struct store_check *check;
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot verify the image store");
}

static void report(struct store_check *check, const char *part, const char *name, const char *what,
                   enum finding_remedy remedy)
{
    const struct finding finding = {part, name, what, remedy};

    check->findings++;
    check->found(check->data, &finding);
}

/* ---- oci-layout ---- */

static bool verify_layout(struct name_check *names, struct err *err)
{
    static const char name[] = "oci-layout", text[] = STORE_LAYOUT_FILE;
    autobuf found = BUF_INIT(RECORD_MAX);
    struct err ignored;

    if (file_read(names->store->fd, name, &found, ERR_IMAGE_CORRUPT, &ignored) && found.data &&
        strcmp(found.data, text) == 0)
        return true;
    report(names->check, "layout", name, "it is not what was written", REMEDY_DONE);
    return file_replace(names->store->fd, name, text, strlen(text), 0600, ERR_CONFIG_INVALID, err);
}

/* ---- entries of index.json ---- */

/* What index.json should say of a manifest in the store; NULL when that cannot be told. */
static json_t *expected_entry(const struct store *store, const char *name, const char *digest)
{
    autobuf text = BUF_INIT(MANIFEST_MAX), config = BUF_INIT(CONFIG_MAX);
    automanifest manifest = {0};
    autoimage image = IMAGE_INIT;
    struct err ignored;

    if (!store_read_blob(store, digest, &text, &ignored) ||
        !manifest_parse(text.data, text.len, MEDIA_OCI_MANIFEST, digest, &manifest, &ignored) ||
        manifest.is_index || !store_read_blob(store, manifest.config.digest, &config, &ignored) ||
        !image_config_parse(config.data, config.len, digest, manifest.layer_count, &image,
                            &ignored))
        return NULL;
    return store_index_entry(name, digest, text.len, &image.platform);
}

static const char *name_of(const json_t *entry)
{
    return json_text(json_object_get(entry, "annotations"), ANNOTATION_REF_NAME);
}

static bool has_record(const struct store *store, const char *digest)
{
    autofree char *path = text_printf("images/%s", digest_hex(digest));

    return path && faccessat(store->fd, path, F_OK, 0) == 0;
}

/* An image that was found damaged is not the index's fault: the next pull brings it again. */
static bool is_sound(const struct store *store, const json_t *entry)
{
    const char *name = name_of(entry), *digest = json_text(entry, "digest");
    autojson *expected = NULL;

    if (!name || !digest_is_valid(digest))
        return false;
    expected = expected_entry(store, name, digest);
    return expected ? json_equal(expected, entry) : has_record(store, digest);
}

/* ---- references ---- */

/* The image of which this is the manifest, or its OCI form; of several, one that `text` names. */
struct owner {
    const struct store *store;
    const char *manifest;
    const struct buf *text;
    char digest[DIGEST_TEXT_MAX]; /* result, or "" */
};

static bool is_in(const struct buf *text, const char *digest)
{
    return text->len && memmem(text->data, text->len, digest, strlen(digest));
}

static bool find_owner(void *data, const char *dir, const char *hex, struct err *err)
{
    struct owner *owner = data;
    autofree char *digest = text_printf("sha256:%s", hex);
    autoneeds needs = {0};
    bool known;

    (void)dir;
    if (!digest)
        return no_memory(err);
    if (!digest_is_valid(digest))
        return true;
    if (!store_add_needs(owner->store, digest, &known, &needs, err))
        return false;
    if (strv_contains(&needs.blobs, owner->manifest) &&
        (!owner->digest[0] || is_in(owner->text, digest)))
        snprintf(owner->digest, sizeof(owner->digest), "%s", digest);
    return true;
}

static bool write_anew(const struct store *store, const struct reference *reference,
                       const char *manifest_digest, const struct buf *damaged, struct err *err)
{
    struct owner owner = {.store = store, .manifest = manifest_digest, .text = damaged};
    const struct image_name name = {
        .reference = reference->name,
        .digest = reference->digest ? reference->digest : owner.digest,
        .manifest_digest = owner.digest,
    };
    automanifest manifest = {0};
    autoimage image = IMAGE_INIT;

    return store_each(store, "images", find_owner, &owner, err) && owner.digest[0] &&
           store_read_image(store, owner.digest, &manifest, &image, err) &&
           store_save_name(store, reference, &image.platform, &name, NULL, err);
}

/*
 * index.json has the name and a manifest too, though not the index that a registry's tag may
 * stand for: the next pull tells that. Of other platforms, store_save_name takes what the damaged
 * text still has. A local source is there to be read again.
 */
static bool mend_reference(const struct store *store, const char *path)
{
    struct err ignored;
    autojson *index =
        json_read_file(store->fd, "index.json", RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored);
    autobuf damaged = BUF_INIT(RECORD_MAX);
    const json_t *entry;
    size_t i;

    (void)!file_read(store->fd, path, &damaged, ERR_IMAGE_CORRUPT, &ignored);
    json_array_foreach (json_object_get(index, "manifests"), i, entry) {
        const char *name = name_of(entry);
        autoreference reference = {0};
        autofree char *file = NULL;

        if (!name || !reference_parse(name, "/", &reference, &ignored) ||
            reference.transport != TRANSPORT_REGISTRY)
            continue;
        file = store_reference_path(&reference);
        if (file && strcmp(file, path) == 0)
            return is_sound(store, entry) &&
                   write_anew(store, &reference, json_text(entry, "digest"), &damaged, &ignored);
    }
    return false;
}

void store_mend_name(const struct store *store, const struct reference *reference)
{
    autofree char *path = store_reference_path(reference);

    if (path && faccessat(store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        !store_has_right_name(store, reference))
        (void)mend_reference(store, path);
}

static bool lacks_platforms(const struct store *store, const char *path, const json_t *damaged)
{
    struct err ignored;
    autojson *record = json_read_file(store->fd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored);

    return json_object_size(json_object_get(record, "platforms")) <
           json_object_size(json_object_get(damaged, "platforms"));
}

static bool verify_reference(void *data, const char *path, const char *name, struct err *err)
{
    struct name_check *names = data;
    struct err ignored;
    autojson *record =
        json_read_file(names->store->fd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored);
    bool mended;

    if (store_name_is_right(record))
        return true;
    mended = mend_reference(names->store, path);
    report(names->check, "reference", name, "it is not what was written",
           mended && !lacks_platforms(names->store, path, record) ? REMEDY_DONE : REMEDY_PULL);
    return mended || unlinkat(names->store->fd, path, 0) == 0 || errno == ENOENT ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", path);
}

/* ---- index.json ---- */

static bool names_it(const json_t *entries, const char *reference)
{
    const json_t *entry;
    size_t i;

    json_array_foreach (entries, i, entry) {
        const char *name = name_of(entry);

        if (name && strcmp(name, reference) == 0)
            return true;
    }
    return false;
}

/* Adds what the references name and the index does not. */
static bool complete(const struct store *store, const struct stored_names *names, json_t *entries)
{
    bool added = false;

    for (size_t i = 0; i < names->count; i++) {
        const struct stored_name *name = &names->items[i];
        char digest[DIGEST_TEXT_MAX];
        struct err ignored;
        json_t *entry;
        uint64_t size;

        if (names_it(entries, name->reference) ||
            !store_oci_manifest(store, name->manifest_digest, digest, &size, &ignored))
            continue;
        entry = expected_entry(store, name->reference, digest);
        if (entry && json_array_append_new(entries, entry) == 0)
            added = true;
    }
    return added;
}

/*
 * An entry that no reference stands behind is one of a pull that was killed: it goes, and is no
 * damage, unless its image is gone or another.
 */
static bool verify_index(struct name_check *names, struct err *err)
{
    const struct store *store = names->store;
    autofd lock = store_lock(store, "index", LOCK_EX, err);
    autojson *index = NULL, *frame = NULL, *kept = json_array();
    autonames stored = {0};
    const json_t *entry;
    struct err ignored;
    bool damaged;
    size_t i;

    if (lock < 0 || !store_list(store, &stored, err))
        return false;
    index = json_read_file(store->fd, "index.json", RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored);
    /* An empty one may do without the type. */
    frame = json_pack("{s:i, s:s*, s:O?}", "schemaVersion", 2, "mediaType",
                      json_object_get(index, "mediaType") ? MEDIA_OCI_INDEX : NULL, "manifests",
                      json_object_get(index, "manifests"));
    if (!kept || !frame)
        return no_memory(err);
    damaged = !json_is_array(json_object_get(index, "manifests")) || !json_equal(index, frame);
    json_array_foreach (json_object_get(index, "manifests"), i, entry) {
        if (is_sound(store, entry))
            json_array_append(kept, (json_t *)entry);
        else
            damaged = damaged || !stored_names_have(&stored, name_of(entry));
    }
    damaged = complete(store, &stored, kept) || damaged;
    if (!damaged)
        return true;
    report(names->check, "layout", "index.json", "it does not name what the store has",
           REMEDY_DONE);
    return store_write_index(store, TAKE_PTR(kept), err);
}

bool store_verify_names(const struct store *store, struct store_check *check, struct err *err)
{
    struct name_check names = {store, check};

    return store_each_reference(store, verify_reference, &names, err) &&
           verify_layout(&names, err) && verify_index(&names, err) && store_prune_index(store, err);
}
