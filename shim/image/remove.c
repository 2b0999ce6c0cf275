#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/print.h"

static const char help_text[] =
    "Usage: stepcell image remove [OPTIONS] REFERENCE...\n\n"
    "Removes references from the store, and what nothing else in it needs.\n\n"
    "  --store DIR  the image store\n";

static bool remove_one(const struct store *store, const char *text, struct err *err)
{
    autoreference reference = {0};

    return command_parse_reference(text, &reference, err) &&
           store_remove(store, &reference, &mapped_remover, err);
}

int command_remove(int argc, char **argv)
{
    const char *store_option = NULL;
    bool help = false;
    const struct option_spec options[] = {
        {"--store", NULL, &store_option, NULL},
        {NULL, NULL, NULL, NULL},
    };
    autostore store = STORE_INIT;
    struct err err;
    int status = 0;
    size_t words;

    if (!options_read(argc, argv, options, &help, &words, &err))
        return command_failed(&err);
    if (help) {
        print_out("%s", help_text);
        return 0;
    }
    if (!words) {
        err_set(&err, ERR_OPTION_INVALID, "an image reference is needed");
        return command_failed(&err);
    }
    if (!command_open_store(store_option, &store, &err))
        return command_failed(&err);
    for (size_t i = 0; i < words; i++) {
        if (!remove_one(&store, argv[i], &err))
            status = command_failed(&err);
    }
    return status;
}
