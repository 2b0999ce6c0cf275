/* `stepcell image pull` and `import`: the same work, and the name that a registry or the caller
 * gives. */
#include <stdio.h>

#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

static int get(int argc, char **argv, struct command command)
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
    autojson *report = NULL;
    struct err err;
    size_t words;
    int status;

    command.options = options;
    command.words_max = command.words_min;
    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    obtain.policy = FETCH_ALWAYS;
    obtain.without_step = true;
    obtain.reference = argv[0];
    if (words > 1)
        obtain.name_as = argv[1];
    if (quiet)
        obtain.progress = "none";
    if (!obtain_image(&obtain, &report, &err))
        return command_failed(&err);
    print_out("%s\n", json_text(report, "manifest_digest"));
    return 0;
}

int command_pull(int argc, char **argv)
{
    return get(argc, argv,
               (struct command){
                   .usage = "stepcell image pull [OPTIONS] REFERENCE",
                   .about =
                       "Gets an image into the store and prints the digest of its manifest. "
                       "REFERENCE is\n"
                       "[HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG], docker-archive:FILE[:REF] or\n"
                       "oci-archive:FILE[:TAG].",
                   .missing = "one image reference is needed",
                   .words_min = 1,
               });
}

int command_import(int argc, char **argv)
{
    return get(
        argc, argv,
        (struct command){
            .usage = "stepcell image import [OPTIONS] SOURCE NAME",
            .about =
                "Gets an image out of a layout or an archive into the store, as if it had "
                "come from\n"
                "a registry under NAME, and prints the digest of its manifest. SOURCE is\n"
                "oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF], and NAME\n"
                "[HOST/]PATH[:TAG].",
            .missing = "a source and a name are needed",
            .words_min = 2,
        });
}
