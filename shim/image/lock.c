#include "shim/image/lock.h"

#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shim/image/command.h"
#include "shim/print.h"

#define OPTIONS_MAX 32

enum {
    ADD = 1,
    UPDATE = 2,
    ROLLBACK = 4,
    HOLD = 8,
    RELEASE = 16,
    REMOVE = 32,
    LIST = 64,
    OUTDATED = 128,
    VERIFY = 256,
    DIFF = 512
};
#define RULES   (ADD | UPDATE)
#define REPORTS (LIST | OUTDATED | VERIFY | DIFF)

static const struct {
    const char *name;
    unsigned int bit;
    lock_command *run;
    size_t words_min, words_max;
    const char *words, *help, *about;
} commands[] = {
    {"add", ADD, lock_add, 1, SIZE_MAX, "REFERENCE...", "lock what tags stand for now",
     "Locks what the tags stand for now: the digest of the index and of every platform. What\n"
     "is locked already stays as it is."},
    {"update", UPDATE, lock_update, 0, SIZE_MAX, "[NAME...]", "take newer versions",
     "Takes the newest version of the same flavour that the rules of an entry let in, or with\n"
     "--to any tag. Rules that are given are kept in the entries."},
    {"verify", VERIFY, lock_verify, 0, SIZE_MAX, "[NAME...]", "check the file, and what it names",
     "Reads the file strictly, and with --online and --tags compares it with registries."},
    {"outdated", OUTDATED, lock_outdated, 0, SIZE_MAX, "[NAME...]",
     "look for newer versions and for tags that moved",
     "Looks for newer versions of the same flavour, and for tags that moved or are gone. When\n"
     "a newer tag was first seen is noted in the file, for entries with a --min-age."},
    {"diff", DIFF, lock_diff, 1, 2, "OLD [NEW]", "compare two lock files",
     "Compares a lock file with another one, or with the one of --lock; - is stdin."},
    {"rollback", ROLLBACK, lock_rollback, 1, 1, "NAME", "take the version before, and hold it",
     "Takes the version that was locked before, without asking a registry, and holds it."},
    {"hold", HOLD, lock_hold, 1, SIZE_MAX, "NAME...", "keep updates away",
     "Keeps updates away from entries, until a time or until they are released."},
    {"release", RELEASE, lock_end_hold, 1, SIZE_MAX, "NAME...", "let updates in again",
     "Ends the holds of entries."},
    {"remove", REMOVE, lock_remove, 1, SIZE_MAX, "NAME...", "take entries out",
     "Takes entries out of the file."},
    {"list", LIST, lock_list, 0, SIZE_MAX, "[NAME...]", "show what is locked, by whom and why",
     "Shows what is locked: image, digest, when, by whom and why, and who holds it."},
};

static const struct {
    const char *name, *value;
    size_t place; /* in struct lock_options: of a text where there is a value, else of a flag */
    unsigned int commands;
    const char *help;
} options[] = {
#define LOCK_OPTION(name, value, member, commands, help)                                           \
    {                                                                                              \
        name, value, offsetof(struct lock_options, member), commands, help                         \
    }
    LOCK_OPTION("--lock", "FILE", file, ~0u, "the lock file, default stepcell.lock"),
    LOCK_OPTION("--name", "NAME", name, ADD,
                "of the entry, default the last part of the image's name"),
    LOCK_OPTION("--to", "TAG", to, ADD | UPDATE, "the tag that is locked"),
    LOCK_OPTION("--moved", NULL, moved, UPDATE, "take the new image of a tag that moved"),
    LOCK_OPTION("--why", "TEXT", why, ADD | UPDATE | ROLLBACK | HOLD,
                "the reason, for who asks later"),
    LOCK_OPTION("--by", "NAME", by, ADD | UPDATE | ROLLBACK | HOLD,
                "who does it, default the user"),
    LOCK_OPTION("--until", "TIME", until, ROLLBACK | HOLD,
                "when the hold ends: 2026-12-24 or 2026-12-24T05:00:00Z"),
    LOCK_OPTION("--scheme", "docker|semver|loose|numeric|date|alpha|deb|maven|pep440|regex", scheme,
                RULES, "how versions are read; docker by default"),
    LOCK_OPTION("--constraint", "RANGE", constraint, RULES,
                "versions that may follow, '>=7.7 <8' say"),
    LOCK_OPTION("--include", "GLOB", include, RULES, "tags that may follow"),
    LOCK_OPTION("--exclude", "GLOB", exclude, RULES, "tags that may not"),
    LOCK_OPTION("--expression", "REGEX", expression, RULES, "of the scheme regex"),
    LOCK_OPTION("--prereleases", "same|no|yes", prereleases, RULES,
                "which may follow; same by default"),
    LOCK_OPTION("--min-age", "AGE", min_age, RULES, "how long a newer tag has to be known, 3d say"),
    LOCK_OPTION("--any-precision", NULL, any_precision, RULES, "12.15.0 may follow 12.14"),
    LOCK_OPTION("--revisions", NULL, revisions, RULES, "7.7.2-4 may follow 7.7.2-3"),
    LOCK_OPTION("--online", NULL, online, VERIFY, "what is locked can still be had"),
    LOCK_OPTION("--tags", NULL, tags, VERIFY, "tags still stand for what is locked"),
    LOCK_OPTION("--dry-run", NULL, dry_run, UPDATE | OUTDATED, "the file stays as it is"),
    LOCK_OPTION("--json", NULL, json, REPORTS, "as JSON"),
#undef LOCK_OPTION
};

static int failed(const struct err *err)
{
    print_err(err);
    return LOCK_EXIT_FAILED;
}

static int print_commands(void)
{
    print_out("Usage: stepcell lock COMMAND [OPTIONS]\n\n"
              "Keeps what tags stand for in a file, stepcell.lock, for 'stepcell run --lock'.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        print_out("  %-10s %s\n", commands[i].name, commands[i].help);
    print_out("\n'stepcell lock COMMAND --help' tells more. Exit status: 0, 2 when there is a "
              "difference,\n1 when something failed or could not be found out.\n");
    return LOCK_EXIT_SAME;
}

/* Reads the words behind a command; false when that was all, with the exit status. */
static bool read_words(int argc, char **argv, size_t index, struct lock_call *call, int *status)
{
    struct option_spec specs[OPTIONS_MAX] = {OPTIONS_END};
    autofree char *usage =
        text_printf("stepcell lock %s [OPTIONS] %s", commands[index].name, commands[index].words);
    autofree char *missing = text_printf("the words behind 'lock %s' are %s", commands[index].name,
                                         commands[index].words);
    const struct command command = {
        .usage = usage ? usage : "",
        .about = commands[index].about,
        .missing = missing,
        .words_min = commands[index].words_min,
        .words_max = commands[index].words_max,
        .options = specs,
    };
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        char *member = (char *)&call->options + options[i].place;

        if (!(options[i].commands & commands[index].bit))
            continue;
        specs[count++] = (struct option_spec){
            .name = options[i].name,
            .argument = options[i].value,
            .value = options[i].value ? (const char **)member : NULL,
            .flag = options[i].value ? NULL : (bool *)member,
            .help = options[i].help,
        };
    }
    call->words = argv;
    if (command_begin(argc, argv, &command, &call->count, status))
        return true;
    *status = *status ? LOCK_EXIT_FAILED : LOCK_EXIT_SAME;
    return false;
}

/* Who it was, where nobody says so. */
static char *user_name(void)
{
    const struct passwd *user = getpwuid(getuid());

    return user && lock_note_is_valid(user->pw_name) ? strdup(user->pw_name)
                                                     : text_printf("user %u", getuid());
}

static bool check_options(const struct lock_options *given, struct err *err)
{
    const struct {
        const char *name, *value;
    } notes[] = {{"--by", given->by}, {"--why", given->why}};

    for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
        if (notes[i].value && !lock_note_is_valid(notes[i].value))
            return err_set(err, ERR_OPTION_INVALID,
                           "the value of '%s' is not a text of one line, up to %d bytes",
                           notes[i].name, LOCK_NOTE_MAX);
    }
    return true;
}

/* A link leads to the file that is replaced. */
static bool prepare(struct lock_call *call, struct err *err)
{
    const char *file = call->options.file ? call->options.file : LOCK_FILENAME;

    if (!check_options(&call->options, err))
        return false;
    call->path = realpath(file, NULL);
    if (!call->path)
        call->path = strdup(file);
    call->now = time(NULL);
    call->by = call->options.by ? strdup(call->options.by) : user_name();
    call->changes = json_object();
    return (call->path && call->by && call->changes) ||
           err_set(err, ERR_ENGINE_FAILED, "not enough memory for a lock file");
}

static void release(struct lock_call *call)
{
    free(call->path);
    free(call->by);
    json_decref(call->changes);
    lock_release(&call->lock);
}

int command_lock(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "--help";
    CLEANUP(release) struct lock_call call = {0};
    size_t command = 0;
    int status = LOCK_EXIT_SAME;
    struct err err;

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return print_commands();
    while (command < ARRAY_SIZE(commands) && strcmp(commands[command].name, name) != 0)
        command++;
    if (command == ARRAY_SIZE(commands)) {
        err_set(&err, ERR_OPTION_INVALID, "unknown command 'lock %s'", name);
        err_hint(&err, "'stepcell lock --help' lists the commands");
        return failed(&err);
    }
    if (!read_words(argc - 1, argv + 1, command, &call, &status))
        return status;
    if (!prepare(&call, &err) || !commands[command].run(&call, &status, &err))
        return failed(&err);
    return status;
}
