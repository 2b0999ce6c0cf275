/* `stepcell manifest`: one tag for several platforms, and what is behind such a tag. */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "runtime/image/copy.h"
#include "runtime/image/gather.h"
#include "shim/image/command.h"
#include "shim/image/target.h"
#include "shim/print.h"

static json_t *texts_json(const char *joined)
{
    json_t *list = json_array();

    for (const char *p = joined; *p; p += strspn(p, "+")) {
        size_t len = strcspn(p, "+");

        json_array_append_new(list, json_stringn(p, len));
        p += len;
    }
    return list;
}

static json_t *attestations_json(const struct index_images *images, const char *digest)
{
    json_t *list = json_array();

    for (size_t i = 0; i < images->count; i++) {
        const struct index_image *other = &images->items[i];

        if (other->attests && strcmp(other->attests, digest) == 0)
            json_array_append_new(list, json_string(other->manifest.digest));
    }
    return list;
}

static json_t *image_json(const struct index_images *images, const struct index_image *image)
{
    const struct platform *platform = &image->platform;
    const char *source = image->source->reference->given;
    char text[INDEX_PLATFORM_TEXT_MAX];

    index_image_text(image, text);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:o, s:o}", "platform", text,
                     "os", platform->os, "architecture", platform->arch, "variant",
                     platform->variant, "os_version", platform->os_version, "os_features",
                     texts_json(image->features), "digest", image->manifest.digest, "media_type",
                     image->manifest.media_type, "size", (json_int_t)image->manifest.size,
                     "attestations", attestations_json(images, image->manifest.digest), "source",
                     json_bytes(source, strlen(source)));
}

static json_t *images_json(const struct index_images *images)
{
    json_t *list = json_array();

    for (size_t i = 0; i < images->count; i++) {
        if (!images->items[i].attests)
            json_array_append_new(list, image_json(images, &images->items[i]));
    }
    return list;
}

/* What is right as it is, and may not be what was meant. */
static void print_notes(const struct gather *gather)
{
    for (size_t i = 0; i < gather->images.count; i++) {
        const struct index_image *image = &gather->images.items[i];

        if (index_image_lacks_version(image))
            print_note(PRINT_NORMAL,
                       "the Windows image of '%s' names no os.version: every Windows host takes it",
                       image->source->reference->given);
    }
    for (size_t i = 0; i < gather->warnings.count; i++)
        print_note(PRINT_NORMAL, "%s", gather->warnings.items[i]);
    if (gather->left_out)
        print_note(PRINT_NORMAL, "entries that are no images, left out: %zu", gather->left_out);
}

/* ---- create ---- */

struct create {
    const char *expected; /* or NULL */
    struct target target;
    struct reference *sources;
    size_t source_count;
    struct gather gather;
    struct push push;
};

static void create_release(struct create *create)
{
    push_close(&create->push);
    gather_release(&create->gather);
    for (size_t i = 0; i < create->source_count; i++)
        reference_release(&create->sources[i]);
    free(create->sources);
    target_release(&create->target);
}

static bool gather_sources(struct create *create, char **words, size_t count, struct err *err)
{
    struct gather *gather = &create->gather;

    create->sources = calloc(count, sizeof(*create->sources));
    if (!create->sources)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make an index");
    for (size_t i = 0; i < count; i++) {
        if (!command_parse_reference(words[i], &create->sources[i], err))
            return false;
        create->source_count++;
        if (!gather_add(gather, &create->sources[i], NULL, err))
            return false;
    }
    gather_finish(gather);
    if (gather->images.count == 0)
        return err_set(err, ERR_IMAGE_PLATFORM, "'%s' names no image", words[0]);
    return index_check_unique(&gather->images, err) &&
           (!create->expected || index_check_expected(&gather->images, create->expected,
                                                      create->target.reference.given, err));
}

static bool copy_images(void *data, struct push *push, struct err *err)
{
    const struct index_images *images = &((struct create *)data)->gather.images;

    for (size_t i = 0; i < images->count; i++) {
        if (!copy_manifest(push, images->items[i].source, &images->items[i].manifest, err))
            return false;
    }
    return true;
}

static int print_created(const struct create *create, const struct publication *publication,
                         bool json)
{
    json_t *object;

    if (!json) {
        print_out("%s %s\n", publication->digest, target_status(&create->target));
        return 0;
    }
    object = target_json("stepcell.manifest/1", &create->target, publication, &create->push);
    if (object)
        json_object_set_new(object, "manifests", images_json(&create->gather.images));
    return command_print_json(object);
}

static bool create_index(struct create *create, bool json, int *status, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    char digest[DIGEST_TEXT_MAX];
    struct publication publication = {.text = &text,
                                      .digest = digest,
                                      .tags = &create->target.tags,
                                      .contents = copy_images,
                                      .data = create};
    autofree char *made = NULL;

    print_notes(&create->gather);
    index_sort(&create->gather.images);
    made = index_make(&create->gather.images, &publication.media_type);
    if (!made || !buf_append_text(&text, made))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make an index");
    digest_of(text.data, text.len, digest);
    if (!push_open(&create->push, &create->target.reference, err) ||
        !publish(&create->push, &publication, &create->target.pushed, err))
        return false;
    *status = print_created(create, &publication, json);
    return true;
}

static int command_create(int argc, char **argv)
{
    CLEANUP(create_release) struct create create = {0};
    autostrv tags = {0};
    bool json = false;
    const struct option_spec options[] = {
        OPTION("--expect", "PLATFORM,...", &create.expected,
               "the platforms that there have to be, and no others"),
        FLAG("--json", &json, "as JSON"),
        OPTION_LIST("--tag", "TAG", &tags, "a further tag in the same repository; repeatable"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell manifest create [OPTIONS] TARGET SOURCE...",
        .about =
            "Makes one tag for several platforms out of the images that SOURCEs name, and pushes\n"
            "it. A SOURCE is a reference of one image or of an index, in any registry, or\n"
            "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF]. Prints the digest,\n"
            "and 'pushed' or 'unchanged'.",
        .missing = "a target and a source are needed",
        .words_min = 2,
        .words_max = SIZE_MAX,
        .options = options,
    };
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!target_parse(argv[0], &tags, &create.target, &err) ||
        !gather_sources(&create, argv + 1, words - 1, &err) ||
        !create_index(&create, json, &status, &err))
        return command_failed(&err);
    return status;
}

/* ---- inspect ---- */

static int print_inspected(const struct gather *gather, const struct reference *reference,
                           const struct gather_top *top, bool json)
{
    const struct index_images *images = &gather->images;

    if (json)
        return command_print_json(
            json_pack("{s:s, s:o, s:s, s:s, s:I, s:o}", "schema", "stepcell.manifest/1",
                      "reference", json_bytes(reference->name, strlen(reference->name)), "digest",
                      top->digest, "media_type", top->media_type, "size", (json_int_t)top->size,
                      "manifests", images_json(images)));
    print_out("%s %s\n", top->digest, top->media_type);
    for (size_t i = 0; i < images->count; i++) {
        const struct index_image *image = &images->items[i];
        char text[INDEX_PLATFORM_TEXT_MAX];

        index_image_text(image, text);
        if (image->attests)
            print_out("%-32s %s of %s\n", "attestation", image->manifest.digest, image->attests);
        else
            print_out("%-32s %s\n", text, image->manifest.digest);
    }
    return 0;
}

static int command_manifest_inspect(int argc, char **argv)
{
    autogather gather = {0};
    autoreference reference = {0};
    struct gather_top top;
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell manifest inspect [OPTIONS] REFERENCE",
        .about = "Shows what a tag stands for, and the platform of every image behind it, as the\n"
                 "image's own configuration has it. Nothing is stored.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!command_parse_reference(argv[0], &reference, &err) ||
        !gather_add(&gather, &reference, &top, &err))
        return command_failed(&err);
    gather_finish(&gather);
    print_notes(&gather);
    return print_inspected(&gather, &reference, &top, json);
}

static const struct subcommand commands[] = {
    {"create", command_create, false, "make one tag for several platforms, and push it"},
    {"inspect", command_manifest_inspect, false, "show what a tag stands for on every platform"},
    {0},
};

static const struct command_group group = {
    .name = "manifest",
    .about = "Makes tags that stand for an image on every platform.",
    .commands = commands,
};

int command_manifest(int argc, char **argv)
{
    int status;
    const struct subcommand *command = command_group_choose(&group, argv[0], &status);

    return command ? command->run(argc - 1, argv + 1) : status;
}
