#include "runtime/image/check_subject.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "runtime/image/check_layer.h"
#include "runtime/image/image_config.h"
#include "runtime/image/source.h"
#include "runtime/image/store_write.h"

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot check an image");
}

/* ---- verified texts ---- */

static bool verify(const struct reference *reference, const struct buf *text, const char *digest,
                   struct err *err)
{
    char found[DIGEST_TEXT_MAX];

    digest_of(text->data ? text->data : "", text->len, found);
    return strcmp(found, digest) == 0 ||
           err_set(err, ERR_IMAGE_CORRUPT,
                   "'%s' is not what it should be: the source answers '%s' for '%s'",
                   reference->given, found, digest);
}

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    return buf_append(data, bytes, len) ||
           err_set(err, ERR_IMAGE_CORRUPT, "a configuration is larger than 4 MiB");
}

static bool read_config(struct source *source, const struct descriptor *config, struct buf *text,
                        struct err *err)
{
    const struct source_sink sink = {.write = take_bytes, .data = text};

    do {
        buf_release(text);
        if (source->ops->blob(source, config, &sink, err) &&
            verify(source->reference, text, config->digest, err))
            return true;
    } while (check_elsewhere(source, err));
    return false;
}

/* ---- from the reference to an image ---- */

/* What one platform is looked for in. */
struct search {
    struct source *source;
    struct check_facts *facts;
    struct check_image *image;
    bool corrupt; /* something that it is made of */
};

static bool keep_offers(struct check_facts *facts, const struct manifest *index, struct err *err)
{
    if (facts->is_index)
        return true;
    facts->offers = calloc(index->entry_count + 1, sizeof(*facts->offers));
    if (!facts->offers)
        return no_memory(err);
    for (size_t i = 0; i < index->entry_count; i++) {
        if (index->entries[i].has_platform)
            facts->offers[facts->offer_count++] = index->entries[i].platform;
    }
    facts->is_index = true;
    return true;
}

/* Goes on from an index to the manifest that serves the platform; `top` becomes that. */
static bool choose(struct search *search, const struct manifest *index, struct source_top *top,
                   struct err *err)
{
    struct source *source = search->source;
    const struct index_entry *entry;

    if (!keep_offers(search->facts, index, err))
        return false;
    entry = manifest_choose(index, &search->image->wanted, source->reference->given, err);
    if (!entry)
        return false;
    search->image->is_promised = entry->has_platform;
    search->image->promised = entry->platform;
    source_top_release(top);
    *top = SOURCE_TOP_INIT;
    top->media_type = strdup(entry->manifest.media_type);
    top->digest = strdup(entry->manifest.digest);
    if (!top->media_type || !top->digest)
        return no_memory(err);
    return source->ops->manifest(source, &entry->manifest, &top->text, err) &&
           verify(source->reference, &top->text, top->digest, err);
}

static bool find_manifest(struct search *search, struct source_top *top, struct err *err)
{
    const char *what = search->source->reference->given;

    for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
        automanifest manifest = {0};

        if (!manifest_parse(top->text.data, top->text.len, top->media_type, what, &manifest, err))
            return false;
        if (!manifest.is_index) {
            search->image->manifest = manifest;
            manifest = (struct manifest){0};
            search->image->manifest_digest = strdup(top->digest);
            return search->image->manifest_digest || no_memory(err);
        }
        if (!choose(search, &manifest, top, err))
            return false;
    }
    return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d", what,
                   INDEX_DEPTH_MAX);
}

/* Without an index the configuration says what it is for. */
static bool check_served(const struct search *search, struct err *err)
{
    const struct platform *wanted = &search->image->wanted;
    const struct platform *own = &search->image->config.image.platform;
    char wanted_text[PLATFORM_TEXT_MAX], own_text[PLATFORM_TEXT_MAX];

    if (search->image->is_promised || platform_rank(wanted, own) >= 0)
        return true;
    platform_text(wanted, wanted_text);
    platform_text(own, own_text);
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' has no image for %s: it is one for %s",
            search->source->reference->given, wanted_text, own_text);
    return err_hint(err, "choose an image that is built for %s", wanted_text);
}

static bool get_top(struct search *search, struct source_top *top, struct err *err)
{
    struct source *source = search->source;
    char found[DIGEST_TEXT_MAX];

    source->platform = &search->image->wanted;
    if (!source->ops->top(source, top, err))
        return false;
    if (top->digest && !verify(source->reference, &top->text, top->digest, err))
        return false;
    if (!top->digest) {
        digest_of(top->text.data ? top->text.data : "", top->text.len, found);
        top->digest = strdup(found);
    }
    if (top->digest && !search->facts->digest)
        search->facts->digest = strdup(top->digest);
    return (top->digest && search->facts->digest) || no_memory(err);
}

static bool find_image(struct search *search, struct err *err)
{
    struct check_image *image = search->image;
    autotop top = SOURCE_TOP_INIT;
    autobuf config = BUF_INIT(CONFIG_MAX);

    return get_top(search, &top, err) && find_manifest(search, &top, err) &&
           read_config(search->source, &image->manifest.config, &config, err) &&
           check_config_parse(config.data ? config.data : "", config.len,
                              search->source->reference->given, image->manifest.layer_count,
                              &image->config, err) &&
           check_served(search, err);
}

/* ---- layers ---- */

static bool read_layers(const struct check_subject *subject, struct search *search, struct err *err)
{
    struct check_image *image = search->image;
    size_t left = image->manifest.layer_count;

    image->tree = check_tree_new(err);
    if (!image->tree)
        return false;
    if (left == 0)
        check_tree_end(image->tree);
    while (left && check_needs_files(search->facts, image, subject->profile)) {
        left--;
        if (!check_layer_read(search->source, subject->map, &image->manifest.layers[left],
                              image->config.image.diff_ids.items[left], image->tree, err)) {
            search->corrupt = err->code == ERR_IMAGE_CORRUPT;
            err_context(err, "layer '%s'", image->manifest.layers[left].blob.digest);
            image->unreadable = strdup(err->message);
            return image->unreadable || no_memory(err);
        }
        image->layers_read++;
        if (left == 0)
            check_tree_end(image->tree);
        else
            check_tree_next_layer(image->tree);
    }
    return true;
}

/* ---- all of it ---- */

static bool set_texts(const struct err *why, char **message, char **hint, struct err *err)
{
    *message = strdup(why->message);
    *hint = *why->hint ? strdup(why->hint) : NULL;
    return (*message && (*hint || !*why->hint)) || no_memory(err);
}

/* What one platform lacks is a finding; everything else leaves nothing to be told. */
static bool collect_image(const struct check_subject *subject, struct search *search,
                          struct err *err)
{
    struct err why;

    if (find_image(search, &why))
        return strcmp(search->image->config.image.platform.os, "linux") != 0 ||
               read_layers(subject, search, err);
    search->corrupt = why.code == ERR_IMAGE_CORRUPT;
    if (why.code == ERR_IMAGE_PLATFORM)
        return set_texts(&why, &search->image->missing, &search->image->missing_hint, err);
    return search->facts->unreadable ||
           set_texts(&why, &search->facts->unreadable, &search->facts->unreadable_hint, err);
}

/* The store serves a registry's name when it has every platform of it. */
static bool is_stored(const struct check_subject *subject, struct check_facts *facts,
                      struct err *err)
{
    for (size_t i = 0; i < subject->platform_count; i++) {
        autoname name = {0};
        bool found;

        if (!store_lookup(subject->store, subject->reference, &subject->platforms[i], &found, &name,
                          err) ||
            !found)
            return false;
        if (!facts->digest)
            facts->digest = strdup(name.digest);
    }
    return true;
}

static struct source *open_source(const struct check_subject *subject, struct check_facts *facts,
                                  bool *stored, struct err *err)
{
    *stored = subject->store && is_stored(subject, facts, err);
    if (*stored)
        return store_source_open(subject->store, subject->reference, err);
    free(TAKE_PTR(facts->digest));
    if (!subject->only_store)
        return source_open(subject->reference, &subject->platforms[0], err);
    err_set(err, ERR_IMAGE_NOT_FOUND, "the image '%s' is not in the store",
            subject->reference->given);
    err_hint(err, "pull it first, or allow it with --pull missing");
    return NULL;
}

/* *damaged: the store has the image, and not as it should be. */
static bool collect(const struct check_subject *subject, struct check_facts *facts, bool *damaged,
                    struct err *err)
{
    struct err why;
    autosource *source = NULL;
    bool stored;

    facts->reference = subject->reference;
    facts->fail_on = subject->fail_on;
    facts->all_layers = subject->all_layers;
    facts->images = calloc(subject->platform_count, sizeof(*facts->images));
    if (!facts->images)
        return no_memory(err);
    source = open_source(subject, facts, &stored, &why);
    if (!source)
        return set_texts(&why, &facts->unreadable, &facts->unreadable_hint, err);
    for (size_t i = 0; i < subject->platform_count && !facts->unreadable; i++) {
        struct search search = {.source = source, .facts = facts, .image = &facts->images[i]};

        facts->images[i] =
            (struct check_image){.wanted = subject->platforms[i], .config = CHECK_CONFIG_INIT};
        facts->image_count = i + 1;
        if (!collect_image(subject, &search, err))
            return false;
        *damaged = *damaged || (stored && search.corrupt);
    }
    return true;
}

bool check_collect(const struct check_subject *subject, struct check_facts *facts, struct err *err)
{
    struct check_subject elsewhere = *subject;
    autofd lock = -1;
    bool damaged = false;

    /* Nothing of the store goes while it is looked at. */
    if (subject->store && (lock = store_lock(subject->store, "store", LOCK_SH, err)) < 0)
        return false;
    if (!collect(subject, facts, &damaged, err))
        return false;
    if (!damaged || subject->only_store)
        return true;
    elsewhere.store = NULL;
    check_facts_release(facts);
    return collect(&elsewhere, facts, &damaged, err);
}
