#include <string.h>

#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/print.h"

static const char help_text[] = "Usage: stepcell image list [OPTIONS]\n\n"
                                "Lists the images in the store.\n\n"
                                "  --json       as JSON\n"
                                "  --store DIR  the image store\n";

static json_t *names_json(const struct stored_names *names)
{
    json_t *images = json_array();

    for (size_t i = 0; i < names->count; i++) {
        const struct stored_name *name = &names->items[i];
        char platform[PLATFORM_TEXT_MAX];

        platform_text(&name->platform, platform);
        json_array_append_new(images,
                              json_pack("{s:o, s:s, s:s, s:s}", "reference",
                                        json_bytes(name->reference, strlen(name->reference)),
                                        "platform", platform, "digest", name->digest,
                                        "manifest_digest", name->manifest_digest));
    }
    return json_pack("{s:s, s:o}", "schema", "stepcell.images/1", "images", images);
}

static void print_names(const struct stored_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct stored_name *name = &names->items[i];
        autofree char *reference = command_escape(name->reference);
        char platform[PLATFORM_TEXT_MAX];

        platform_text(&name->platform, platform);
        print_out("%s\t%s\t%s\n", reference ? reference : "", platform, name->manifest_digest);
    }
}

int command_list(int argc, char **argv)
{
    const char *store_option = NULL;
    bool help = false, json = false;
    const struct option_spec options[] = {
        {"--store", NULL, &store_option, NULL},
        {"--json", NULL, NULL, &json},
        {NULL, NULL, NULL, NULL},
    };
    autostore store = STORE_INIT;
    autonames names = {0};
    struct err err;
    size_t words;

    if (!options_read(argc, argv, options, &help, &words, &err))
        return command_failed(&err);
    if (help) {
        print_out("%s", help_text);
        return 0;
    }
    if (words) {
        err_set(&err, ERR_OPTION_INVALID, "'%s' is too much: 'list' takes options only", argv[0]);
        return command_failed(&err);
    }
    if (!command_open_store(store_option, &store, &err) || !store_list(&store, &names, &err))
        return command_failed(&err);
    if (json)
        return command_print_json(names_json(&names));
    print_names(&names);
    return 0;
}
