/* What is known of a build besides its result: labels, the base, and what may be shown. */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "runtime/image/base_image.h"
#include "shim/image/build.h"
#include "shim/image/outside.h"

#define TIME_MAX  40
#define YEAR_9999 UINT64_C(253402300799)

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot build");
}

/* ---- what a builder says ---- */

bool build_hide_secrets(struct build *build, struct err *err)
{
    build->secrets = mask_new();
    if (!build->secrets)
        return no_memory(err);
    for (size_t i = 0; i < build->arguments.count; i++) {
        const char *argument = build->arguments.items[i], *value = strchr(argument, '=') + 1;
        size_t len = (size_t)(value - 1 - argument);
        bool is_short = false;

        if (!check_name_is_secret(argument, len))
            continue;
        if (!mask_add(build->secrets, value, strlen(value), &is_short, err))
            return err_context(err, "the build argument '%.*s'", (int)len, argument);
        if (is_short && *value)
            print_note(build->verbosity, "the value of '%.*s' is too short to be masked", (int)len,
                       argument);
    }
    return true;
}

/* Of a line that was cut, what may be the beginning of a secret is not shown. */
static bool mask_line(struct mask_stream *stream, const char *line, struct buf *out)
{
    struct err ignored;
    const char *bytes;
    size_t len;

    if (!mask_feed(stream, line, strlen(line), &bytes, &len, &ignored) ||
        !buf_append(out, bytes, len))
        return false;
    return strlen(line) == OUTSIDE_LINE_MAX ||
           (mask_end(stream, &bytes, &len, &ignored) && buf_append(out, bytes, len));
}

void build_say(const struct build *build, const char *line)
{
    CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = build->secrets};
    autobuf out = BUF_INIT(4 * OUTSIDE_LINE_MAX);

    if (*line && mask_line(&stream, line, &out) && out.len)
        print_detail(build->verbosity, "%s", out.data);
}

/* ---- labels ---- */

static bool has_label(const struct build *build, const char *name)
{
    for (size_t i = 0; i < build->labels.count; i++) {
        const char *label = build->labels.items[i];

        if (strncmp(label, name, strlen(name)) == 0 && label[strlen(name)] == '=')
            return true;
    }
    return false;
}

/* Whether the base has that label, which the image would then have, or is not known. */
static bool is_inherited(const struct build *build, const char *name)
{
    for (size_t i = 0; build->base.name && i < build->offer.gather.images.count; i++) {
        autocheckconfig config = CHECK_CONFIG_INIT;
        struct err ignored;

        if (!offer_read(&build->offer, &build->offer.gather.images.items[i], &config, &ignored) ||
            check_config_label(&config, name))
            return true;
    }
    return !build->base.name && !build->parsed.on_scratch;
}

/*
 * The caller's word wins, then the file's. What is not known is no label; a builder cannot take
 * away that of the base, which says something of the base alone, so that becomes empty.
 */
static bool add_label(struct build *build, const char *name, const char *value, struct err *err)
{
    bool known = value && *value;

    if (has_label(build, name) ||
        (!known && (strv_contains(&build->parsed.labels, name) || !is_inherited(build, name))))
        return true;
    return strv_take(&build->labels, text_printf("%s=%s", name, known ? value : "")) ||
           no_memory(err);
}

/* The time that the caller wants, or now; "" for one that no calendar has. */
static void creation_time(const struct build *build, char text[TIME_MAX])
{
    uint64_t seconds = (uint64_t)time(NULL);
    struct tm tm;
    time_t when;

    *text = '\0';
    if (build->epoch && !num_parse(build->epoch, YEAR_9999, &seconds))
        return;
    when = (time_t)seconds;
    if (gmtime_r(&when, &tm))
        strftime(text, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* The first line that git prints, and how many there are. */
struct git_answer {
    char line[OUTSIDE_LINE_MAX + 1];
    size_t lines;
};

static void take_line(void *data, const char *line)
{
    struct git_answer *answer = data;

    if (answer->lines++ == 0)
        strcpy(answer->line, line);
}

/* `more` ends with NULL. False without git, without a repository, and when git says no. */
static bool ask_git(const struct build *build, const char *const *more, struct git_answer *answer)
{
    static char *const variables[] = {"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", NULL};
    const struct strv environment = {.items = (char **)variables, .count = 2};
    autostrv words = {0};
    char program[PATH_MAX];
    struct outside outside = {.program = program,
                              .words = &words,
                              .more = &environment,
                              .without = "GIT_", /* the directory decides, not $GIT_DIR */
                              .directory = build->directory,
                              .line = take_line,
                              .data = answer};
    struct err ignored;
    int status;

    *answer = (struct git_answer){0};
    /* No program that the repository's own configuration has git ask for changes. */
    if (!outside_find("git", program) || !strv_add(&words, "git") || !strv_add(&words, "-c") ||
        !strv_add(&words, "core.fsmonitor=false"))
        return false;
    for (; *more; more++) {
        if (!strv_add(&words, *more))
            return false;
    }
    return outside_run(&outside, &status, &ignored) && status == 0;
}

/* What is in the directory is a revision only when git sees no change. */
static bool find_revision(const struct build *build, struct git_answer *revision)
{
    static const char *const changes[] = {"status",    "--porcelain",
                                          "--ignored", "--untracked-files=all",
                                          "--",        ".",
                                          NULL},
                             *const head[] = {"rev-parse", "--verify", "HEAD", NULL};

    if (!ask_git(build, changes, revision) || revision->lines > 0 ||
        !ask_git(build, head, revision))
        return false;
    return strspn(revision->line, "0123456789abcdef") == strlen(revision->line);
}

/* Where the sources are, if others can get there, without what somebody logs in with. */
static bool find_source(const struct build *build, struct git_answer *source)
{
    static const char *const origin[] = {"remote", "get-url", "origin", NULL};
    char *authority, *at;

    if (!ask_git(build, origin, source) ||
        (strncmp(source->line, "https://", 8) != 0 && strncmp(source->line, "http://", 7) != 0))
        return false;
    authority = strstr(source->line, "//") + 2;
    authority[strcspn(authority, "?#")] = '\0';
    at = memrchr(authority, '@', strcspn(authority, "/"));
    if (at)
        memmove(authority, at + 1, strlen(at + 1) + 1);
    for (const char *c = authority; *c; c++) {
        if (!isgraph((unsigned char)*c))
            return false;
    }
    return *authority != '\0';
}

bool build_add_labels(struct build *build, const char *version, struct err *err)
{
    struct git_answer revision, source;
    char created[TIME_MAX];
    bool known = build->base.name != NULL;

    creation_time(build, created);
    return add_label(build, LABEL_PREFIX "version", version, err) &&
           add_label(build, LABEL_PREFIX "created", created, err) &&
           add_label(build, LABEL_PREFIX "revision",
                     find_revision(build, &revision) ? revision.line : NULL, err) &&
           add_label(build, LABEL_PREFIX "source", find_source(build, &source) ? source.line : NULL,
                     err) &&
           add_label(build, LABEL_BASE_NAME, known ? build->base.name : NULL, err) &&
           add_label(build, LABEL_BASE_DIGEST, known ? build->offer.top.digest : NULL, err);
}

/* ---- the base ---- */

void build_resolve_base(struct build *build)
{
    const char *base = build->parsed.base;
    struct err err;

    if (!base || (reference_parse(base, "/", &build->base, &err) &&
                  build->base.transport == TRANSPORT_REGISTRY &&
                  offer_load(&build->base, &build->offer, &err)))
        return;
    print_note(build->verbosity, "the labels of the base are left out: it cannot be asked for");
    print_detail(build->verbosity, "%s", err.message);
    offer_release(&build->offer);
    reference_release(&build->base);
    build->offer = (struct offer){0};
    build->base = (struct reference){0};
}

bool build_check_base(const struct build *build, const char *reference, struct err *err)
{
    autocheckconfig own = CHECK_CONFIG_INIT, below = CHECK_CONFIG_INIT;
    autoreference name = {0};
    autooffer built = {0};
    const struct index_image *image, *base;

    if (!build->base.name)
        return true;
    if (!reference_parse(reference, "/", &name, err) || !offer_load(&name, &built, err))
        return false;
    image = &built.gather.images.items[0];
    base = offer_find(&build->offer, &image->platform);
    if (!offer_read(&built, image, &own, err) ||
        (base && !offer_read(&build->offer, base, &below, err)))
        return false;
    if (base && image_is_on(&own.image, &below.image))
        return true;
    err_set(err, ERR_ENGINE_FAILED, "the image is not built on what '%s' is in its registry",
            build->base.name);
    return err_hint(err, "build again: the base has moved meanwhile, or the builder takes it from "
                         "a mirror that is behind");
}
