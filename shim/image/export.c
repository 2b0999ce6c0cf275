#include <stdio.h>

#include "runtime/image/store_export.h"
#include "shim/helper_report.h"
#include "shim/image/command.h"
#include "shim/print.h"

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

int command_export(int argc, char **argv)
{
    const char *store_option = NULL, *platform = NULL, *report_fd = NULL;
    const struct option_spec options[] = {
        OPTION("--platform", "OS/ARCH[/VARIANT]", &platform, "default this machine's"),
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTION("--report", "FD", &report_fd,
               "a line of JSON to this descriptor, also of a failure"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image export [OPTIONS] REFERENCE TARGET",
        .about = "Writes an image of the store as an OCI image layout. TARGET is oci:DIR[:TAG] or\n"
                 "oci-archive:FILE[:TAG]; the tag is 'latest' by default.",
        .missing = "a reference and a target are needed",
        .words_min = 2,
        .words_max = 2,
        .options = options,
    };
    autostore store = STORE_INIT;
    struct err err;
    bool exported;
    size_t words;
    int status;
    int fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (report_fd && !helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    exported = command_open_store(store_option, &store, &err) &&
               export_image(&store, argv[0], argv[1], platform, &err);
    /* For stepcell, which hands the archive to an engine. */
    if (report_fd)
        return helper_report_end(fd, exported ? json_object() : NULL, &err);
    return exported ? 0 : command_failed(&err);
}
