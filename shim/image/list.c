#include <string.h>

#include "base/clock.h"
#include "runtime/image/store_gc.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/image/progress.h"
#include "shim/print.h"
#include "shim/units.h"

static void use_text(time_t time, char text[CLOCK_TEXT_MAX])
{
    const struct timespec when = {.tv_sec = time};

    if (time)
        clock_text(&when, text);
    else
        strcpy(text, "-");
}

static json_t *name_json(const struct stored_name *name, const struct image_usage *usage)
{
    char platform[PLATFORM_TEXT_MAX], used[CLOCK_TEXT_MAX];

    platform_text(&name->platform, platform);
    use_text(usage->last_used, used);
    return json_pack("{s:o, s:s, s:s, s:s, s:I, s:o}", "reference",
                     json_bytes(name->reference, strlen(name->reference)), "platform", platform,
                     "digest", name->digest, "manifest_digest", name->manifest_digest, "size",
                     (json_int_t)usage->bytes, "last_used",
                     usage->last_used ? json_string(used) : json_null());
}

static void print_name(const struct stored_name *name, const struct image_usage *usage)
{
    autofree char *reference = command_escape(name->reference);
    char platform[PLATFORM_TEXT_MAX], used[CLOCK_TEXT_MAX], size[UNITS_MAX];

    platform_text(&name->platform, platform);
    use_text(usage->last_used, used);
    print_out("%s\t%s\t%s\t%s\t%s\n", reference ? reference : "", platform, name->manifest_digest,
              units_size(usage->bytes, size), used);
}

static bool list(const struct store *store, const struct stored_names *names, json_t *images,
                 struct err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        struct image_usage usage;

        if (!store_usage(store, &mapped_remover, names->items[i].manifest_digest, &usage, err))
            return false;
        if (images)
            json_array_append_new(images, name_json(&names->items[i], &usage));
        else
            print_name(&names->items[i], &usage);
    }
    return true;
}

int command_list(int argc, char **argv)
{
    const char *store_option = NULL;
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image list [OPTIONS]",
        .about =
            "Lists the images in the store: reference, platform, digest, size with all layers,\n"
            "last use.",
        .options = options,
    };
    autostore store = STORE_INIT;
    autojson *images = NULL;
    autonames names = {0};
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    images = json ? json_array() : NULL;
    if (!command_open_store(store_option, &store, &err) || !store_list(&store, &names, &err) ||
        !list(&store, &names, images, &err))
        return command_failed(&err);
    status = json ? command_print_json(
                        json_pack("{s:s, s:O}", "schema", "stepcell.images/1", "images", images))
                  : 0;
    /* What is not listed is said, behind all that is. */
    return stored_names_are_all(&names, &err) ? status : command_failed(&err);
}
