#include <stdio.h>

#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

static const char help_text[] =
    "Usage: stepcell image import [OPTIONS] SOURCE NAME\n\n"
    "Gets an image out of a layout or an archive into the store, as if it had come from a "
    "registry\n"
    "under NAME, and prints the digest of its manifest.\n\n"
    "  SOURCE           oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]\n"
    "  NAME             [HOST/]PATH[:TAG]\n"
    "  --platform P     OS/ARCH[/VARIANT]; this machine's by default\n"
    "  --store DIR      the image store\n"
    "  --progress MODE  auto, plain or none\n"
    "  -q, --quiet      no progress\n";

int command_import(int argc, char **argv)
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
    if (words != 2) {
        err_set(&err, ERR_OPTION_INVALID, "a source and a name are needed");
        return command_failed(&err);
    }
    obtain.policy = FETCH_ALWAYS;
    obtain.reference = argv[0];
    obtain.name_as = argv[1];
    if (quiet)
        obtain.progress = "none";
    if (!obtain_image(&obtain, &report, &err))
        return command_failed(&err);
    print_out("%s\n", json_text(report, "manifest_digest"));
    return 0;
}
