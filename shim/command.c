#include "shim/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/caller.h"
#include "shim/print.h"

#define HELP_COLUMN 32 /* where it begins, behind the indentation */

static const struct option_spec *find_option(const struct option_spec *options, const char *word,
                                             size_t len)
{
    for (; options->name; options++) {
        if (strlen(options->name) == len && strncmp(options->name, word, len) == 0)
            return options;
        if (options->shorthand && strcmp(options->shorthand, word) == 0)
            return options;
    }
    return NULL;
}

static bool bad_option(const char *name, const char *what, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "the option '%s' %s", name, what);
    return err_hint(err, "--help lists the options");
}

/* Reads the option at argv[*i], with its value behind '=' or in the next word. */
static bool read_option(int argc, char **argv, int *i, const struct option_spec *options,
                        struct err *err)
{
    const char *word = argv[*i], *equals = strchrnul(word, '=');
    const struct option_spec *option = find_option(options, word, (size_t)(equals - word));
    const char *value = NULL;

    if (!option) {
        err_set(err, ERR_OPTION_INVALID, "unknown option '%s'", word);
        return err_hint(err, "--help lists the options");
    }
    if (option->flag) {
        if (*equals)
            return bad_option(option->name, "takes no value", err);
        *option->flag = true;
        return true;
    }
    if (*equals)
        value = equals + 1;
    else if (*i + 1 < argc)
        value = argv[++*i];
    else
        return bad_option(option->name, "needs a value", err);
    if (option->list)
        return strv_add(option->list, value) ||
               bad_option(option->name, "is given too many times", err);
    *option->value = value;
    return true;
}

static bool read_options(int argc, char **argv, const struct command *command, bool *help,
                         size_t *word_count, struct err *err)
{
    size_t words = 0;
    bool only_words = false;

    for (int i = 0; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[words++] = argv[i];
            only_words = only_words || command->options_first;
        } else if (strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
        } else if (!read_option(argc, argv, &i, command->options, err)) {
            return false;
        }
    }
    *word_count = words;
    if (*help || (words >= command->words_min && words <= command->words_max))
        return true;
    if (command->missing)
        err_set(err, ERR_OPTION_INVALID, "%s", command->missing);
    else
        err_set(err, ERR_OPTION_INVALID, "'%s' is one word too many", argv[words - 1]);
    return err_hint(err, "--help tells how the command is used");
}

bool command_add_option_help(struct buf *text, const char *shorthand, const char *name,
                             const char *argument, const char *help)
{
    autofree char *left =
        text_printf("%s%s%s", name, argument ? " " : "", argument ? argument : "");

    const char *before = shorthand ? shorthand : "  ";

    return left && buf_printf(text, "  %s%s%-*s %s\n", before, shorthand ? ", " : "  ",
                              HELP_COLUMN - (int)strlen(before), left, help);
}

static void print_help(const struct command *command)
{
    autobuf text = BUF_INIT(65536);
    const char *form = command->usage;

    for (const char *lead = "Usage:"; *form; lead = "      ") {
        size_t len = strcspn(form, "\n");

        buf_printf(&text, "%s %.*s\n", lead, (int)len, form);
        form += len + (form[len] == '\n');
    }
    buf_printf(&text, "\n%s\n\n", command->about);
    for (const struct option_spec *option = command->options; option->name; option++)
        command_add_option_help(&text, option->shorthand, option->name, option->argument,
                                option->help);
    command_add_option_help(&text, "-h", "--help", NULL, "this text");
    print_out("%s", text.data);
}

bool command_begin(int argc, char **argv, const struct command *command, size_t *words, int *status)
{
    bool help = false;
    struct err err;

    if (!read_options(argc, argv, command, &help, words, &err)) {
        *status = command_failed(&err);
        return false;
    }
    if (help) {
        print_help(command);
        *status = 0;
    }
    return !help;
}

bool subcommand_begin(struct err *err)
{
    /* A caller may have it ignored, and then no child could be waited for. */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    return caller_check(err);
}

/* NULL when there is none of that name. */
static const struct subcommand *subcommand_find(const struct subcommand *commands, const char *name)
{
    while (commands->name && strcmp(commands->name, name) != 0)
        commands++;
    return commands->name ? commands : NULL;
}

static void print_group(const struct command_group *group)
{
    print_out("Usage: stepcell %s COMMAND [OPTIONS]\n\n%s\n\n", group->name, group->about);
    for (const struct subcommand *command = group->commands; command->name; command++) {
        if (command->help)
            print_out("  %-10s %s\n", command->name, command->help);
    }
    print_out("\n'stepcell %s COMMAND --help' tells more.\n", group->name);
}

const struct subcommand *command_group_choose(const struct command_group *group, const char *word,
                                              int *status)
{
    static const char *const asks_for_help[] = {"--help", "-h", "help"};
    const struct subcommand *command = word ? subcommand_find(group->commands, word) : NULL;
    struct err err;

    if (command)
        return command;
    *status = 0;
    for (size_t i = 0; i < ARRAY_SIZE(asks_for_help); i++) {
        if (!word || strcmp(word, asks_for_help[i]) == 0) {
            print_group(group);
            return NULL;
        }
    }
    err_set(&err, ERR_OPTION_INVALID, "unknown command '%s %s'", group->name, word);
    err_hint(&err, "'stepcell %s --help' lists the commands", group->name);
    *status = command_failed(&err);
    return NULL;
}

int command_failed(const struct err *err)
{
    print_err(err);
    return STATUS_FAILED;
}

int command_end(int status)
{
    bool flushed = fflush(stdout) == 0;
    struct err err;

    if (status == STATUS_FAILED || (flushed && !ferror(stdout)))
        return status;
    if (flushed)
        err_set(&err, ERR_ENGINE_FAILED, "cannot write the output");
    else
        err_errno(&err, ERR_ENGINE_FAILED, "cannot write the output");
    err_hint(&err, "it goes where the caller's stdout goes: look there");
    return command_failed(&err);
}

int subcommand_main(const char *program, const struct subcommand *commands, int argc, char **argv)
{
    const struct subcommand *command = subcommand_find(commands, argc > 1 ? argv[1] : "");
    struct err err;

    if (!subcommand_begin(&err))
        return command_failed(&err);
    if (command)
        return command_end(command->run(argc - 2, argv + 2));
    err_set(&err, ERR_OPTION_INVALID, "%s is started by stepcell alone", program);
    return command_failed(&err);
}

int command_print_json(json_t *json)
{
    autofree char *page = json ? json_dump_page(json) : NULL;
    autofree char *text = page ? print_json_text(page) : NULL;
    struct err err;

    json_decref(json);
    if (!text) {
        err_set(&err, ERR_ENGINE_FAILED, "there is not enough memory");
        return command_failed(&err);
    }
    print_out("%s", text);
    return 0;
}
