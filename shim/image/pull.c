#include <stdio.h>

#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

static const char help_text[] =
    "Usage: stepcell image pull [OPTIONS] REFERENCE\n\n"
    "Gets an image into the store and prints the digest of its manifest.\n\n"
    "  REFERENCE        [HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG], docker-archive:FILE[:REF]\n"
    "                   or oci-archive:FILE[:TAG]\n"
    "  --platform P     OS/ARCH[/VARIANT]; this machine's by default\n"
    "  --store DIR      the image store\n"
    "  --progress MODE  auto, plain or none\n"
    "  -q, --quiet      no progress\n";

int command_pull(int argc, char **argv)
{
    struct obtain obtain = OBTAIN_INIT;
    bool help = false, quiet = false;
    const struct option_spec options[] = {
        {"--platform", NULL, &obtain.platform, NULL},
        {"--store", NULL, &obtain.store, NULL},
        {"--progress", NULL, &obtain.progress, NULL},
        {"--quiet", "-q", NULL, &quiet},
        {NULL, NULL, NULL, NULL},
    };
    autojson *report = NULL;
    struct err err;
    size_t words;

    if (!options_read(argc, argv, options, &help, &words, &err))
        return command_failed(&err);
    if (help) {
        print_out("%s", help_text);
        return 0;
    }
    if (words != 1) {
        err_set(&err, ERR_OPTION_INVALID, "one image reference is needed");
        return command_failed(&err);
    }
    obtain.policy = FETCH_ALWAYS;
    obtain.reference = argv[0];
    if (quiet)
        obtain.progress = "none";
    if (!obtain_image(&obtain, &report, &err))
        return command_failed(&err);
    print_out("%s\n", json_text(report, "manifest_digest"));
    return 0;
}
