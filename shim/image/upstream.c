/* stepcell upstream check: has an image to be built again? */
#include "shim/image/upstream.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "runtime/image/credentials.h"
#include "shim/image/command.h"
#include "shim/print.h"

#define SCHEMA       "stepcell.upstream-check/1"
#define TOKEN_MAX    (16 << 10) /* bytes of the file of a token */
#define EXIT_UNKNOWN 1

struct call {
    const char *feed, *image, *tag, *platforms, *bases;
    const char *scheme, *constraint, *include, *exclude, *expression;
    const char *prefix, *suffix, *at_least, *token_file;
    const char *output, *name_version, *name_continue;
    bool prereleases, revisions, force, json;
    const struct upstream_output *sink; /* NULL: none but the facts */
    char *authorization;
    struct upstream upstream;
};

static void release(struct call *call)
{
    secret_free(call->authorization);
    feed_release(&call->upstream.feed);
    for (size_t i = 0; i < call->upstream.base_count; i++)
        reference_release(&call->upstream.bases[i]);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a feed");
}

/* ---- options ---- */

/* Whether all was taken: calls `take` for each part of a list with commas. */
static bool each_part(const char *list, bool (*take)(struct upstream *, const char *, struct err *),
                      struct upstream *upstream, struct err *err)
{
    while (list) {
        size_t len = strcspn(list, ",");
        autofree char *part = strndup(list, len);

        if (!part)
            return no_memory(err);
        if (!take(upstream, part, err))
            return false;
        list = list[len] ? list + len + 1 : NULL;
    }
    return true;
}

static bool take_platform(struct upstream *upstream, const char *text, struct err *err)
{
    if (upstream->platform_count == UPSTREAM_PLATFORMS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "there are more than %d platforms",
                       UPSTREAM_PLATFORMS_MAX);
    return platform_parse(text, &upstream->platforms[upstream->platform_count++], err);
}

static bool take_base(struct upstream *upstream, const char *text, struct err *err)
{
    struct reference *base = &upstream->bases[upstream->base_count];

    if (upstream->base_count == UPSTREAM_BASES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "there are more than %d bases", UPSTREAM_BASES_MAX);
    if (!command_parse_reference(text, base, err))
        return false;
    upstream->base_count++;
    return base->transport == TRANSPORT_REGISTRY ||
           err_set(err, ERR_OPTION_INVALID, "the base '%s' is in no registry", text);
}

static bool take_rules(struct call *call, struct err *err)
{
    struct upstream *upstream = &call->upstream;
    const char *wrong;

    upstream->rules = (struct version_rules){
        .scheme =
            call->scheme ? version_scheme_parse(call->scheme) : feed_scheme(upstream->feed.kind),
        .prereleases = call->prereleases ? PRERELEASES_YES : PRERELEASES_NO,
        .revisions = call->revisions,
        .constraint = call->constraint,
        .include = call->include,
        .exclude = call->exclude,
        .expression = call->expression,
    };
    if (upstream->rules.scheme == VERSION_SCHEMES)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no scheme of versions", call->scheme);
    wrong = version_rules_check(&upstream->rules);
    if (wrong)
        return err_set(err, ERR_OPTION_INVALID, "%s", wrong);
    /* As in a feed. */
    if (call->at_least && (*call->at_least == 'v' || *call->at_least == 'V') &&
        isdigit((unsigned char)call->at_least[1]))
        call->at_least++;
    if (call->at_least && (!feed_version_is_valid(call->at_least) ||
                           !version_is_valid(&upstream->rules, call->at_least)))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no version of the scheme '%s'",
                       call->at_least, version_scheme_name(upstream->rules.scheme));
    upstream->at_least = call->at_least;
    upstream->prefix = call->prefix;
    upstream->suffix = call->suffix;
    return true;
}

/* A token, or USER:PASSWORD: no token has a colon. */
static bool take_token(struct call *call, struct err *err)
{
    autobuf text = BUF_INIT(TOKEN_MAX);
    autofree char *basic = NULL;

    if (!call->token_file)
        return true;
    if (call->upstream.feed.kind == FEED_TAGS) {
        err_set(err, ERR_OPTION_INVALID, "a token is for no feed of tags");
        return err_hint(err, "log in to the registry, as for a pull");
    }
    if (!file_read(AT_FDCWD, call->token_file, &text, ERR_OPTION_INVALID, err))
        return false;
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    for (size_t i = 0; i < text.len; i++) {
        if (!isprint((unsigned char)text.data[i]))
            text.len = 0;
    }
    if (text.len == 0)
        return err_set(err, ERR_OPTION_INVALID, "'%s' holds no line with a token",
                       call->token_file);
    basic = strchr(text.data, ':') ? base64_encode(text.data, text.len) : NULL;
    call->authorization =
        basic ? text_printf("Basic %s", basic) : text_printf("Bearer %s", text.data);
    explicit_bzero(text.data, text.len);
    call->upstream.authorization = call->authorization;
    return call->authorization || no_memory(err);
}

static bool take_output(struct call *call, struct err *err)
{
    const char *const names[] = {call->name_version, call->name_continue};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (upstream_name_is_valid(names[i]))
            continue;
        err_set(err, ERR_OPTION_INVALID, "'%s' is no name of a variable", names[i]);
        return err_hint(err, "letters, digits and '_', the first no digit; 128 at the most");
    }
    /* Azure, and variables on Windows, know no case. */
    if (strcasecmp(call->name_version, call->name_continue) == 0)
        return err_set(err, ERR_OPTION_INVALID, "the version and the decision have one name, '%s'",
                       call->name_continue);
    if (call->output && strcmp(call->output, "json") == 0) {
        call->json = true;
        return true;
    }
    call->sink = call->output ? upstream_output_find(call->output) : NULL;
    if (call->output && !call->sink)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no kind of output", call->output);
    return !call->sink || !call->json || call->sink->to_file ||
           err_set(err, ERR_OPTION_INVALID, "'--json' and '--output %s' both write to stdout",
                   call->output);
}

static bool prepare(struct call *call, struct err *err)
{
    struct upstream *upstream = &call->upstream;

    if (!call->feed || !call->image) {
        err_set(err, ERR_OPTION_INVALID, "a feed and an image have to be given");
        return err_hint(err, "--feed KIND:URL --image HOST/PATH");
    }
    upstream->image = call->image;
    upstream->template = call->tag;
    upstream->force = call->force;
    if (!feed_parse(call->feed, &upstream->feed, err))
        return false;
    upstream->feed.prereleases = call->prereleases;
    if (!upstream_template_is_valid(call->tag))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no tag with '{version}' in it", call->tag);
    if (!reference_is_repository(call->image)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no repository of a registry", call->image);
        return err_hint(err, "give it without a tag: HOST/PATH");
    }
    return take_rules(call, err) && each_part(call->platforms, take_platform, upstream, err) &&
           each_part(call->bases, take_base, upstream, err) && take_output(call, err) &&
           take_token(call, err);
}

/* ---- answers ---- */

static const char *const words[] = {
    [UPSTREAM_YES] = "yes", [UPSTREAM_NO] = "no", [UPSTREAM_UNKNOWN] = "unknown"};

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *as_json(const struct upstream_answer *answer)
{
    json_t *baseless = json_array();

    for (size_t i = 0; i < answer->baseless.count; i++)
        json_array_append_new(baseless, json_string(answer->baseless.items[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "schema", SCHEMA, "decision",
                     words[upstream_decision(answer->reason)], "reason",
                     upstream_reason_word(answer->reason), "version", text_or_null(answer->version),
                     "tag", text_or_null(answer->tag), "previous", text_or_null(answer->previous),
                     "baseless", baseless, "message",
                     json_bytes(answer->err.message, strlen(answer->err.message)));
}

/* A yes or a no is a fact, for stdout unless variables are there; what is unknown is an error. */
static int print_answer(const struct call *call, const struct upstream_answer *answer)
{
    enum upstream_decision decision = upstream_decision(answer->reason);
    autofree char *message = command_escape(answer->err.message);
    int status = decision == UPSTREAM_UNKNOWN ? EXIT_UNKNOWN : 0;

    if (decision == UPSTREAM_UNKNOWN)
        print_err(&answer->err);
    if (call->json)
        return command_print_json(as_json(answer)) ? STATUS_FAILED : status;
    if (!call->sink || call->sink->to_file)
        print_out("%s: %s: %s\n", words[decision], upstream_reason_word(answer->reason),
                  message ? message : "");
    else if (decision != UPSTREAM_UNKNOWN)
        print_note(PRINT_NORMAL, "%s: %s: %s", words[decision],
                   upstream_reason_word(answer->reason), answer->err.message);
    return status;
}

/* What could not be handed out must not look like an answer. */
static int check(struct call *call)
{
    CLEANUP(upstream_answer_release) struct upstream_answer answer = {0};
    struct err err;

    if (!prepare(call, &err))
        return command_failed(&err);
    upstream_check(&call->upstream, &answer);
    if (call->sink &&
        !upstream_output_write(call->sink, call->name_version, call->name_continue, &answer, &err))
        return command_failed(&err);
    return print_answer(call, &answer);
}

static int command_upstream_check(int argc, char **argv)
{
    CLEANUP(release)
    struct call call = {
        .tag = "{version}", .name_version = "CURRENT_VERSION", .name_continue = "Continue"};
    const struct option_spec options[] = {
        OPTION("--feed", "KIND:URL", &call.feed,
               "maven, github, npm, pypi, apt, json, text or tags"),
        OPTION("--image", "REPOSITORY", &call.image, "that is asked for the version's tag"),
        OPTION("--tag", "TEMPLATE", &call.tag, "of its tags, default {version}"),
        OPTION("--platform", "LIST", &call.platforms, "that it has to have, with commas between"),
        OPTION("--base", "LIST", &call.bases, "images that it has to be built on"),
        OPTION("--scheme", "docker|semver|loose|numeric|date|alpha|deb|maven|pep440|regex",
               &call.scheme, "how versions are read; that of the feed's kind by default"),
        OPTION("--constraint", "RANGE", &call.constraint, "versions that count, '>=7.7 <8' say"),
        OPTION("--include", "GLOB", &call.include, "versions that count"),
        OPTION("--exclude", "GLOB", &call.exclude, "versions that do not"),
        OPTION("--expression", "REGEX", &call.expression, "of the scheme regex"),
        FLAG("--prereleases", &call.prereleases, "pre-releases count"),
        FLAG("--revisions", &call.revisions, "7.7.2-4 is newer than 7.7.2-3"),
        OPTION("--prefix", "TEXT", &call.prefix, "in front of versions in the feed"),
        OPTION("--suffix", "TEXT", &call.suffix, "behind versions in the feed"),
        OPTION("--at-least", "VERSION", &call.at_least, "of which the feed may not fall short"),
        OPTION("--token-file", "FILE", &call.token_file, "a token for the feed, or USER:PASSWORD"),
        FLAG("--force", &call.force, "yes instead of no"),
        OPTION("--output", "github|azure|gitlab|teamcity|octopus|json", &call.output,
               "whose variables are set"),
        OPTION("--name-version", "NAME", &call.name_version,
               "of the version's variable, default CURRENT_VERSION"),
        OPTION("--name-continue", "NAME", &call.name_continue,
               "of the decision's, default Continue"),
        FLAG("--json", &call.json, "as JSON"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell upstream check [OPTIONS] --feed KIND:URL --image REPOSITORY",
        .about =
            "Asks a feed for the newest version of a software, and a registry for the image of\n"
            "it: yes, it has to be built (again), no, it is there and whole, or unknown. Exit\n"
            "status: 0 for yes and no, 1 for unknown.",
        .options = options,
    };
    size_t count;
    int status;

    return command_begin(argc, argv, &command, &count, &status) ? check(&call) : status;
}

int command_upstream(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"check", command_upstream_check, false, "tell whether an image has to be built again"},
        {0},
    };
    static const struct command_group group = {
        .name = "upstream",
        .about = "Looks for newer versions of what images are made of.",
        .commands = commands,
    };
    int status;
    const struct subcommand *command = command_group_choose(&group, argv[0], &status);

    return command ? command->run(argc - 1, argv + 1) : status;
}
