#include "runtime/image/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/check_rules.h"

#define OFF CHECK_OFF
#define INF CHECK_INFO
#define WRN CHECK_WARNING
#define ERR CHECK_ERROR

/* docs/image-check.md has the same table. */
static const struct check_rule rules[] = {
    {"image", ERR, ERR, true, "the image can be read, and is what its digests say",
     check_ask_image},
    {"os", ERR, ERR, true, "there is an image for every platform of the workers", check_ask_os},
    {"os-version", ERR, ERR, true, "Windows images name the build that they need",
     check_ask_os_version},
    {"win-age", WRN, OFF, true, "Windows images are not older than Windows Server 2019",
     check_ask_win_age},
    {"latest", WRN, WRN, true, "the tag is not one that moves by its name", check_ask_latest},
    {"digest", INF, INF, true, "the reference is pinned by a digest", check_ask_digest},
    {"entrypoint", ERR, ERR, false, "there is no entrypoint", check_ask_entrypoint},
    {"cmd", WRN, OFF, false, "there is no command, or it is a plain shell", check_ask_cmd},
    {"workdir", WRN, OFF, false, "the working directory is the root, or none is set",
     check_ask_workdir},
    {"user", ERR, ERR, false, "the user exists, and may write to what is mounted", check_ask_user},
    {"volume", ERR, ERR, false, "no volume hides what is mounted", check_ask_volume},
    {"onbuild", INF, INF, false, "nothing runs when other images are built on it",
     check_ask_onbuild},
    {"healthcheck", INF, INF, false, "there is no health check, which a step has no use for",
     check_ask_healthcheck},
    {"stopsignal", INF, INF, false, "the signal that stops it is not changed",
     check_ask_stopsignal},
    {"env-secrets", WRN, WRN, false, "no variable or build argument looks like a secret",
     check_ask_env_secrets},
    {"version", WRN, WRN, false, "tag, label and the key software say the same version",
     check_ask_version},
    {"labels", INF, INF, false, "labels say where the image comes from", check_ask_labels},
    {"size", WRN, WRN, false, "neither the image nor a layer is larger than the profile allows",
     check_ask_size},
    {"libc", ERR, OFF, false, "programs of the GNU C library run, and it is not one of musl's",
     check_ask_libc},
    {"distro", ERR, OFF, false, "the distribution is one that the profile names", check_ask_distro},
    {"packages", ERR, OFF, false, "the packages that scripts expect are there", check_ask_packages},
    {"dotnet-deps", ERR, OFF, false, "what .NET needs is there", check_ask_dotnet_deps},
    {"icu-invariant", INF, OFF, false, ".NET does not do without libicu", check_ask_icu_invariant},
    {"shell", ERR, ERR, false, "/bin/sh runs, and the shells that the profile names",
     check_ask_shell},
    {"path", ERR, ERR, false, "the tools that the profile names are on PATH", check_ask_path},
    {"helpers", WRN, OFF, false, "bash and openssl are there, which Octopus's functions need",
     check_ask_helpers},
    {"bashrc-path", WRN, WRN, false, "no start-up file has a PATH that a script will not see",
     check_ask_bashrc_path},
    {"arch-of-binaries", WRN, WRN, false, "programs on PATH are for the image's architecture",
     check_ask_binaries},
    {"waste", WRN, WRN, false, "little is replaced or removed by upper layers, no package lists",
     check_ask_waste},
    {"root-owned", INF, INF, false, "directories of PATH exist, and not everybody may write there",
     check_ask_root_owned},
    {"setuid", OFF, OFF, false, "no program has a set-id bit", check_ask_setuid},
    {"sudo", OFF, OFF, false, "there is no sudo", check_ask_sudo},
};
_Static_assert(ARRAY_SIZE(rules) <= CHECK_RULES_MAX, "profiles have room for every rule");

const struct check_rule *check_rules(size_t *count)
{
    *count = ARRAY_SIZE(rules);
    return rules;
}

int check_rule_find(const char *id)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (strcmp(rules[i].id, id) == 0)
            return (int)i;
    }
    return -1;
}

static const char *const level_texts[] = {"off", "info", "warning", "error"};

const char *check_level_text(enum check_level level)
{
    return level_texts[level];
}

bool check_level_parse(const char *text, enum check_level *level)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_texts); i++) {
        if (strcmp(level_texts[i], text) == 0) {
            *level = (enum check_level)i;
            return true;
        }
    }
    return false;
}

void check_facts_release(struct check_facts *facts)
{
    for (size_t i = 0; i < facts->image_count; i++) {
        struct check_image *image = &facts->images[i];

        free(image->missing);
        free(image->missing_hint);
        free(image->manifest_digest);
        free(image->unreadable);
        check_config_release(&image->config);
        manifest_release(&image->manifest);
        check_tree_free(image->tree);
    }
    free(facts->images);
    free(facts->offers);
    free(facts->digest);
    free(facts->unreadable);
    free(facts->unreadable_hint);
    *facts = (struct check_facts){0};
}

/* ---- what a rule says ---- */

static void truncate_findings(struct check_results *results, size_t count)
{
    while (results->count > count) {
        struct check_finding *finding = &results->findings[--results->count];

        free(finding->message);
        free(finding->hint);
    }
}

void check_results_release(struct check_results *results)
{
    truncate_findings(results, 0);
    free(results->findings);
    *results = (struct check_results){0};
}

__attribute__((format(printf, 5, 0))) static void say(struct check_run *run, enum check_level level,
                                                      enum check_reason reason, const char *hint,
                                                      const char *format, va_list args)
{
    struct check_results *results = run->results;
    struct check_finding finding = {
        .rule = run->rule, .image = run->image, .level = level, .reason = reason};

    run->spoke = true;
    if (!results || results->count == CHECK_FINDINGS_MAX)
        return;
    if ((results->count & (results->count + 1)) == 0) {
        struct check_finding *findings =
            realloc(results->findings, 2 * (results->count + 1) * sizeof(*findings));

        if (!findings) {
            run->no_memory = true;
            return;
        }
        results->findings = findings;
    }
    if (vasprintf(&finding.message, format, args) < 0)
        finding.message = NULL;
    finding.hint = hint ? strdup(hint) : NULL;
    run->no_memory |= !finding.message || (hint && !finding.hint);
    results->findings[results->count++] = finding;
}

void check_find_at(struct check_run *run, enum check_level level, const char *hint,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(run, level < run->level ? level : run->level, CHECK_NOT_SKIPPED, hint, format, args);
    va_end(args);
}

void check_find(struct check_run *run, const char *hint, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(run, run->level, CHECK_NOT_SKIPPED, hint, format, args);
    va_end(args);
}

void check_skip(struct check_run *run, enum check_reason reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(run, CHECK_OFF, reason, NULL, format, args);
    va_end(args);
}

/* ---- asking ---- */

/* An answer that was open is none: what was said on the way to it is taken back. */
static void settle(struct check_run *run, size_t before)
{
    if (!run->open)
        return;
    truncate_findings(run->results, before);
    if (run->image->unreadable)
        check_skip(run, CHECK_UNREADABLE, "it cannot be told: %s", run->image->unreadable);
    else
        check_skip(run, CHECK_NOT_NEEDED,
                   "it lies in layers that were not read, since it cannot change the verdict");
}

static bool is_unread(const struct check_facts *facts)
{
    bool unread = facts->unreadable;

    for (size_t i = 0; i < facts->image_count; i++)
        unread |= facts->images[i].unreadable != NULL;
    return unread;
}

static bool is_incomplete(const struct check_facts *facts)
{
    bool incomplete = is_unread(facts);

    for (size_t i = 0; i < facts->image_count; i++)
        incomplete |= facts->images[i].missing != NULL;
    return incomplete;
}

static bool ask(const struct check_facts *facts, const struct check_image *image,
                const struct check_profile *profile, size_t index, struct check_results *results)
{
    struct check_run run = {.facts = facts,
                            .image = image,
                            .profile = profile,
                            .rule = &rules[index],
                            .level = profile->levels[index],
                            .results = results};
    size_t before = results->count;
    /* What was not read is told, whether that is asked for or not. */
    bool is_told = run.rule->ask == check_ask_image && is_unread(facts);

    if (run.level == CHECK_OFF && !is_told) {
        check_skip(&run, CHECK_SWITCHED_OFF, "it is switched off");
    } else if (image && image->missing) {
        check_skip(&run, CHECK_NOT_APPLICABLE, "there is no image for this platform");
    } else {
        run.rule->ask(&run);
        settle(&run, before);
    }
    results->passed[index] |= !run.spoke;
    return !run.no_memory;
}

/* What one platform has something to say of has not passed. */
static void take_back_passed(struct check_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct check_finding *finding = &results->findings[i];

        if (finding->reason == CHECK_NOT_SKIPPED || finding->reason == CHECK_UNREADABLE)
            results->passed[finding->rule - rules] = false;
    }
}

bool check_evaluate(const struct check_facts *facts, const struct check_profile *profile,
                    struct check_results *results, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < ARRAY_SIZE(rules); i++) {
        /* Of what cannot be read nothing else is to be said. */
        if (facts->unreadable && rules[i].ask != check_ask_image)
            continue;
        if (rules[i].of_reference)
            ok = ask(facts, NULL, profile, i, results);
        for (size_t k = 0; ok && !rules[i].of_reference && k < facts->image_count; k++)
            ok = ask(facts, &facts->images[k], profile, i, results);
    }
    take_back_passed(results);
    return ok || err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
}

bool check_needs_files(const struct check_facts *facts, const struct check_image *image,
                       const struct check_profile *profile)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct check_run run = {.facts = facts,
                                .image = image,
                                .profile = profile,
                                .rule = &rules[i],
                                .level = profile->levels[i]};

        if (rules[i].of_reference || run.level == CHECK_OFF ||
            (run.level < facts->fail_on && !facts->all_layers))
            continue;
        run.rule->ask(&run);
        if (run.open)
            return true;
    }
    return false;
}

enum check_verdict check_verdict(const struct check_facts *facts,
                                 const struct check_results *results)
{
    /* Whichever rules were asked: nobody knows of what was not there. */
    enum check_verdict verdict = is_incomplete(facts) ? CHECK_UNKNOWN : CHECK_FIT;

    for (size_t i = 0; i < results->count; i++) {
        const struct check_finding *finding = &results->findings[i];

        if (finding->level >= facts->fail_on && finding->reason == CHECK_NOT_SKIPPED)
            return CHECK_UNFIT;
        if (finding->reason == CHECK_UNREADABLE)
            verdict = CHECK_UNKNOWN;
    }
    return verdict;
}

/* ---- looking ---- */

enum check_found check_look(struct check_run *run, const char *path, struct check_node *node)
{
    enum check_found found = CHECK_OPEN;

    if (!run->image->unreadable && run->image->tree)
        found = check_tree_find(run->image->tree, path, node);
    run->open |= found == CHECK_OPEN;
    return found;
}

bool check_next_path(const struct check_run *run, const char **rest, char *directory, size_t size)
{
    static const char usual[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const char *path = check_config_env(&run->image->config, "PATH");
    size_t len;

    if (!*rest)
        *rest = path && *path ? path : usual;
    else if (**rest == '\0')
        return false;
    else
        ++*rest; /* the ':' */
    len = strcspn(*rest, ":");
    directory[0] = '\0';
    if (**rest == '/' && len < size) {
        memcpy(directory, *rest, len);
        directory[len] = '\0';
    }
    *rest += len;
    return true;
}

enum check_found check_look_program(struct check_run *run, const char *name,
                                    struct check_node *node)
{
    char directory[CHECK_PATH_MAX / 2];
    const char *rest = NULL;
    bool was_open = run->open, open = false;

    while (check_next_path(run, &rest, directory, sizeof(directory))) {
        char path[CHECK_PATH_MAX];
        enum check_found found;

        if (!*directory ||
            snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
            continue;
        found = check_look(run, path, node);
        open |= found == CHECK_OPEN;
        if (found == CHECK_FOUND && node->kind == CHECK_FILE && (node->mode & 0111)) {
            run->open = was_open; /* whatever lies in front of it, it is there */
            return CHECK_FOUND;
        }
    }
    return open ? CHECK_OPEN : CHECK_ABSENT;
}

enum check_found check_look_text(struct check_run *run, const char *path, struct check_node *node)
{
    enum check_found found = check_look(run, path, node);

    if (found != CHECK_FOUND)
        return found;
    if (node->kind != CHECK_FILE)
        return CHECK_ABSENT;
    if (node->text && !node->text_cut)
        return CHECK_FOUND;
    check_skip(run, CHECK_UNREADABLE, "'%s' is %s", path,
               node->text ? "too large to be read" : "a link to a file that is not read");
    return CHECK_OPEN;
}

static enum check_found too_many_packages(struct check_run *run)
{
    check_skip(run, CHECK_UNREADABLE, "there are more than %d packages", CHECK_PACKAGES_MAX);
    return CHECK_OPEN;
}

/* Distroless images have a file for each package. */
static enum check_found look_status_d(struct check_run *run, struct check_packages *packages)
{
    struct check_node directory, child;
    enum check_found found = check_look(run, "/var/lib/dpkg/status.d", &directory);
    uint32_t cursor = 0;

    if (found != CHECK_FOUND)
        return found;
    if (check_tree_is_open(run->image->tree, &directory)) {
        run->open = true;
        return CHECK_OPEN;
    }
    while (check_tree_child(run->image->tree, &directory, &cursor, &child)) {
        if (child.text && !check_packages_dpkg(child.text, child.text_len, true, packages))
            return too_many_packages(run);
    }
    return CHECK_FOUND;
}

enum check_found check_look_packages(struct check_run *run, struct check_packages *packages)
{
    static const char *const apk[] = {"/lib/apk/db/installed", "/usr/lib/apk/db/installed"};
    struct check_node node;
    enum check_found found = check_look_text(run, "/var/lib/dpkg/status", &node);

    if (found == CHECK_FOUND && !check_packages_dpkg(node.text, node.text_len, false, packages))
        return too_many_packages(run);
    if (found == CHECK_ABSENT)
        found = look_status_d(run, packages);
    for (size_t i = 0; found == CHECK_ABSENT && i < ARRAY_SIZE(apk); i++) {
        found = check_look_text(run, apk[i], &node);
        if (found == CHECK_FOUND && !check_packages_apk(node.text, node.text_len, packages))
            return too_many_packages(run);
    }
    return found;
}

bool check_has_files(struct check_run *run)
{
    if (strcmp(run->image->config.image.platform.os, "linux") == 0)
        return true;
    check_skip(run, CHECK_NOT_APPLICABLE,
               "the image is for %s: its files and its registry are not looked at",
               run->image->config.image.platform.os);
    return false;
}

/* ---- lists ---- */

void check_list_add(struct check_list *list, const char *name)
{
    if (++list->count <= CHECK_NAMES_SHOWN)
        buf_printf(&list->text, "%s%.200s", list->text.len ? ", " : "", name);
}

const char *check_list_text(struct check_list *list)
{
    if (list->count > CHECK_NAMES_SHOWN) {
        buf_printf(&list->text, " and %zu more", list->count - CHECK_NAMES_SHOWN);
        list->count = 0;
    }
    return list->text.data ? list->text.data : "";
}
