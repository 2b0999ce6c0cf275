#include "runtime/image/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/image/descent.h"
#include "runtime/image/image_config.h"
#include "runtime/image/store_verify_names.h"

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot fetch an image");
}

void fetch_release(struct fetch *fetch)
{
    image_name_release(&fetch->name);
    manifest_release(&fetch->manifest);
    image_release(&fetch->image);
    cleanup_source(&fetch->source);
    strv_release(&fetch->warnings);
    strv_release(&fetch->indexes);
    close_fd(fetch->lock);
    *fetch = FETCH_INIT;
}

/* What the store knows the image by. */
static const struct reference *stored_as(const struct fetch *fetch)
{
    return fetch->name_as ? fetch->name_as : fetch->reference;
}

/* ---- the source ---- */

static void hand_on_warning(void *data, const char *host, const char *text)
{
    struct fetch *fetch = data;

    if (!fetch->progress.warning || fetch->warnings.count == FETCH_WARNINGS ||
        strv_contains(&fetch->warnings, text) || !strv_add(&fetch->warnings, text))
        return;
    fetch->progress.warning(fetch->progress.data, host, text);
}

bool fetch_source(struct fetch *fetch, struct err *err)
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
    if (!fetch->source)
        return false;
    fetch->source->warn = hand_on_warning;
    fetch->source->warn_data = fetch;
    return true;
}

bool fetch_elsewhere(struct fetch *fetch, const struct err *err)
{
    return err->code == ERR_IMAGE_CORRUPT && fetch->source && fetch->source->ops->elsewhere &&
           fetch->source->ops->elsewhere(fetch->source);
}

static bool config_write(void *data, const void *bytes, size_t len, struct err *err)
{
    return blob_write(data, bytes, len, err);
}

static bool fetch_config_once(struct fetch *fetch, struct err *err)
{
    autoblobwriter writer = BLOB_WRITER_INIT;
    const struct source_sink sink = {.write = config_write, .data = &writer};
    bool present;

    if (!blob_begin(fetch->store, &fetch->manifest.config, &writer, &present, err))
        return false;
    if (present)
        return true;
    return fetch_source(fetch, err) &&
           fetch->source->ops->blob(fetch->source, &fetch->manifest.config, &sink, err) &&
           blob_commit(&writer, err);
}

/*
 * What runs depends on it, and it is small: it is hashed every time. A source has a limited number
 * of places, and none is asked again.
 */
static bool fetch_config(struct fetch *fetch, struct err *err)
{
    store_drop_damaged(fetch->store, fetch->manifest.config.digest);
    while (!fetch_config_once(fetch, err)) {
        if (!fetch_elsewhere(fetch, err))
            return false;
    }
    return true;
}

/* ---- resolving ---- */

static bool check_text(const struct fetch *fetch, const struct buf *text, const char *digest,
                       const uint64_t *size, char found[DIGEST_TEXT_MAX], struct err *err)
{
    digest_of(text->data, text->len, found);
    if ((!digest || strcmp(found, digest) == 0) && (!size || text->len == *size))
        return true;
    if (size && text->len != *size)
        return err_set(
            err, ERR_IMAGE_CORRUPT,
            "'%s' is not what it should be: '%s' has %zu bytes, where %llu are announced",
            fetch->reference->given, found, text->len, (unsigned long long)*size);
    return err_set(err, ERR_IMAGE_CORRUPT,
                   "'%s' is not what it should be: the source answers '%s' for '%s'",
                   fetch->reference->given, found, digest ? digest : "");
}

/* What the configuration says, once the manifest is known. */
static bool read_config(struct fetch *fetch, struct image *image, struct err *err)
{
    autobuf text = BUF_INIT(CONFIG_MAX);

    return fetch_config(fetch, err) &&
           store_read_blob(fetch->store, fetch->manifest.config.digest, &text, err) &&
           image_config_parse(text.data, text.len, fetch->reference->given,
                              fetch->manifest.layer_count, image, err);
}

/* And what the image is. */
static bool load_config(struct fetch *fetch, struct err *err)
{
    autoimage image = IMAGE_INIT;

    if (!read_config(fetch, &image, err))
        return false;
    image.manifest_digest = strdup(fetch->name.manifest_digest);
    image.config_digest = strdup(fetch->manifest.config.digest);
    if (!image.manifest_digest || !image.config_digest)
        return no_memory(err);
    fetch->image = image;
    image = IMAGE_INIT;
    return true;
}

/* An index may say one thing of an image and its configuration another: what runs is what counts.
 */
static bool check_platform(const struct fetch *fetch, const struct platform *own, struct err *err)
{
    char wanted[PLATFORM_TEXT_MAX], found[PLATFORM_TEXT_MAX];

    if (platform_rank(fetch->platform, own) >= 0)
        return true;
    /* Builders often leave the variant out of the configuration; the index decided on it. */
    if (strcmp(own->os, fetch->platform->os) == 0 && strcmp(own->arch, fetch->platform->arch) == 0)
        return true;
    platform_text(fetch->platform, wanted);
    platform_text(own, found);
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' has no image for %s: it is one for %s",
            fetch->reference->given, wanted, found);
    return err_hint(err, "choose an image that is built for %s", wanted);
}

/* What the store says the reference stands for, or the caller. */
static bool look_up_name(struct fetch *fetch, struct err *err)
{
    if (!store_lookup(fetch->store, stored_as(fetch), fetch->platform, &fetch->has_name,
                      &fetch->name, err))
        return false;
    if (fetch->has_name || !digest_is_valid(fetch->known_manifest) || !fetch->reference->digest)
        return true;
    fetch->has_name = true;
    fetch->name = (struct image_name){
        .reference = strdup(stored_as(fetch)->name),
        .digest = strdup(fetch->reference->digest),
        .manifest_digest = strdup(fetch->known_manifest),
    };
    return (fetch->name.reference && fetch->name.digest && fetch->name.manifest_digest) ||
           no_memory(err);
}

/*
 * Loads the manifest that the store's name leads to; a name that leads to another digest than
 * `wanted`, if any, or to nothing, is none. What is damaged counts as missing.
 */
static void take_manifest(struct fetch *fetch, const char *wanted)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    char digest[DIGEST_TEXT_MAX];
    struct err ignored;

    if (fetch->has_name && (!wanted || strcmp(fetch->name.digest, wanted) == 0) &&
        store_read_blob(fetch->store, fetch->name.manifest_digest, &text, &ignored) &&
        check_text(fetch, &text, fetch->name.manifest_digest, NULL, digest, &ignored) &&
        manifest_parse(text.data, text.len, NULL, fetch->reference->given, &fetch->manifest,
                       &ignored) &&
        !fetch->manifest.is_index)
        return;
    fetch->has_name = false;
    image_name_release(&fetch->name);
    manifest_release(&fetch->manifest);
}

static bool resolve_in_store(struct fetch *fetch, struct err *err)
{
    if (!look_up_name(fetch, err))
        return false;
    take_manifest(fetch, NULL);
    return true;
}

/* Out of the store where it is there: then a pull of what has not changed asks one question. */
static bool get_manifest(struct fetch *fetch, const struct descriptor *manifest, struct buf *text,
                         char digest[DIGEST_TEXT_MAX], struct err *err)
{
    struct err ignored;

    if (store_has_blob(fetch->store, manifest) &&
        store_read_blob(fetch->store, manifest->digest, text, &ignored) &&
        check_text(fetch, text, manifest->digest, &manifest->size, digest, &ignored))
        return true;
    buf_release(text);
    return fetch->source->ops->manifest(fetch->source, manifest, text, err) &&
           check_text(fetch, text, manifest->digest, &manifest->size, digest, err);
}

/* From the top down; `top` and `digest` become the manifest's. */
struct way {
    struct fetch *fetch;
    struct source_top *top;
    char *digest;
};

static bool get_entry(void *data, const struct descriptor *manifest, struct buf *text,
                      struct err *err)
{
    const struct way *way = data;
    char digest[DIGEST_TEXT_MAX];

    return get_manifest(way->fetch, manifest, text, digest, err);
}

/* The uppermost first. */
static bool note_indexes(struct fetch *fetch, const struct descent_place *index)
{
    return !index ||
           (note_indexes(fetch, index->above) && strv_add(&fetch->indexes, index->text->data));
}

/* Where no index says what an image in it is for, its configuration has to before it is taken. */
static bool is_for_platform(struct fetch *fetch, struct platform *own, struct err *err)
{
    autoimage image = IMAGE_INIT;

    if (!read_config(fetch, &image, err))
        return false;
    *own = image.platform;
    return check_platform(fetch, own, err);
}

static bool take_image(void *data, const struct descent_place *place, struct platform *own,
                       struct err *err)
{
    const struct way *way = data;
    struct fetch *fetch = way->fetch;

    fetch->manifest = *place->manifest;
    *place->manifest = (struct manifest){0};
    if (!place->entry)
        return true;
    if (!place->entry->has_platform && !is_for_platform(fetch, own, err)) {
        manifest_release(&fetch->manifest);
        return false;
    }
    if (!note_indexes(fetch, place->above))
        return no_memory(err);
    memcpy(way->digest, place->entry->manifest.digest, DIGEST_TEXT_MAX);
    buf_release(&way->top->text);
    way->top->text = *place->text;
    *place->text = BUF_INIT(MANIFEST_MAX);
    return true;
}

static bool find_manifest(struct fetch *fetch, struct source_top *top, char digest[DIGEST_TEXT_MAX],
                          struct err *err)
{
    struct way way = {fetch, top, digest};
    const struct descent descent = {
        .what = fetch->reference->given,
        .wanted = fetch->platform,
        .get = get_entry,
        .image = take_image,
        .data = &way,
    };

    return descend(&descent, &top->text, top->media_type, err);
}

/* Whether the store knows what the name leads to: then nobody has to be asked on the way there, and
 * nothing has to be written. A damaged name is written anew. */
static bool resolve_known(struct fetch *fetch, const char *top_digest, struct err *err)
{
    if (!store_lookup(fetch->store, stored_as(fetch), fetch->platform, &fetch->has_name,
                      &fetch->name, err))
        return false;
    fetch->has_name = fetch->has_name && store_has_right_name(fetch->store, stored_as(fetch));
    take_manifest(fetch, top_digest);
    return true;
}

static bool resolve_at_source(struct fetch *fetch, struct err *err)
{
    autotop top = SOURCE_TOP_INIT;
    char top_digest[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];

    if (!fetch_source(fetch, err) || !fetch->source->ops->top(fetch->source, &top, err) ||
        !check_text(fetch, &top.text, top.digest, NULL, top_digest, err) ||
        !resolve_known(fetch, top_digest, err))
        return false;
    if (fetch->has_name)
        return true;
    memcpy(digest, top_digest, sizeof(digest));
    if (!find_manifest(fetch, &top, digest, err) ||
        !store_put_blob(fetch->store, digest, top.text.data, top.text.len, err))
        return false;
    fetch->name = (struct image_name){
        .reference = strdup(stored_as(fetch)->name),
        .digest = strdup(top_digest),
        .manifest_digest = strdup(digest),
    };
    return (fetch->name.reference && fetch->name.digest && fetch->name.manifest_digest) ||
           no_memory(err);
}

/*
 * A record knows passwd and group already, and its lock keeps the image from being removed. One
 * that says something else than the configuration is written anew in the end.
 */
static bool load_record(struct fetch *fetch, struct err *err)
{
    autoimage image = IMAGE_INIT;
    bool found;

    if (!store_load_image(fetch->store, fetch->name.manifest_digest, &found, &image, err))
        return false;
    fetch->has_record = found && store_same_image(&image, &fetch->image);
    if (fetch->has_record) {
        image_release(&fetch->image);
        fetch->image = image;
        image = IMAGE_INIT;
    }
    return true;
}

static bool resolve(struct fetch *fetch, struct err *err)
{
    if (fetch->lock < 0)
        fetch->lock = store_open_lock(fetch->store, "store", err);
    if (fetch->lock < 0 || !store_lock_opened(fetch->lock, "store", LOCK_SH, err) ||
        !store_sweep(fetch->store, fetch->remover, NULL, err))
        return false;
    if (fetch->policy != FETCH_ALWAYS && !resolve_in_store(fetch, err))
        return false;
    if (!fetch->has_name && !resolve_at_source(fetch, err))
        return false;
    return load_config(fetch, err) && check_platform(fetch, &fetch->image.platform, err) &&
           load_record(fetch, err);
}

bool fetch_resolve(struct fetch *fetch, struct err *err)
{
    struct fetch_phase_time *phase = &fetch->phases[FETCH_PHASE_RESOLVE];
    int64_t start = clock_now();
    bool ok;

    clock_gettime(CLOCK_REALTIME, &phase->start);
    ok = resolve(fetch, err);
    phase->ns = clock_now() - start;
    return ok;
}

/* The store keeps no indexes: that of an image which was there is asked for again, by digest. */
bool fetch_indexes(struct fetch *fetch, struct err *err)
{
    const struct descriptor index = {.digest = fetch->name.digest};
    autotop top = SOURCE_TOP_INIT;
    char digest[DIGEST_TEXT_MAX];

    if (fetch->indexes.count || strcmp(index.digest, fetch->name.manifest_digest) == 0)
        return true;
    if (!fetch_source(fetch, err) ||
        !fetch->source->ops->manifest(fetch->source, &index, &top.text, err) ||
        !check_text(fetch, &top.text, index.digest, NULL, digest, err))
        return false;
    manifest_release(&fetch->manifest);
    if (!find_manifest(fetch, &top, digest, err))
        return false;
    return strcmp(digest, fetch->name.manifest_digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "'%s' leads to another image than the one in the store",
                   fetch->reference->given);
}

/* ---- the record ---- */

bool fetch_finish(struct fetch *fetch, struct err *err)
{
    const struct store_fingerprint *fingerprint =
        fetch->has_fingerprint && !fetch->name_as ? &fetch->fingerprint : NULL;

    if (fetch->progress.end)
        fetch->progress.end(fetch->progress.data);
    if (fetch->has_record)
        store_note_use(&fetch->image);
    else if (!store_save_image(fetch->store, &fetch->image, err))
        return false;
    if (fetch->has_name)
        return true;
    store_mend_name(fetch->store, stored_as(fetch));
    /* The name last: where it is known, the rest is there. */
    return store_save_index(fetch->store, stored_as(fetch)->name, fetch->name.manifest_digest,
                            &fetch->image.platform, err) &&
           store_save_name(fetch->store, stored_as(fetch), fetch->platform, &fetch->name,
                           fingerprint, err);
}
