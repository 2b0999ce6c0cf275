/* `ensure`: how `stepcell run` gets what the store lacks (docs/design/images.md). */
#include <string.h>

#include "shim/helper_report.h"
#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

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
    const struct option_spec options[] = {
        OPTION("--store", "DIR", &obtain.store, "the image store"),
        OPTION("--platform", "OS/ARCH[/VARIANT]", &obtain.platform, "default this machine's"),
        OPTION("--manifest", "DIGEST", &obtain.manifest,
               "of the platform, where it is known what the digest of REFERENCE stands for"),
        OPTION("--pull", "missing|always|never", &pull, "when to ask the registry"),
        OPTION("--user", "USER[:GROUP]", &obtain.user, "of the step, default the image's"),
        OPTION("--map-user", "UID:GID", &obtain.map_user,
               "of the step, or 'config' to look them up"),
        OPTION("--progress", "auto|plain|none", &obtain.progress,
               "of a pull, on stderr; auto by default"),
        OPTION("--report", "FD", &report_fd, "the descriptor for the lines, default stdout"),
        FLAG("--describe", &obtain.describes,
             "report what the configuration says; layers only to look the user up"),
        OPTION("--lock", "FD", &lock_fd, "the store's lock, opened, which the caller shares"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image ensure [OPTIONS] REFERENCE",
        .about = "Makes an image and its layers present, and writes a line of JSON about it, and\n"
                 "before it lines about the progress of a pull.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    bool ok;
    int status;
    int fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err) ||
        (lock_fd && !helper_report_parse_fd(lock_fd, &obtain.lock, &err)) ||
        !parse_policy(pull, &obtain.policy, &err))
        return command_failed(&err);
    obtain.reference = argv[0];
    /* A person wants one line; a program that has a descriptor for it wants all. */
    obtain.report = fd > STDERR_FILENO ? fd : -1;
    ok = obtain_image(&obtain, &report, &err);
    return helper_report_end(fd, ok ? TAKE_PTR(report) : NULL, &err);
}
