#include <stdio.h>

#include "runtime/image/store_export.h"
#include "shim/image/command.h"
#include "shim/print.h"
#include "shim/report.h"

static const char help_text[] =
    "Usage: stepcell image export [OPTIONS] REFERENCE TARGET\n\n"
    "Writes an image of the store as an OCI image layout.\n\n"
    "  TARGET        oci:DIR[:TAG] or oci-archive:FILE[:TAG]; the tag is 'latest' by default\n"
    "  --platform P  OS/ARCH[/VARIANT]; this machine's by default\n"
    "  --store DIR   the image store\n";

static bool export_image(const struct store *store, const char *from, const char *to,
                         const char *platform_text, struct err *err)
{
    autoreference reference = {0}, target = {0};
    autoname name = {0};
    struct platform platform;
    bool found;

    if (!command_parse_reference(from, &reference, err) ||
        !command_parse_reference(to, &target, err) ||
        !command_parse_platform(platform_text, &platform, err))
        return false;
    if (target.transport != TRANSPORT_OCI && target.transport != TRANSPORT_OCI_ARCHIVE) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no place for an image", to);
        return err_hint(err, "write oci:DIR[:TAG] or oci-archive:FILE[:TAG]");
    }
    if (!store_lookup(store, &reference, &platform, &found, &name, err))
        return false;
    if (!found) {
        err_set(err, ERR_IMAGE_NOT_FOUND, "there is no image '%s' in the store", from);
        return err_hint(err, "'stepcell image list' lists what there is");
    }
    return store_export(store, &name, &platform, &target, err);
}

/* For stepcell, which hands the archive to an engine. */
static int report(int fd, bool exported, const struct err *err)
{
    autojson *json = exported ? json_object() : report_error(err);

    return report_write(fd, json) && exported ? 0 : STATUS_FAILED;
}

int command_export(int argc, char **argv)
{
    const char *store_option = NULL, *platform = NULL, *report_fd = NULL;
    bool help = false;
    const struct option_spec options[] = {
        {"--platform", NULL, &platform, NULL},
        {"--store", NULL, &store_option, NULL},
        {"--report", NULL, &report_fd, NULL},
        {NULL, NULL, NULL, NULL},
    };
    autostore store = STORE_INIT;
    struct err err;
    bool exported;
    size_t words;
    int fd = -1;

    if (!options_read(argc, argv, options, &help, &words, &err))
        return command_failed(&err);
    if (help) {
        print_out("%s", help_text);
        return 0;
    }
    if (words != 2) {
        err_set(&err, ERR_OPTION_INVALID, "a reference and a target are needed");
        return command_failed(&err);
    }
    if (report_fd && !report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    exported = command_open_store(store_option, &store, &err) &&
               export_image(&store, argv[0], argv[1], platform, &err);
    if (report_fd)
        return report(fd, exported, &err);
    return exported ? 0 : command_failed(&err);
}
