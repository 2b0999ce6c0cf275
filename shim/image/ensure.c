/* `ensure`: how `stepcell run` gets what the store lacks (docs/design/images.md). */
#include <string.h>

#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"
#include "shim/report.h"

static const char help_text[] =
    "Usage: stepcell-image ensure [OPTIONS] REFERENCE\n\n"
    "Makes an image and its layers present, and writes a line of JSON about it, and before it "
    "lines\n"
    "about the progress of a pull.\n\n"
    "  --store DIR       the image store\n"
    "  --platform P      OS/ARCH[/VARIANT]\n"
    "  --pull POLICY     missing, always or never\n"
    "  --user U          the step's USER[:GROUP]; the image's by default\n"
    "  --map-user IDS    UID:GID of the step, or 'config' to look them up\n"
    "  --progress MODE   auto, plain or none\n"
    "  --report FD       the descriptor for the lines; stdout by default\n"
    "  --lock FD         the store's lock, opened, which the caller shares: what this has made\n"
    "                    stays as long as the caller keeps it\n";

static bool parse_policy(const char *text, enum fetch_policy *policy, struct err *err)
{
    static const char *const names[] = {
        [FETCH_MISSING] = "missing", [FETCH_ALWAYS] = "always", [FETCH_NEVER] = "never"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!text || strcmp(text, names[i]) == 0) {
            *policy = (enum fetch_policy)i;
            return true;
        }
    }
    return err_set(err, ERR_OPTION_INVALID, "'%s' is not a pull policy: missing, always or never",
                   text);
}

int command_ensure(int argc, char **argv)
{
    struct obtain obtain = OBTAIN_INIT;
    const char *pull = NULL, *report_fd = "1", *lock_fd = NULL;
    bool help = false;
    const struct option_spec options[] = {
        {"--store", NULL, &obtain.store, NULL},
        {"--platform", NULL, &obtain.platform, NULL},
        {"--pull", NULL, &pull, NULL},
        {"--user", NULL, &obtain.user, NULL},
        {"--map-user", NULL, &obtain.map_user, NULL},
        {"--progress", NULL, &obtain.progress, NULL},
        {"--report", NULL, &report_fd, NULL},
        {"--lock", NULL, &lock_fd, NULL},
        {NULL, NULL, NULL, NULL},
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    int fd = -1;

    if (!options_read(argc, argv, options, &help, &words, &err))
        return command_failed(&err);
    if (help) {
        print_out("%s", help_text);
        return 0;
    }
    if (!report_parse_fd(report_fd, &fd, &err) ||
        (lock_fd && !report_parse_fd(lock_fd, &obtain.lock, &err)) ||
        !parse_policy(pull, &obtain.policy, &err))
        return command_failed(&err);
    if (words != 1) {
        err_set(&err, ERR_OPTION_INVALID, "one image reference is needed");
        return command_failed(&err);
    }
    obtain.reference = argv[0];
    /* A person wants one line; a program that has a descriptor for it wants all. */
    obtain.report = fd > STDERR_FILENO ? fd : -1;
    if (obtain_image(&obtain, &report, &err))
        return report_write(fd, report) ? 0 : STATUS_FAILED;
    /* The caller prints it. */
    report = report_error(&err);
    (void)!report_write(fd, report);
    return STATUS_FAILED;
}
