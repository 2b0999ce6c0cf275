#include "runtime/image/descent.h"

struct walk {
    const struct descent *descent;
    struct buf offers; /* of what was refused */
    size_t manifests;  /* that were asked for */
};

static bool visit(struct walk *walk, const struct descent_place *above,
                  const struct index_entry *entry, struct buf *text, const char *media_type,
                  struct err *err);

static bool follow(struct walk *walk, const struct descent_place *index,
                   const struct index_entry *entry, struct err *err)
{
    const struct descent *descent = walk->descent;
    autobuf text = BUF_INIT(MANIFEST_MAX);

    if (walk->manifests++ == DESCENT_MANIFESTS_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the indexes of '%s' lead to more than %d manifests without a platform",
                       descent->what, DESCENT_MANIFESTS_MAX);
    return descent->get(descent->data, &entry->manifest, &text, err) &&
           visit(walk, index, entry, &text, entry->manifest.media_type, err);
}

static bool visit_index(struct walk *walk, const struct descent_place *place, struct err *err)
{
    const struct descent *descent = walk->descent;
    const struct index_entry *entry;

    if (place->depth == INDEX_DEPTH_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT, "the indexes of '%s' are nested deeper than %d",
                       descent->what, INDEX_DEPTH_MAX);
    if (descent->index && !descent->index(descent->data, place, err))
        return false;
    entry = manifest_choose(place->manifest, descent->wanted, descent->what, err);
    if (entry && entry->has_platform)
        return follow(walk, place, entry, err);
    if (!entry && err->code != ERR_IMAGE_PLATFORM)
        return false;
    offers_add_index(&walk->offers, place->manifest);
    for (; entry; entry = manifest_choose_next(place->manifest, entry)) {
        if (follow(walk, place, entry, err))
            return true;
        if (err->code != ERR_IMAGE_PLATFORM)
            return false;
    }
    return offers_refuse(&walk->offers, descent->wanted, descent->what, err);
}

static bool visit(struct walk *walk, const struct descent_place *above,
                  const struct index_entry *entry, struct buf *text, const char *media_type,
                  struct err *err)
{
    const struct descent *descent = walk->descent;
    automanifest manifest = {0};
    const struct descent_place place = {above, entry, above ? above->depth + 1 : 0, &manifest,
                                        text};
    struct platform own = {0};

    if (!manifest_parse(text->data, text->len, media_type, descent->what, &manifest, err))
        return false;
    if (manifest.is_index)
        return visit_index(walk, &place, err);
    if (descent->image(descent->data, &place, &own, err))
        return true;
    if (err->code == ERR_IMAGE_PLATFORM)
        offers_add(&walk->offers, &own);
    return false;
}

bool descend(const struct descent *descent, struct buf *text, const char *media_type,
             struct err *err)
{
    struct walk walk = {.descent = descent, .offers = BUF_INIT(OFFERS_MAX)};
    bool ok = visit(&walk, NULL, NULL, text, media_type, err);

    buf_release(&walk.offers);
    return ok;
}
