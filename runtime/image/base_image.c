#include "runtime/image/base_image.h"

#include <string.h>

/* An image, the base's image for its platform, and the answer about both. */
struct pair {
    const struct offer *image, *base;
    struct check_config own, below;
    char platform[PLATFORM_TEXT_MAX];
    struct base_answer *answer;
};

static void pair_release(struct pair *pair)
{
    check_config_release(&pair->own);
    check_config_release(&pair->below);
}

/* Labels name an image as its author did. */
static bool names(const char *label, const struct reference *base)
{
    autoreference reference = {0};
    struct err ignored;

    return label && reference_parse(label, "/", &reference, &ignored) &&
           strcmp(reference.name, base->name) == 0;
}

/* Whether the image is on the layers of what a digest stands for; false with an error, too. */
static bool was_on(const struct pair *pair, const char *digest, struct err *err)
{
    const struct reference *base = pair->base->reference;
    autofree char *name = text_printf("%s/%s@%s", base->host, base->path, digest);
    autocheckconfig old = CHECK_CONFIG_INIT;
    autoreference reference = {0};
    autooffer offer = {0};
    const struct index_image *variant;

    if (!name)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot compare images");
    if (!reference_parse(name, "/", &reference, err) || !offer_load(&reference, &offer, err))
        return false;
    variant = offer_find(&offer, &pair->own.image.platform);
    if (!variant || !offer_read(&offer, variant, &old, err))
        return variant ? false : err_set(err, ERR_NONE, "none for the platform");
    return image_is_on(&pair->own.image, &old.image) ||
           err_set(err, ERR_NONE, "it is on other layers");
}

/* The image is not on the layers of the base: it was, unless its label lies. */
static enum base_status look_at_past(const struct pair *pair)
{
    const char *given = pair->image->reference->given, *base = pair->base->reference->given,
               *digest = check_config_label(&pair->own, LABEL_BASE_DIGEST);
    struct base_answer *answer = pair->answer;
    struct err why = ERR_INIT;
    bool on_layers;

    if (!names(check_config_label(&pair->own, LABEL_BASE_NAME), pair->base->reference)) {
        err_set(&answer->err, ERR_NONE, "'%s' was built for %s on other layers than those of '%s'",
                given, pair->platform, base);
        return BASE_OTHER;
    }
    answer->labelled = true;
    if (!digest || !digest_is_valid(digest)) {
        err_set(&answer->err, ERR_IMAGE_NOT_FOUND,
                "'%s' says that it was built for %s on '%s', and not on which digest of it", given,
                pair->platform, base);
        err_hint(&answer->err, "build it again: 'stepcell image build' labels it with the digest");
        return BASE_UNKNOWN;
    }
    on_layers = was_on(pair, digest, &why);
    if (!on_layers && why.code != ERR_NONE) {
        answer->err = why;
        err_context(&answer->err, "'%s' says that it was built for %s on '%s@%s'", given,
                    pair->platform, base, digest);
        return BASE_UNKNOWN;
    }
    if (!on_layers) {
        err_set(&answer->err, ERR_NONE,
                "'%s' says that it was built for %s on '%s', and is on other layers", given,
                pair->platform, base);
        return BASE_OTHER;
    }
    strcpy(answer->was_on, digest);
    err_set(&answer->err, ERR_NONE, "'%s' was built for %s on '%s', which has other layers now",
            given, pair->platform, base);
    return BASE_MOVED;
}

static bool read_pair(struct pair *pair, const struct index_image *own,
                      const struct index_image *below, struct err *err)
{
    platform_text(&own->platform, pair->platform);
    if (!offer_read(pair->image, own, &pair->own, err) ||
        !offer_read(pair->base, below, &pair->below, err))
        return false;
    return pair->below.image.diff_ids.count > 0 ||
           err_set(err, ERR_IMAGE_CORRUPT, "'%s' has no layers, by which it could be told",
                   pair->base->reference->given);
}

static enum base_status look_at_pair(const struct offer *image, const struct index_image *own,
                                     const struct offer *base, const struct index_image *below,
                                     struct base_answer *answer)
{
    CLEANUP(pair_release)
    struct pair pair = {.image = image,
                        .base = base,
                        .own = CHECK_CONFIG_INIT,
                        .below = CHECK_CONFIG_INIT,
                        .answer = answer};
    const char *label;

    if (!read_pair(&pair, own, below, &answer->err))
        return BASE_UNKNOWN;
    if (!image_is_on(&pair.own.image, &pair.below.image))
        return look_at_past(&pair);
    label = check_config_label(&pair.own, LABEL_BASE_NAME);
    answer->labelled = answer->labelled || names(label, base->reference);
    err_set(&answer->err, ERR_NONE, "'%s' is built on '%s'", image->reference->given,
            base->reference->given);
    return BASE_SAME;
}

void base_answer_release(struct base_answer *answer)
{
    strv_release(&answer->missing);
}

/* Same is what both have alone. */
static void tell_missing(const struct offer *image, const struct reference *reference,
                         struct base_answer *answer)
{
    autobuf list = BUF_INIT(ERR_MESSAGE_MAX);

    for (size_t i = 0; i < answer->missing.count; i++) {
        if (!buf_printf(&list, "%s%s", i ? ", " : "", answer->missing.items[i]))
            break;
    }
    err_set(&answer->err, ERR_NONE, "'%s' is built on '%s', which has no image for %s",
            image->reference->given, reference->given, list.data ? list.data : "others");
}

static bool note_missing(struct base_answer *answer, const struct index_image *own)
{
    char platform[PLATFORM_TEXT_MAX];

    platform_text(&own->platform, platform);
    return strv_add(&answer->missing, platform);
}

void base_look(const struct offer *image, const struct reference *reference,
               struct base_answer *answer)
{
    autooffer base = {0};
    size_t pairs = 0;

    *answer = (struct base_answer){.status = BASE_UNKNOWN};
    if (!offer_load(reference, &base, &answer->err))
        return;
    strcpy(answer->digest, base.top.digest);
    for (size_t i = 0; i < image->gather.images.count; i++) {
        const struct index_image *own = &image->gather.images.items[i],
                                 *below = offer_find(&base, &own->platform);

        if (!below) {
            if (!note_missing(answer, own)) {
                answer->status = BASE_UNKNOWN;
                err_errno(&answer->err, ERR_ENGINE_FAILED, "cannot compare images");
                return;
            }
        } else if (pairs++ == 0 || answer->status == BASE_SAME) {
            answer->status = look_at_pair(image, own, &base, below, answer);
        }
    }
    if (answer->status == BASE_SAME && answer->missing.count > 0)
        tell_missing(image, reference, answer);
    if (pairs > 0)
        return;
    err_set(&answer->err, ERR_IMAGE_PLATFORM, "'%s' and '%s' have no platform in common",
            image->reference->given, reference->given);
    err_hint(&answer->err, "name a base that has an image for the same platform");
}

bool base_label(const struct offer *image, char **name, struct err *err)
{
    *name = NULL;
    for (size_t i = 0; i < image->gather.images.count && !*name; i++) {
        autocheckconfig config = CHECK_CONFIG_INIT;
        const char *label;

        if (!offer_read(image, &image->gather.images.items[i], &config, err))
            return false;
        label = check_config_label(&config, LABEL_BASE_NAME);
        *name = label ? strdup(label) : NULL;
        if (label && !*name)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot look for a base");
    }
    return true;
}
