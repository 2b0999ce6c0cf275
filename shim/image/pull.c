#include <stdio.h>

#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

int command_pull(int argc, char **argv)
{
    struct obtain obtain = OBTAIN_INIT;
    bool quiet = false;
    const struct option_spec options[] = {
        OPTION("--platform", "OS/ARCH[/VARIANT]", &obtain.platform, "default this machine's"),
        OPTION("--store", "DIR", &obtain.store, "the image store"),
        OPTION("--progress", "auto|plain|none", &obtain.progress,
               "of a pull, on stderr; auto by default"),
        OPTION_QUIET(&quiet),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image pull [OPTIONS] REFERENCE",
        .about =
            "Gets an image into the store and prints the digest of its manifest. REFERENCE is\n"
            "[HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG], docker-archive:FILE[:REF] or\n"
            "oci-archive:FILE[:TAG].",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    obtain.policy = FETCH_ALWAYS;
    obtain.reference = argv[0];
    if (quiet)
        obtain.progress = "none";
    if (!obtain_image(&obtain, &report, &err))
        return command_failed(&err);
    print_out("%s\n", json_text(report, "manifest_digest"));
    return 0;
}
