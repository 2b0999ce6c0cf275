/* `ensure`: how `stepcell run` gets what the store lacks (docs/design/images.md). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "shim/image/command.h"
#include "shim/image/obtain.h"
#include "shim/print.h"

#define FD_MAX 1023

static const char help_text[] =
    "Usage: stepcell-image ensure [OPTIONS] REFERENCE\n\n"
    "Makes an image and its layers present, and writes one line of JSON about it.\n\n"
    "  --store DIR       the image store\n"
    "  --platform P      OS/ARCH[/VARIANT]\n"
    "  --pull POLICY     missing, always or never\n"
    "  --user U          the step's USER[:GROUP]; the image's by default\n"
    "  --map-user IDS    UID:GID of the step, or 'config' to look them up\n"
    "  --progress MODE   auto, plain or none\n"
    "  --report FD       the descriptor for the line; stdout by default\n"
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

static bool parse_fd(const char *text, int *fd, struct err *err)
{
    uint64_t number;

    if (!num_parse(text, FD_MAX, &number) || fcntl((int)number, F_GETFD) < 0)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is not an open descriptor", text);
    *fd = (int)number;
    /* Helpers of this one have no business with it. */
    fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return true;
}

static json_t *error_json(const struct err *err)
{
    return json_pack("{s:{s:s, s:o, s:o}}", "error", "code", err_code_text(err->code), "message",
                     json_bytes(err->message, strlen(err->message)), "hint",
                     err->hint[0] ? json_bytes(err->hint, strlen(err->hint)) : json_null());
}

static bool write_report(int fd, const json_t *report)
{
    autofree char *line = report ? json_dump_line(report) : NULL;

    return line && file_write_all(fd, line, strlen(line)) && file_write_all(fd, "\n", 1);
}

int command_ensure(int argc, char **argv)
{
    struct obtain obtain = {0};
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
    if (!parse_fd(report_fd, &fd, &err) || (lock_fd && !parse_fd(lock_fd, &obtain.lock, &err)) ||
        !parse_policy(pull, &obtain.policy, &err))
        return command_failed(&err);
    if (words != 1) {
        err_set(&err, ERR_OPTION_INVALID, "one image reference is needed");
        return command_failed(&err);
    }
    obtain.reference = argv[0];
    /* A person wants one line; a program that has a descriptor for it wants all. */
    obtain.report = fd > STDERR_FILENO ? fd : 0;
    if (obtain_image(&obtain, &report, &err))
        return write_report(fd, report) ? 0 : STATUS_FAILED;
    /* The caller prints it. */
    report = error_json(&err);
    (void)!write_report(fd, report);
    return STATUS_FAILED;
}
