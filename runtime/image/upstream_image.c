/* What is behind a tag: its platforms, its Windows, its base. */
#include <string.h>

#include "runtime/image/offer.h"
#include "runtime/image/upstream.h"

/* ---- platforms ---- */

/* A build that is wanted is one, whatever its revision. */
static bool has_platform(const struct offer *image, const struct platform *wanted)
{
    for (size_t i = 0; i < image->gather.images.count; i++) {
        const struct platform *offered = &image->gather.images.items[i].platform;

        if (platform_same_processor(offered, wanted) &&
            (!*wanted->os_version || platform_same_build(offered, wanted)))
            return true;
    }
    return false;
}

static bool look_at_platforms(const struct upstream *upstream, const struct offer *image,
                              struct upstream_answer *answer)
{
    char text[PLATFORM_TEXT_MAX];

    for (size_t i = 0; i < upstream->platform_count; i++) {
        if (has_platform(image, &upstream->platforms[i]))
            continue;
        platform_text(&upstream->platforms[i], text);
        answer->reason = UPSTREAM_PLATFORM_MISSING;
        return err_set(&answer->err, ERR_NONE, "'%s' has no image for %s", answer->tag, text);
    }
    return true;
}

/* ---- bases ---- */

/* Whether the image is of the base's Windows, and on its layers. */
static bool look_at_pair(const struct offer *image, const struct index_image *own,
                         const struct offer *base, const struct index_image *below,
                         struct upstream_answer *answer)
{
    autocheckconfig whole = CHECK_CONFIG_INIT, start = CHECK_CONFIG_INIT;
    char text[PLATFORM_TEXT_MAX], other[PLATFORM_TEXT_MAX];

    platform_text(&own->platform, text);
    platform_text(&below->platform, other);
    if (platform_is_older(&own->platform, &below->platform)) {
        answer->reason = UPSTREAM_WINDOWS_BEHIND;
        return err_set(&answer->err, ERR_NONE, "'%s' is for %s, and its base '%s' for %s",
                       answer->tag, text, base->reference->given, other);
    }
    answer->reason = UPSTREAM_BASE_FAILED;
    if (!offer_read(base, below, &start, &answer->err))
        return false;
    answer->reason = UPSTREAM_REGISTRY_FAILED;
    if (!offer_read(image, own, &whole, &answer->err))
        return false;
    answer->reason = UPSTREAM_BASE_CHANGED;
    return image_is_on(&whole.image, &start.image) ||
           err_set(&answer->err, ERR_NONE,
                   "'%s' was built for %s on other layers than those of '%s'", answer->tag, text,
                   base->reference->given);
}

/* Notes in has_base which of the image's platforms the base has. */
static bool look_at_base(const struct offer *image, const struct reference *reference,
                         bool *has_base, struct upstream_answer *answer)
{
    autooffer base = {0};
    size_t pairs = 0;

    answer->reason = UPSTREAM_BASE_FAILED;
    if (!offer_load(reference, &base, &answer->err))
        return false;
    for (size_t i = 0; i < image->gather.images.count; i++) {
        const struct index_image *own = &image->gather.images.items[i],
                                 *below = offer_find(&base, &own->platform);

        if (!below)
            continue;
        pairs++;
        has_base[i] = true;
        if (!look_at_pair(image, own, &base, below, answer))
            return false;
    }
    if (pairs > 0)
        return true;
    answer->reason = UPSTREAM_BASE_FAILED;
    err_set(&answer->err, ERR_IMAGE_PLATFORM, "'%s' and its base '%s' have no platform in common",
            answer->tag, reference->given);
    return err_hint(&answer->err, "check --base");
}

/* What no base has an image for may be on anything. */
static void note_baseless(const struct offer *image, const bool *has_base,
                          struct upstream_answer *answer)
{
    autobuf list = BUF_INIT(ERR_MESSAGE_MAX);
    char text[PLATFORM_TEXT_MAX];

    for (size_t i = 0; i < image->gather.images.count; i++) {
        if (has_base[i])
            continue;
        platform_text(&image->gather.images.items[i].platform, text);
        if (!strv_add(&answer->baseless, text)) {
            answer->reason = UPSTREAM_BASE_FAILED;
            err_errno(&answer->err, ERR_ENGINE_FAILED, "cannot compare images");
            return;
        }
        (void)!buf_printf(&list, "%s%s", list.len ? ", " : "", text);
    }
    if (list.len)
        err_set(&answer->err, ERR_NONE,
                "there is '%s' already; nothing is known for %s, which no base has", answer->tag,
                list.data);
}

static void look_at_bases(const struct upstream *upstream, const struct offer *image,
                          struct upstream_answer *answer)
{
    autofree bool *has_base = calloc(image->gather.images.count, sizeof(bool));

    if (!has_base) {
        err_errno(&answer->err, ERR_ENGINE_FAILED, "cannot compare images");
        return;
    }
    for (size_t i = 0; i < upstream->base_count; i++) {
        if (!look_at_base(image, &upstream->bases[i], has_base, answer))
            return;
    }
    answer->reason = UPSTREAM_UP_TO_DATE;
    err_set(&answer->err, ERR_NONE, "there is '%s' already", answer->tag);
    if (upstream->base_count > 0)
        note_baseless(image, has_base, answer);
}

/* ---- the tag ---- */

/* Only a registry that does not list a tag either says that it is not there. */
static void look_at_missing(struct upstream_answer *answer)
{
    if (!answer->is_listed) {
        answer->reason = UPSTREAM_NEW_VERSION;
        err_set(&answer->err, ERR_NONE, "there is no '%s'", answer->tag);
        return;
    }
    err_set(&answer->err, ERR_IMAGE_NOT_FOUND, "the registry lists the tag '%s', and has none",
            answer->tag);
    err_hint(&answer->err, "push the image again, or delete the tag");
}

/* What a manifest or an index names has to be there, or nobody can pull it. */
static bool load_tag(const struct reference *reference, struct offer *image,
                     struct upstream_answer *answer)
{
    struct err *err = &answer->err;

    answer->reason = UPSTREAM_REGISTRY_FAILED;
    image->gather.whole = true;
    if (offer_load(reference, image, err))
        return true;
    if (err->code == ERR_IMAGE_NOT_FOUND && !*image->top.digest) {
        look_at_missing(answer);
    } else if (err->code == ERR_IMAGE_NOT_FOUND) {
        answer->reason = UPSTREAM_PLATFORM_MISSING;
        err_set(err, ERR_NONE, "'%s' is not whole: the registry lacks what it names", answer->tag);
    } else if (err->code == ERR_IMAGE_PLATFORM) {
        answer->reason = UPSTREAM_PLATFORM_MISSING;
        err->code = ERR_NONE;
        err_context(err, "'%s' is not whole", answer->tag);
    }
    return false;
}

void upstream_look(const struct upstream *upstream, struct upstream_answer *answer)
{
    autofree char *name = text_printf("%s:%s", upstream->image, answer->tag);
    autoreference reference = {0};
    autooffer image = {0};

    answer->reason = UPSTREAM_REGISTRY_FAILED;
    if (!name) {
        err_errno(&answer->err, ERR_ENGINE_FAILED, "cannot compare images");
        return;
    }
    if (!reference_parse(name, "/", &reference, &answer->err) ||
        !load_tag(&reference, &image, answer) || !look_at_platforms(upstream, &image, answer))
        return;
    look_at_bases(upstream, &image, answer);
}
