#include <inttypes.h>
#include <string.h>

#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/print.h"

/* What is known of the image. */
struct facts {
    struct image_name name;
    struct image image;
    struct manifest manifest;
};

static void facts_release(struct facts *facts)
{
    image_name_release(&facts->name);
    image_release(&facts->image);
    manifest_release(&facts->manifest);
}

static bool load(const struct store *store, const struct reference *reference,
                 const struct platform *platform, struct facts *facts, struct err *err)
{
    autobuf text = BUF_INIT(MANIFEST_MAX);
    bool found;

    if (!store_lookup(store, reference, platform, &found, &facts->name, err))
        return false;
    if (found && !store_load_image(store, facts->name.manifest_digest, &found, &facts->image, err))
        return false;
    if (!found) {
        err_set(err, ERR_IMAGE_NOT_FOUND, "there is no image '%s' in the store", reference->given);
        return err_hint(err, "run: stepcell image pull %s", reference->given);
    }
    return store_read_blob(store, facts->name.manifest_digest, &text, err) &&
           manifest_parse(text.data, text.len, NULL, reference->given, &facts->manifest, err);
}

static json_t *text_json(const char *text)
{
    return json_bytes(text, strlen(text));
}

static json_t *list_json(const struct strv *strv)
{
    json_t *list = json_array();

    for (size_t i = 0; i < strv->count; i++)
        json_array_append_new(list, text_json(strv->items[i]));
    return list;
}

/* null, [] and [""] are none. */
static bool has_entrypoint(const struct strv *entrypoint)
{
    return entrypoint->count > 1 || (entrypoint->count == 1 && entrypoint->items[0][0]);
}

static json_t *layers_json(const struct facts *facts)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < facts->manifest.layer_count && i < facts->image.diff_ids.count; i++) {
        const struct descriptor *blob = &facts->manifest.layers[i].blob;

        json_array_append_new(layers, json_pack("{s:s, s:o, s:I, s:s}", "digest", blob->digest,
                                                "media_type", text_json(blob->media_type), "size",
                                                (json_int_t)blob->size, "diff_id",
                                                facts->image.diff_ids.items[i]));
    }
    return layers;
}

static json_t *facts_json(const struct facts *facts)
{
    const struct image *image = &facts->image;
    const char *history = image->entrypoint_history;
    char platform[PLATFORM_TEXT_MAX];

    platform_text(&image->platform, platform);
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:{s:s, s:o, s:o}, s:o, s:o, s:o, s:o}",
                     "schema", "stepcell.image/1", "reference", text_json(facts->name.reference),
                     "digest", facts->name.digest, "manifest_digest", image->manifest_digest,
                     "config_digest", image->config_digest, "platform", platform, "entrypoint",
                     "verdict", has_entrypoint(&image->entrypoint) ? "refused" : "none", "value",
                     list_json(&image->entrypoint), "history",
                     history ? text_json(history) : json_null(), "user", text_json(image->user),
                     "workdir", text_json(image->workdir), "env", list_json(&image->env), "layers",
                     layers_json(facts));
}

/* Values of an image are shown as JSON: in one line, with nothing in them that drives a terminal.
 */
static void print_value(const char *name, json_t *value)
{
    autofree char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    autofree char *text = json ? print_json_text(json) : NULL;

    json_decref(value);
    print_out("%-16s %s\n", name, text ? text : "");
}

static void print_facts(const struct facts *facts)
{
    const struct image *image = &facts->image;
    char platform[PLATFORM_TEXT_MAX];

    platform_text(&image->platform, platform);
    print_value("reference", text_json(facts->name.reference));
    print_out("%-16s %s\n", "digest", facts->name.digest);
    print_out("%-16s %s\n", "manifest digest", image->manifest_digest);
    print_out("%-16s %s\n", "platform", platform);
    if (has_entrypoint(&image->entrypoint))
        print_value("entrypoint", list_json(&image->entrypoint));
    else
        print_out("%-16s none\n", "entrypoint");
    if (image->entrypoint_history)
        print_value("  set by", text_json(image->entrypoint_history));
    print_value("user", text_json(image->user));
    print_value("workdir", text_json(image->workdir));
    for (size_t i = 0; i < image->env.count; i++)
        print_value(i ? "" : "env", text_json(image->env.items[i]));
    for (size_t i = 0; i < facts->manifest.layer_count; i++)
        print_out("%-16s %s %12" PRIu64 "\n", i ? "" : "layers",
                  facts->manifest.layers[i].blob.digest, facts->manifest.layers[i].blob.size);
}

int command_inspect(int argc, char **argv)
{
    const char *store_option = NULL, *platform_option = NULL;
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--platform", "OS/ARCH[/VARIANT]", &platform_option, "default this machine's"),
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image inspect [OPTIONS] REFERENCE",
        .about = "Shows an image of the store.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    CLEANUP(facts_release) struct facts facts = {.image = IMAGE_INIT};
    autostore store = STORE_INIT;
    autoreference reference = {0};
    struct platform platform;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!command_parse_reference(argv[0], &reference, &err) ||
        !command_parse_platform(platform_option, &platform, &err) ||
        !command_open_store(store_option, &store, &err) ||
        !load(&store, &reference, &platform, &facts, &err))
        return command_failed(&err);
    if (json)
        return command_print_json(facts_json(&facts));
    print_facts(&facts);
    return 0;
}
