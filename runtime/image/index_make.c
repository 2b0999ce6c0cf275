#include "runtime/image/index_make.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX     1024 /* bytes of a list of platforms in a message */
#define FEATURES_MAX 16   /* of one image */

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot make an index");
}

void index_image_release(struct index_image *image)
{
    descriptor_release(&image->manifest);
    free(image->attests);
    json_decref(image->written);
    json_decref(image->annotations);
}

void index_images_release(struct index_images *images)
{
    for (size_t i = 0; i < images->count; i++)
        index_image_release(&images->items[i]);
    free(images->items);
    *images = (struct index_images){0};
}

/* ---- platforms ---- */

static const struct {
    const char *key;
    size_t place; /* in struct platform */
} parts[] = {
    {"architecture", offsetof(struct platform, arch)},
    {"os", offsetof(struct platform, os)},
    {"os.version", offsetof(struct platform, os_version)},
    {"variant", offsetof(struct platform, variant)},
};

static char *part_of(struct platform *platform, size_t i)
{
    return (char *)platform + parts[i].place;
}

/* The parts as they are spelt there; absent ones are "". */
static bool take_parts(const json_t *json, const char *what, struct platform *platform,
                       struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const json_t *value = json_object_get(json, parts[i].key);

        if (!value || json_is_null(value))
            continue;
        if (!json_is_string(value) ||
            !platform_take_part(json_string_value(value), json_string_length(value),
                                part_of(platform, i)))
            return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has a platform whose '%s' is not valid",
                           what, parts[i].key);
    }
    return true;
}

static void fill(struct platform *platform, struct platform other)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (!*part_of(platform, i))
            memcpy(part_of(platform, i), part_of(&other, i), PLATFORM_PART_MAX);
    }
}

/* What is not said contradicts nothing; a version does not, since builds move on. */
static bool check_agreement(const struct platform *own, const struct platform *declared,
                            const char *what, struct err *err)
{
    struct platform one = *own, two = *declared;
    char one_text[PLATFORM_TEXT_MAX], two_text[PLATFORM_TEXT_MAX];

    fill(&one, *declared);
    fill(&two, *own);
    platform_normalise(&one);
    platform_normalise(&two);
    if (strcmp(one.os, two.os) == 0 && strcmp(one.arch, two.arch) == 0 &&
        strcmp(one.variant, two.variant) == 0)
        return true;
    one.os_version[0] = two.os_version[0] = '\0';
    platform_text(&one, one_text);
    platform_text(&two, two_text);
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' has an image for %s that its index calls one for %s",
            what, one_text, two_text);
    return err_hint(err,
                    "build the image for the platform that its index names, and push it again");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Into image->features and the list that is written. */
static bool take_features(const json_t *json, const char *what, struct index_image *image,
                          struct err *err)
{
    const json_t *list = json_object_get(json, "os.features"), *item;
    const char *texts[FEATURES_MAX];
    autobuf joined = BUF_INIT(INDEX_FEATURES_MAX - 1);
    char part[PLATFORM_PART_MAX];
    json_t *written;
    size_t i, count = 0;
    bool valid = json_is_array(list) && json_array_size(list) <= FEATURES_MAX;

    if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
        return true;
    json_array_foreach (list, i, item) {
        valid = valid && json_is_string(item) && json_string_length(item) > 0 &&
                platform_take_part(json_string_value(item), json_string_length(item), part);
        if (valid)
            texts[count++] = json_string_value(item);
    }
    if (!valid)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "'%s' has a platform whose 'os.features' is not valid", what);
    qsort(texts, count, sizeof(*texts), compare_texts);
    written = json_array();
    for (i = 0; i < count; i++) {
        json_array_append_new(written, json_string(texts[i]));
        if (!buf_printf(&joined, "%s%s", i ? "+" : "", texts[i]))
            valid = false;
    }
    if (json_object_set_new(image->written, "os.features", written) < 0)
        return no_memory(err);
    if (!valid)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has too many 'os.features'", what);
    memcpy(image->features, joined.data, joined.len + 1);
    return true;
}

bool index_image_describe(const char *config, size_t len, const json_t *declared, const char *what,
                          struct index_image *image, struct err *err)
{
    autojson *json = json_parse(config, len, what, ERR_IMAGE_CORRUPT, err);
    struct platform own = {0}, said = {0};

    if (!json || !take_parts(json, what, &own, err) || !take_parts(declared, what, &said, err) ||
        !check_agreement(&own, &said, what, err))
        return false;
    fill(&own, said);
    if (!own.os[0] || !own.arch[0])
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the configuration of '%s' names no system and architecture", what);
    image->written = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (*part_of(&own, i) &&
            json_object_set_new(image->written, parts[i].key, json_string(part_of(&own, i))) < 0)
            return no_memory(err);
    }
    image->platform = own;
    platform_normalise(&image->platform);
    return image->written ? take_features(json_object_get(json, "os.features") ? json : declared,
                                          what, image, err)
                          : no_memory(err);
}

void index_image_text(const struct index_image *image, char text[INDEX_PLATFORM_TEXT_MAX])
{
    char platform[PLATFORM_TEXT_MAX];

    platform_text(&image->platform, platform);
    snprintf(text, INDEX_PLATFORM_TEXT_MAX, "%s%s%s", platform, image->features[0] ? "+" : "",
             image->features);
}

bool index_image_lacks_version(const struct index_image *image)
{
    return !image->attests && strcmp(image->platform.os, "windows") == 0 &&
           !image->platform.os_version[0];
}

/* ---- do they fit together ---- */

/* What hosts choose by: a version only of Windows. */
static void choice_text(const struct index_image *image, char text[INDEX_PLATFORM_TEXT_MAX])
{
    struct index_image chosen = *image;

    if (strcmp(chosen.platform.os, "windows") != 0)
        chosen.platform.os_version[0] = '\0';
    index_image_text(&chosen, text);
}

static bool is_same_platform(const struct index_image *a, const struct index_image *b)
{
    char one[INDEX_PLATFORM_TEXT_MAX], two[INDEX_PLATFORM_TEXT_MAX];

    choice_text(a, one);
    choice_text(b, two);
    return strcmp(one, two) == 0;
}

bool index_check_unique(const struct index_images *images, struct err *err)
{
    for (size_t i = 0; i < images->count; i++) {
        const struct index_image *one = &images->items[i];

        for (size_t k = 0; k < i && !one->attests; k++) {
            const struct index_image *two = &images->items[k];
            char text[INDEX_PLATFORM_TEXT_MAX];

            if (two->attests || !is_same_platform(one, two))
                continue;
            index_image_text(one, text);
            if (one->source == two->source)
                err_set(err, ERR_IMAGE_PLATFORM, "'%s' has two images for %s",
                        one->source->reference->given, text);
            else
                err_set(err, ERR_IMAGE_PLATFORM, "'%s' and '%s' both have an image for %s",
                        two->source->reference->given, one->source->reference->given, text);
            return err_hint(err, "name one source for each platform");
        }
    }
    return true;
}

/* 10.0.20348 holds for 10.0.20348.2227, and not for 10.0.203489. */
static bool is_version_of(const char *expected, const char *version)
{
    size_t len = strlen(expected);

    return strncmp(expected, version, len) == 0 &&
           (len == 0 || version[len] == '\0' || version[len] == '.');
}

static bool is_expected(const struct platform *expected, const struct index_image *image)
{
    return !image->attests && strcmp(expected->os, image->platform.os) == 0 &&
           strcmp(expected->arch, image->platform.arch) == 0 &&
           strcmp(expected->variant, image->platform.variant) == 0 &&
           is_version_of(expected->os_version, image->platform.os_version);
}

/* A list that is too long is cut: buf_printf then adds nothing. */
static void add_to_list(struct buf *list, const char *text)
{
    buf_printf(list, "%s%s", list->len ? ", " : "", text);
}

/* Marks the images that are for one of the expected platforms; `missing` has those of none. */
static bool mark_expected(const struct index_images *images, const char *expected, bool *marks,
                          struct buf *missing, struct err *err)
{
    for (const char *p = expected;;) {
        autofree char *text = strndup(p, strcspn(p, ","));
        struct platform platform;
        bool found = false;

        if (!text)
            return no_memory(err);
        if (!platform_parse(text, &platform, err))
            return false;
        for (size_t i = 0; i < images->count; i++) {
            if (is_expected(&platform, &images->items[i]))
                marks[i] = found = true;
        }
        if (!found)
            add_to_list(missing, text);
        p += strcspn(p, ",");
        if (!*p++)
            return true;
    }
}

bool index_check_expected(const struct index_images *images, const char *expected, const char *what,
                          struct err *err)
{
    autofree bool *marks = calloc(images->count + 1, sizeof(*marks));
    autobuf missing = BUF_INIT(LIST_MAX), surplus = BUF_INIT(LIST_MAX);

    if (!marks)
        return no_memory(err);
    if (!mark_expected(images, expected, marks, &missing, err))
        return false;
    for (size_t i = 0; i < images->count; i++) {
        char text[INDEX_PLATFORM_TEXT_MAX];

        index_image_text(&images->items[i], text);
        if (!marks[i] && !images->items[i].attests)
            add_to_list(&surplus, text);
    }
    if (!missing.len && !surplus.len)
        return true;
    err_set(err, ERR_IMAGE_PLATFORM, "'%s' would have %s%s%s%s%s", what,
            missing.len ? "no image for " : "", missing.len ? missing.data : "",
            missing.len && surplus.len ? ", and " : "",
            surplus.len ? "one that is not expected for " : "", surplus.len ? surplus.data : "");
    return err_hint(err, "nothing was pushed: correct the sources, or --expect");
}

/* ---- the text ---- */

static int compare(const void *a, const void *b)
{
    const struct index_image *one = a, *two = b;
    const struct platform *p = &one->platform, *q = &two->platform;
    int order;

    if (!one->attests != !two->attests)
        return one->attests ? 1 : -1;
    if (one->attests && (order = strcmp(one->attests, two->attests)))
        return order;
    if ((order = (strcmp(p->os, "linux") != 0) - (strcmp(q->os, "linux") != 0)) ||
        (order = strcmp(p->os, q->os)) || (order = strcmp(p->arch, q->arch)) ||
        (order = strcmp(p->variant, q->variant)) ||
        (order = strverscmp(q->os_version, p->os_version)) ||
        (order = strcmp(one->features, two->features)))
        return order;
    return strcmp(one->manifest.digest, two->manifest.digest);
}

void index_sort(struct index_images *images)
{
    if (images->count)
        qsort(images->items, images->count, sizeof(*images->items), compare);
}

/* Docker's list is for docker's manifests only, and knows no annotations. */
static bool is_dockers(const struct index_images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        const struct index_image *image = &images->items[i];

        if (image->annotations || strcmp(image->manifest.media_type, MEDIA_DOCKER_MANIFEST) != 0)
            return false;
    }
    return true;
}

static json_t *entry_of(const struct index_image *image)
{
    json_t *entry = json_pack("{s:s, s:s, s:I, s:O}", "mediaType", image->manifest.media_type,
                              "digest", image->manifest.digest, "size",
                              (json_int_t)image->manifest.size, "platform", image->written);

    if (image->annotations)
        json_object_set(entry, "annotations", image->annotations);
    return entry;
}

char *index_make(const struct index_images *images, const char **media_type)
{
    json_t *entries = json_array();
    autojson *index = NULL;
    bool ok = entries;

    *media_type = is_dockers(images) ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX;
    for (size_t i = 0; i < images->count; i++)
        ok = ok && json_array_append_new(entries, entry_of(&images->items[i])) == 0;
    index = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", *media_type, "manifests",
                      entries);
    return ok && index ? json_dump_line(index) : NULL;
}
