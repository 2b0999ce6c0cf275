#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "runtime/image/check_subject.h"
#include "shim/image/check_report.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/print.h"

/* What that means. */
struct check_meant {
    struct check_profile profile;
    struct reference reference;
    struct platform platforms[CHECK_PLATFORMS_MAX];
    size_t platform_count;
    enum check_level fail_on;
    enum fetch_policy policy;
    check_writer *writer;
};

static void check_meant_release(struct check_meant *meant)
{
    check_profile_release(&meant->profile);
    reference_release(&meant->reference);
}

static bool bad_value(const char *option, const char *value, const char *hint, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%s' is no value for %s", value, option);
    return err_hint(err, "%s", hint);
}

/* A word with a '/' in it is a file. */
static bool read_profile(const char *name, struct check_profile *profile, struct err *err)
{
    autobuf text = BUF_INIT(CHECK_PROFILE_MAX);

    if (!strchr(name, '/'))
        return check_profile_builtin(name, profile, err);
    return file_read(AT_FDCWD, name, &text, ERR_CONFIG_INVALID, err) &&
           check_profile_parse(text.data ? text.data : "", text.len, name, profile, err);
}

/* Calls `each` for every word between commas. */
static bool each_word(const char *list, bool (*each)(void *data, const char *word, struct err *err),
                      void *data, struct err *err)
{
    autofree char *copy = strdup(list);
    char *rest = copy, *word;
    bool ok = copy || err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");

    while (ok && (word = strsep(&rest, ",")))
        ok = each(data, word, err);
    return ok;
}

static bool ignore_rule(void *data, const char *word, struct err *err)
{
    struct check_profile *profile = data;
    int rule = check_rule_find(word);

    if (rule < 0)
        return bad_value("--ignore", word, "--list-rules lists the rules", err);
    profile->levels[rule] = CHECK_OFF;
    return true;
}

static bool add_platform(void *data, const char *word, struct err *err)
{
    struct check_meant *meant = data;

    if (meant->platform_count == CHECK_PLATFORMS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d platforms", CHECK_PLATFORMS_MAX);
    return platform_parse(word, &meant->platforms[meant->platform_count++], err);
}

static bool read_platforms(const char *list, struct check_meant *meant, struct err *err)
{
    if (list)
        return each_word(list, add_platform, meant, err);
    platform_host(&meant->platforms[0]);
    meant->platform_count = 1;
    return true;
}

static bool read_policy(const char *text, enum fetch_policy *policy, struct err *err)
{
    static const struct {
        const char *text;
        enum fetch_policy policy;
    } policies[] = {{"missing", FETCH_MISSING}, {"always", FETCH_ALWAYS}, {"never", FETCH_NEVER}};

    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        if (strcmp(policies[i].text, text) == 0) {
            *policy = policies[i].policy;
            return true;
        }
    }
    return bad_value("--pull", text, "give missing, always or never", err);
}

static bool understand(const struct check_request *request, struct check_meant *meant,
                       struct err *err)
{
    const char *format = request->json ? "json" : request->format;

    meant->writer = check_report_writer(format);
    if (!meant->writer)
        return bad_value("--format", format, "give text, json, junit or sarif", err);
    if (!check_level_parse(request->fail_on, &meant->fail_on) || meant->fail_on == CHECK_OFF)
        return bad_value("--fail-on", request->fail_on, "give error, warning or info", err);
    return read_profile(request->profile, &meant->profile, err) &&
           (!request->ignore || each_word(request->ignore, ignore_rule, &meant->profile, err)) &&
           read_platforms(request->platforms, meant, err) &&
           read_policy(request->pull, &meant->policy, err);
}

bool check_is_understood(const struct check_request *request, struct err *err)
{
    CLEANUP(check_meant_release) struct check_meant meant = {0};

    return understand(request, &meant, err);
}

static int list_rules(const struct check_profile *profile, bool json)
{
    json_t *list = json ? json_array() : NULL;
    const struct check_rule *rules;
    size_t count;

    rules = check_rules(&count);
    for (size_t i = 0; i < count; i++) {
        const char *level = check_level_text(profile->levels[i]);

        if (json)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", rules[i].id, "level",
                                                  level, "what", rules[i].what));
        else
            print_out("%-16s %-8s %s\n", rules[i].id, level, rules[i].what);
    }
    return json ? command_print_json(
                      json_pack("{s:s, s:o}", "schema", "stepcell.image-rules/1", "rules", list))
                : 0;
}

/* What is not looked for in a store need not have one. */
static bool uses_store(const struct check_meant *meant)
{
    return meant->policy == FETCH_NEVER ||
           (meant->policy == FETCH_MISSING && meant->reference.transport == TRANSPORT_REGISTRY);
}

static void note_warnings(const struct check_results *results, enum verbosity verbosity)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct check_finding *finding = &results->findings[i];

        if (finding->reason != CHECK_NOT_SKIPPED || finding->level < CHECK_WARNING)
            continue;
        print_note(verbosity, "%s: %s: %s", check_report_level(finding), finding->rule->id,
                   finding->message);
        if (finding->hint)
            print_note(verbosity, "hint: %s", finding->hint);
    }
}

static bool hide_text(const struct mask *hidden, char **text, struct err *err)
{
    autobuf masked = BUF_INIT(strlen(*text) * strlen(MASK_TEXT));

    if (!mask_text(hidden, *text, strlen(*text), &masked, err))
        return false;
    free(*text);
    *text = buf_take(&masked);
    return *text || err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
}

/* An image can have them anywhere. */
static bool hide_secrets(const struct mask *hidden, struct check_results *results, struct err *err)
{
    for (size_t i = 0; hidden && i < results->count; i++) {
        struct check_finding *finding = &results->findings[i];

        if (!hide_text(hidden, &finding->message, err) ||
            (finding->hint && !hide_text(hidden, &finding->hint, err)))
            return false;
    }
    return true;
}

static int check_image(const struct check_request *request, const struct check_meant *meant,
                       struct err *err)
{
    static const int statuses[] = {[CHECK_FIT] = 0, [CHECK_UNFIT] = 2, [CHECK_UNKNOWN] = 1};
    autostore store = STORE_INIT;
    autocheckfacts facts = {0};
    autocheckresults results = {0};
    struct check_report report = {.facts = &facts, .profile = &meant->profile, .results = &results};
    struct mapped mapped;
    struct layer_map map;

    if ((uses_store(meant) && !command_open_store(request->store, &store, err)) ||
        !mapped_for(0, 0, &mapped, err))
        return command_failed(err);
    map = mapped_layers(&mapped);
    if (!check_collect(&(struct check_subject){.store = uses_store(meant) ? &store : NULL,
                                               .reference = &meant->reference,
                                               .platforms = meant->platforms,
                                               .platform_count = meant->platform_count,
                                               .only_store = meant->policy == FETCH_NEVER,
                                               .map = &map,
                                               .profile = &meant->profile,
                                               .fail_on = meant->fail_on,
                                               .all_layers = request->all_layers},
                       &facts, err) ||
        !check_evaluate(&facts, &meant->profile, &results, err) ||
        !hide_secrets(request->hidden, &results, err))
        return command_failed(err);
    report.verdict = check_verdict(&facts, &results);
    if (request->report) {
        *request->report = check_report_json(&report);
        return *request->report ? statuses[report.verdict] : STATUS_FAILED;
    }
    if (request->only_faults && report.verdict == CHECK_FIT) {
        note_warnings(&results, request->verbosity);
        return 0;
    }
    return meant->writer(&report) ? statuses[report.verdict] : STATUS_FAILED;
}

int check_run(const struct check_request *request, const char *reference)
{
    CLEANUP(check_meant_release) struct check_meant meant = {0};
    struct err err;

    if (!understand(request, &meant, &err))
        return command_failed(&err);
    if (request->list_rules)
        return list_rules(&meant.profile, request->json);
    if (!reference) {
        err_set(&err, ERR_OPTION_INVALID, "one image reference is needed");
        return command_failed(&err);
    }
    if (!command_parse_reference(reference, &meant.reference, &err))
        return command_failed(&err);
    return check_image(request, &meant, &err);
}

int command_check(int argc, char **argv)
{
    struct check_request request = CHECK_REQUEST_INIT;
    const struct option_spec options[] = {
        OPTION("--profile", "octopus|plain|FILE", &request.profile,
               "default octopus; a file's path has a '/' in it"),
        OPTION("--platform", "P[,P...]", &request.platforms,
               "of the workers, default this machine's; windows(BUILD)/ARCH"),
        OPTION("--fail-on", "error|warning|info", &request.fail_on,
               "what makes an image unfit; error by default"),
        OPTION("--ignore", "ID[,ID...]", &request.ignore, "rules that are not asked"),
        FLAG("--all-layers", &request.all_layers,
             "read every layer, also for rules that cannot change the verdict"),
        OPTION("--format", "text|json|junit|sarif", &request.format, "text by default"),
        FLAG("--json", &request.json, "as JSON"),
        OPTION("--pull", "missing|always|never", &request.pull,
               "the store's image, or else the registry's; always: the registry's"),
        OPTION("--store", "DIR", &request.store, "the image store"),
        FLAG("--list-rules", &request.list_rules, "the rules, and their levels in the profile"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image check [OPTIONS] REFERENCE",
        .about =
            "Tells whether an image is fit to be an execution container, without running or\n"
            "storing it. REFERENCE is [HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG],\n"
            "docker-archive:FILE[:REF] or oci-archive:FILE[:TAG]. Exit status: 0 fit, 2 unfit,\n"
            "1 unknown because something could not be read.",
        .missing = "one image reference is needed",
        .words_max = 1,
        .options = options,
    };
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    return check_run(&request, words ? argv[0] : NULL);
}
