#include "shim/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "shim/command.h"
#include "shim/options_table.h"
#include "shim/relay/mask.h"
#include "shim/relay/sink.h"

/* An option as it was found on the command line. */
struct token {
    const struct option *option;
    const char *value;
};

struct tokens {
    struct token *items;
    size_t count;
    int rest; /* the first word that is no option */
};

static bool add_token(struct tokens *tokens, const struct option *option, const char *value,
                      struct err *err)
{
    struct token *items = realloc(tokens->items, (tokens->count + 1) * sizeof(*items));

    if (!items)
        return options_no_memory(err);
    items[tokens->count++] = (struct token){option, value};
    tokens->items = items;
    return true;
}

static bool unknown(const char *word, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "unknown option '%s'", word);
    return err_hint(err,
                    "'stepcell run --help' lists the options; words behind IMAGE belong to the "
                    "command");
}

static bool missing_value(const char *word, struct err *err)
{
    return err_set(err, ERR_OPTION_INVALID, "option '%s' needs a value", word);
}

static bool take_long(int argc, char **argv, int *i, struct tokens *tokens, struct err *err)
{
    const char *word = argv[*i], *name = word + 2, *equals = strchr(name, '=');
    const struct option *option =
        option_find(name, equals ? (size_t)(equals - name) : strlen(name));
    const char *value = equals ? equals + 1 : NULL;

    if (!option)
        return unknown(word, err);
    if (!option->value && value)
        return err_set(err, ERR_OPTION_INVALID, "option '--%s' takes no value", option->name);
    if (option->value && !value) {
        if (*i + 1 >= argc)
            return missing_value(word, err);
        value = argv[++*i];
    }
    return add_token(tokens, option, value, err);
}

/* "-w DIR", "-wDIR", "-iq". */
static bool take_letters(int argc, char **argv, int *i, struct tokens *tokens, struct err *err)
{
    const char *word = argv[*i];

    for (const char *p = word + 1; *p; p++) {
        const struct option *option = option_find_letter(*p);
        const char *value = NULL;

        if (!option)
            return unknown(word, err);
        if (option->value) {
            value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
            if (!value)
                return missing_value(word, err);
        }
        if (!add_token(tokens, option, value, err))
            return false;
        if (value)
            break;
    }
    return true;
}

/* What is wrong with one option keeps no other from being read; false without memory. */
static bool passes(struct run_options *options, bool ok, const struct err *err)
{
    return errs_pass(&options->wrong, ok, err);
}

static bool tokenise(int argc, char **argv, struct run_options *options, struct tokens *tokens,
                     struct err *err)
{
    int i;

    for (i = 0; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (!passes(options,
                    argv[i][1] == '-' ? take_long(argc, argv, &i, tokens, err)
                                      : take_letters(argc, argv, &i, tokens, err),
                    err))
            return false;
    }
    tokens->rest = i;
    return true;
}

/* "NAME=VALUE" as "NAME=********": whoever compares values has a digest of them. */
static json_t *hidden_value(const char *value)
{
    size_t len = strcspn(value, "=");
    autofree char *text = NULL;

    if (!value[len])
        return json_bytes(value, len);
    text = text_printf("%.*s=" MASK_TEXT, (int)len, value);
    return text ? json_bytes(text, strlen(text)) : NULL;
}

/* Its key in a JSON step, owned. */
static char *key_of(const struct option *option)
{
    char *key = strdup(option->name);

    for (char *p = key; p && *p; p++)
        *p = *p == '-' ? '_' : *p;
    return key;
}

/* Puts it into `asked`, as a JSON step would have it. */
static bool note_asked(struct run_options *options, const struct option *option, const char *value)
{
    autofree char *key = key_of(option);
    json_t *item, *list;

    if (!key || option_is_callers(option))
        return key != NULL;
    item = !value                     ? json_true()
           : option_is(option, "env") ? hidden_value(value)
                                      : json_bytes(value, strlen(value));
    if (!option->repeatable)
        return json_object_set_new(options->asked, key, item) == 0;
    list = json_object_get(options->asked, key);
    if (!list && json_object_set_new(options->asked, key, list = json_array()) < 0) {
        json_decref(item);
        return false;
    }
    return json_array_append_new(list, item) == 0;
}

/* Behind the options of the table. */
enum { WORD_IMAGE = 62, WORD_COMMAND = 63 };

static void note_origin(struct run_options *options, size_t index)
{
    options->from_line |= UINT64_C(1) << index;
}

const char *options_origin(const struct run_options *options, const char *name)
{
    const struct option *option = option_find(name, strlen(name));
    size_t index = strcmp(name, "image") == 0 ? WORD_IMAGE
                   : option                   ? option_index(option)
                                              : WORD_COMMAND;

    if (options->from_line >> index & 1)
        return "option";
    return options->from_step >> index & 1 ? "step file" : "default";
}

/* The one way in which an option takes effect. */
static bool take(struct run_options *options, const struct option *option, const char *value,
                 struct err *err)
{
    note_origin(options, option_index(option));
    return option->set(options, option->name, value, err) &&
           (note_asked(options, option, value) || options_no_memory(err));
}

static bool apply(struct run_options *options, const struct tokens *tokens, struct err *err)
{
    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->items[i];

        if (!passes(options, take(options, token->option, token->value, err), err))
            return false;
    }
    return true;
}

static bool apply_words(struct run_options *options, int argc, char **argv, struct err *err)
{
    int i = 0;

    if (i < argc) {
        note_origin(options, WORD_IMAGE);
        if (!passes(options, options_set_text(&options->image, "image", argv[i++], err), err))
            return false;
    }
    if (i < argc && strcmp(argv[i], "--") == 0)
        i++;
    if (i < argc) {
        note_origin(options, WORD_COMMAND);
        strv_release(&options->command);
    }
    for (; i < argc; i++) {
        if (!strv_add(&options->command, argv[i]))
            return options_no_memory(err);
    }
    return true;
}

static bool step_type(const char *key, const char *type, struct err *err)
{
    return err_set(err, ERR_OPTION_INVALID, "'%s' in the step is not %s", key, type);
}

static bool step_words(struct run_options *options, const char *key, const json_t *value,
                       struct err *err)
{
    size_t i;
    json_t *item;

    if (!json_is_array(value))
        return step_type(key, "a list of strings", err);
    strv_release(&options->command);
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return step_type(key, "a list of strings", err);
        if (!strv_add(&options->command, json_string_value(item)))
            return options_no_memory(err);
    }
    return true;
}

static bool step_value(struct run_options *options, const struct option *option,
                       const json_t *value, struct err *err)
{
    char number[32];

    if (json_is_number(value)) {
        if (json_is_integer(value))
            snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        else
            snprintf(number, sizeof(number), "%.15g", json_real_value(value));
        return take(options, option, number, err);
    }
    if (!json_is_string(value))
        return step_type(option->name, option->repeatable ? "a list of strings" : "a string", err);
    return take(options, option, json_string_value(value), err);
}

/* {"NAME": "VALUE", "OTHER": null} is what NAME=VALUE and OTHER are. */
static bool step_object(struct run_options *options, const struct option *option, json_t *value,
                        struct err *err)
{
    const char *name;
    json_t *item;

    json_object_foreach (value, name, item) {
        autofree char *text =
            json_is_null(item)
                ? strdup(name)
                : text_printf("%s=%s", name,
                              json_string_value(item) ? json_string_value(item) : "");
        if (!json_is_null(item) && !json_is_string(item))
            return step_type(option->name, "a list or object of strings", err);
        if (!text)
            return options_no_memory(err);
        if (!passes(options, take(options, option, text, err), err))
            return false;
    }
    return true;
}

static bool step_option(struct run_options *options, const char *key, json_t *value,
                        struct err *err)
{
    autofree char *name = strdup(key);
    const struct option *option;
    size_t i;
    json_t *item;

    for (char *p = name; p && *p; p++)
        *p = *p == '_' ? '-' : *p;
    option = name && !strchr(key, '-') ? option_find(name, strlen(name)) : NULL;
    if (!option || option_is(option, "help") || option_is(option, "step") ||
        option_is(option, "json")) {
        err_set(err, ERR_OPTION_INVALID, "unknown key '%s' in the step", key);
        return err_hint(err,
                        "the keys are image, command, args and the options of 'stepcell run' with "
                        "'_' for '-'");
    }
    if (json_is_null(value))
        return true;
    if (!option->value) {
        if (!json_is_boolean(value))
            return step_type(key, "true or false", err);
        return json_is_false(value) || take(options, option, NULL, err);
    }
    if (json_is_object(value) && (option_is(option, "env") || option_is(option, "label") ||
                                  option_is(option, "secret-file")))
        return step_object(options, option, value, err);
    if (!json_is_array(value) || !option->repeatable)
        return step_value(options, option, value, err);
    json_array_foreach (value, i, item) {
        if (!passes(options, step_value(options, option, item, err), err))
            return false;
    }
    return true;
}

/* What 'stepcell explain' has said of a step is not read but for this. */
static bool is_whole(const json_t *explained, struct err *err)
{
    if (!json_is_true(json_object_get(explained, "masked")))
        return true;
    err_set(err, ERR_OPTION_INVALID, "the step has '********' where there was a secret");
    return err_hint(err, "put it back and remove the member 'explain', or keep the secret in a "
                         "variable of --secret-env, which the command names");
}

static bool apply_json(struct run_options *options, json_t *step, struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(step))
        return err_set(err, ERR_OPTION_INVALID, "the step is not a JSON object");
    json_object_foreach (step, key, value) {
        bool ok = true;

        if (strcmp(key, "explain") == 0)
            ok = is_whole(value, err);
        else if (strcmp(key, "schema") == 0)
            ok = json_is_string(value) && strcmp(json_string_value(value), "stepcell.step/1") == 0
                     ? true
                     : step_type(key, "'stepcell.step/1'", err);
        else if (strcmp(key, "image") == 0)
            ok = json_is_string(value)
                     ? options_set_text(&options->image, key, json_string_value(value), err)
                     : step_type(key, "a string", err);
        else if (strcmp(key, "command") == 0 || strcmp(key, "args") == 0)
            ok = step_words(options, key, value, err);
        else
            ok = step_option(options, key, value, err);
        if (!passes(options, ok, err))
            return false;
    }
    return true;
}

static bool apply_step(struct run_options *options, const char *file, struct err *err)
{
    autobuf text = BUF_INIT(STEP_FILE_MAX);
    autojson *step = NULL;
    bool is_stdin = strcmp(file, "-") == 0;

    if (is_stdin ? !file_read_fd(STDIN_FILENO, "stdin", &text, ERR_OPTION_INVALID, err)
                 : !file_read(AT_FDCWD, file, &text, ERR_OPTION_INVALID, err))
        return err_hint(err, "check --step: a file that the caller can read, or '-'");
    step = json_parse(text.data, text.len, is_stdin ? "stdin" : file, ERR_OPTION_INVALID, err);
    if (!step)
        return err_hint(err, "--step takes one JSON object: stepcell-step(5)");
    if (!apply_json(options, step, err))
        return false;
    if (json_object_get(step, "image"))
        note_origin(options, WORD_IMAGE);
    if (json_object_get(step, "command") || json_object_get(step, "args"))
        note_origin(options, WORD_COMMAND);
    options->from_step = options->from_line;
    options->from_line = 0;
    return true;
}

static bool check(const struct run_options *options, struct err *err)
{
    if (!options->image) {
        err_set(err, ERR_OPTION_INVALID, "no image was given");
        return err_hint(err, "stepcell run [OPTIONS] IMAGE [--] COMMAND [ARG...]");
    }
    if (!options->script && options->command.count == 0 && !options->opens_shell &&
        !options->image_is_enough) {
        err_set(err, ERR_OPTION_INVALID, "no command was given");
        return err_hint(err, "name it behind the image, or give a script with --script");
    }
    if (options->shell && !options->script && !options->opens_shell)
        return err_set(err, ERR_OPTION_INVALID, "--shell is given without --script");
    if (strcmp(options_origin(options, "keep-for"), "default") != 0 &&
        strcmp(options_origin(options, "keep"), "default") == 0)
        return err_set(err, ERR_OPTION_INVALID, "--keep-for is given without --keep") ||
               err_hint(err, "say when: --keep on-failure, or --keep always");
    if (options->script && strcmp(options->script, "-") == 0 &&
        (options->interactive || (options->step && strcmp(options->step, "-") == 0)))
        return err_set(err, ERR_OPTION_INVALID, "stdin cannot be the script and something else");
    if (options->interactive && options->step && strcmp(options->step, "-") == 0)
        return err_set(err, ERR_OPTION_INVALID, "stdin cannot be the step and the command's input");
    if (options->id && (options->interactive || options->terminal)) {
        err_set(err, ERR_OPTION_INVALID, "%s cannot be given with --id",
                options->opens_shell   ? "an interactive shell"
                : options->interactive ? "-i"
                                       : "-t");
        return err_hint(err, "a durable step outlives its caller, and so its caller's streams");
    }
    if (options->interactive && options->terminal && !options->explains && !isatty(STDIN_FILENO)) {
        err_set(err, ERR_OPTION_INVALID, "stdin is no terminal");
        return err_hint(err, options->opens_shell
                                 ? "'stepcell shell' is for people; 'stepcell run' is for scripts"
                                 : "leave -t out, or -i");
    }
    if (options->engine_host && options->engine == ENGINE_KUBERNETES) {
        err_set(err, ERR_OPTION_INVALID, "--engine-host is given, and the engine is a cluster");
        return err_hint(err, "the kubeconfig says where it is; --kubernetes-context chooses there");
    }
    return !options->events_token_file || (options->events && sink_is_http(options->events)) ||
           err_set(err, ERR_OPTION_INVALID,
                   "--events-token-file is given without a receiver by HTTP");
}

/* What the step is besides its options. Where it starts counts only where it decides something. */
static bool note_words(struct run_options *options)
{
    json_t *command = json_array();
    autofree char *cwd = options->workdir && options->workdir[0] == '/' ? NULL : getcwd(NULL, 0);

    if (cwd && json_object_set_new(options->asked, "cwd", json_bytes(cwd, strlen(cwd))) < 0)
        return false;
    for (size_t i = 0; i < options->command.count; i++)
        json_array_append_new(
            command, json_bytes(options->command.items[i], strlen(options->command.items[i])));
    return json_object_set_new(options->asked, "image",
                               json_bytes(options->image, strlen(options->image))) == 0 &&
           json_object_set_new(options->asked, "command", command) == 0;
}

static bool parse(int argc, char **argv, struct run_options *options, struct tokens *tokens,
                  struct err *err)
{
    const char *step = NULL;
    struct err ignored;

    if (!tokenise(argc, argv, options, tokens, err))
        return false;
    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->items[i];

        if (option_is(token->option, "result"))
            token->option->set(options, "result", token->value, &ignored);
        if (option_is(token->option, "help"))
            options->help = true;
        if (option_is(token->option, "json"))
            options->json = true;
        if (option_is(token->option, "step"))
            step = token->value;
    }
    if (options->json && !options->explains && !passes(options, unknown("--json", err), err))
        return false;
    if (options->help && !options->wrong.count)
        return true;
    if ((step && !passes(options, apply_step(options, step, err), err)) ||
        !apply(options, tokens, err) ||
        !apply_words(options, argc - tokens->rest, argv + tokens->rest, err))
        return false;
    /* What could not be understood may be what the rest lacks. */
    if (!options->wrong.count && !passes(options, check(options, err), err))
        return false;
    if (options->wrong.count) {
        *err = options->wrong.items[0];
        return false;
    }
    return note_words(options) || options_no_memory(err);
}

json_t *options_in_order(const json_t *step)
{
    static const char *const words[] = {"schema", "image", "command"};
    autojson *ordered = json_object();
    const struct option *table;
    size_t count;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        json_object_set(ordered, words[i], json_object_get(step, words[i]));
    table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        autofree char *key = key_of(&table[i]);

        json_object_set(ordered, key, json_object_get(step, key));
    }
    return json_object_update_missing(ordered, (json_t *)step) == 0 ? TAKE_PTR(ordered) : NULL;
}

bool options_parse(int argc, char **argv, struct run_options *options, struct err *err)
{
    struct tokens tokens = {.items = NULL};
    bool ok;

    options->asked = json_object();
    ok = options->asked ? parse(argc, argv, options, &tokens, err) : options_no_memory(err);
    free(tokens.items);
    return ok;
}

bool options_add_writable(const struct run_options *options, struct strv *places)
{
    bool ok = strv_add(places, options->workdir ? options->workdir : ".");

    for (size_t i = 0; i < options->mount_count; i++) {
        const struct mount_spec *mount = &options->mounts[i];

        if (mount->kind == MOUNT_BIND && !mount->readonly && mount->source)
            ok = ok && strv_add(places, mount->source);
    }
    return ok;
}

void options_release(struct run_options *options)
{
    for (size_t i = 0; i < options->mount_count; i++)
        mount_spec_release(&options->mounts[i]);
    free(options->mounts);
    json_decref(options->asked);
    errs_release(&options->wrong);
    free(options->id);
    free(options->engine_host);
    free(options->kubernetes_context);
    free(options->kubernetes_namespace);
    free(options->kubernetes_init);
    free(options->kubernetes_ship);
    strv_release(&options->kubernetes_volumes);
    free(options->events);
    free(options->events_token_file);
    free(options->image);
    strv_release(&options->command);
    strv_release(&options->env);
    strv_release(&options->env_files);
    strv_release(&options->secret_env);
    strv_release(&options->secret_files);
    strv_release(&options->mask_files);
    free(options->workdir);
    free(options->script);
    free(options->shell);
    free(options->user);
    free(options->platform);
    free(options->hostname);
    free(options->result);
    free(options->seccomp);
    free(options->progress);
    free(options->store);
    free(options->step);
    free(options->lock);
    *options = RUN_OPTIONS_INIT;
}

/* What the commands say of themselves. */
static const struct {
    const char *command;
    const char *text;
} abouts[] = {
    {"run", "Runs one step in a cell made of IMAGE and ends with its exit status."},
    {"start", "Starts one step in a cell made of IMAGE, prints its id, and returns once it is\n"
              "recorded. 'stepcell wait', 'logs', 'status' and 'cancel' take the id."},
    {"shell",
     "Opens an interactive shell in the cell of a step, instead of running the step: bash\n"
     "where the image has it, else sh, or what --shell names. -i and -t are implied."},
    {"explain", "Tells what the step would be, and all that keeps it from starting. Nothing of it\n"
                "is started. Exits with 0 when it could start, else with 125."},
};

static const char *about(const char *command)
{
    for (size_t i = 0; i < ARRAY_SIZE(abouts); i++) {
        if (strcmp(abouts[i].command, command) == 0)
            return abouts[i].text;
    }
    return "";
}

/* A shell is interactive, and no step under an id is. */
static bool is_option_of(const char *command, const struct option *option)
{
    if (option_is(option, "json"))
        return strcmp(command, "explain") == 0;
    return strcmp(command, "shell") != 0 ||
           !(option_is(option, "id") || option_is(option, "since") || option_is(option, "engine") ||
             option_is(option, "engine-host"));
}

char *options_help(const char *command)
{
    size_t count;
    const struct option *table = options_table(&count);
    struct buf text = BUF_INIT(65536);

    buf_printf(&text,
               "Usage: stepcell %s [OPTIONS] IMAGE [--] COMMAND [ARG...]\n"
               "       stepcell %s [OPTIONS] --script FILE IMAGE [ARG...]\n"
               "       stepcell %s [OPTIONS] --step FILE|-\n\n%s\n\n",
               command, command, command, about(command));
    for (size_t i = 0; i < count; i++) {
        autofree char *name = text_printf("--%s", table[i].name);
        char letter[] = {'-', table[i].letter, '\0'};

        if (!is_option_of(command, &table[i]))
            continue;
        command_add_option_help(&text, table[i].letter ? letter : NULL, name ? name : "",
                                table[i].value, table[i].help);
    }
    return buf_take(&text);
}
