#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/print.h"

static bool remove_one(const struct store *store, const char *text, struct err *err)
{
    autoreference reference = {0};

    return command_parse_reference(text, &reference, err) &&
           store_remove(store, &reference, &mapped_remover, err);
}

int command_remove(int argc, char **argv)
{
    const char *store_option = NULL;
    const struct option_spec options[] = {
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image remove [OPTIONS] REFERENCE...",
        .about = "Removes references from the store, and what nothing else in it needs.",
        .missing = "an image reference is needed",
        .words_min = 1,
        .words_max = SIZE_MAX,
        .options = options,
    };
    autostore store = STORE_INIT;
    struct err err;
    int status;
    size_t words;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!command_open_store(store_option, &store, &err))
        return command_failed(&err);
    status = 0;
    for (size_t i = 0; i < words; i++) {
        if (!remove_one(&store, argv[i], &err))
            status = command_failed(&err);
    }
    return status;
}
