#include "runtime/image/check_subject.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "runtime/image/check_layer.h"
#include "runtime/image/descent.h"
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
    const char *top_digest; /* of what the reference names, while the image is looked for */
    bool corrupt;           /* something that it is made of */
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

/* Where no index says what it is for, the configuration does. */
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

static bool get_entry(void *data, const struct descriptor *manifest, struct buf *text,
                      struct err *err)
{
    struct source *source = ((const struct search *)data)->source;

    return source->ops->manifest(source, manifest, text, err) &&
           verify(source->reference, text, manifest->digest, err);
}

/* The offers are those of the uppermost. */
static bool note_index(void *data, const struct descent_place *place, struct err *err)
{
    return keep_offers(((const struct search *)data)->facts, place->manifest, err);
}

static bool read_image(struct search *search, struct err *err)
{
    struct check_image *image = search->image;
    autobuf config = BUF_INIT(CONFIG_MAX);

    return read_config(search->source, &image->manifest.config, &config, err) &&
           check_config_parse(config.data ? config.data : "", config.len,
                              search->source->reference->given, image->manifest.layer_count,
                              &image->config, err) &&
           check_served(search, err);
}

static bool take_image(void *data, const struct descent_place *place, struct platform *own,
                       struct err *err)
{
    struct search *search = data;
    struct check_image *image = search->image;
    const struct index_entry *entry = place->entry;

    image->is_promised = entry && entry->has_platform;
    if (image->is_promised)
        image->promised = entry->platform;
    image->manifest = *place->manifest;
    *place->manifest = (struct manifest){0};
    image->manifest_digest = strdup(entry ? entry->manifest.digest : search->top_digest);
    if (!image->manifest_digest)
        return no_memory(err);
    if (read_image(search, err))
        return true;
    *own = image->config.image.platform;
    free(TAKE_PTR(image->manifest_digest));
    manifest_release(&image->manifest);
    check_config_release(&image->config);
    return false;
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
    autotop top = SOURCE_TOP_INIT;
    const struct descent descent = {
        .what = search->source->reference->given,
        .wanted = &search->image->wanted,
        .get = get_entry,
        .index = note_index,
        .image = take_image,
        .data = search,
    };

    if (!get_top(search, &top, err))
        return false;
    search->top_digest = top.digest;
    return descend(&descent, &top.text, top.media_type, err);
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
