#include "tests/unit/unit.h"

#include <stdio.h>

#include "runtime/image/check.h"
#include "tests/unit/check_script.h"

#define DIFF_ID "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""

/* One image and what a rule says of it. Empty members stand for something harmless. */
struct example {
    const char *rule;
    const char *config;   /* the member "config" */
    const char *files;    /* check_script; NULL: the layer was not read */
    const char *expected; /* the first finding's level, why it was skipped, or "passed" */
    const char *profile;  /* or NULL for "octopus" */
    const char *reference;
    const char *platform;
    const char *history;
};

#define DPKG(list)  "f var/lib/dpkg/status " list "\n"
#define HAS(name)   "Package: " name "|Status: install ok installed|Version: 7.7.2-1||"
#define LOADER      "x lib64/ld-linux-x86-64.so.2\n"
#define SH          "x bin/sh\n"
#define OCTOPUS     HAS("wget") HAS("unzip") HAS("apt-utils") HAS("curl")
#define DOTNET      HAS("libicu72") HAS("libssl3") HAS("libstdc++6")
#define DOTNET_REST HAS("ca-certificates") HAS("libc6") HAS("libgcc-s1") HAS("libgssapi-krb5-2")
#define DOTNET_ALL  DOTNET DOTNET_REST HAS("tzdata") HAS("zlib1g")
#define WINDOWS     "windows(10.0.20348.1)/amd64"

/* With members that are not in every line behind them, by name. */
#define EXAMPLE(a, b, c, d, ...)                                                                   \
    {                                                                                              \
        .rule = a, .config = b, .files = c, .expected = d, ##__VA_ARGS__                           \
    }

static const struct example examples[] = {
    EXAMPLE("entrypoint", "", NULL, "passed"),
    EXAMPLE("entrypoint", "\"Entrypoint\":[\"\"]", NULL, "passed"),
    EXAMPLE("entrypoint", "\"Entrypoint\":[\"/bin/app\"]", NULL, "error"),
    EXAMPLE("entrypoint", "\"Entrypoint\":[\"/bin/app\"]", NULL, "error", .profile = "plain"),
    EXAMPLE("cmd", "", NULL, "passed"),
    EXAMPLE("cmd", "\"Cmd\":[\"/bin/bash\"]", NULL, "passed"),
    EXAMPLE("cmd", "\"Cmd\":[\"c:\\\\windows\\\\system32\\\\cmd.exe\"]", NULL, "passed"),
    EXAMPLE("cmd", "\"Cmd\":[\"bash\",\"-c\",\"x\"]", NULL, "warning"),
    EXAMPLE("cmd", "\"Cmd\":[\"nginx\"]", NULL, "warning"),
    EXAMPLE("cmd", "\"Cmd\":[\"nginx\"]", NULL, "off", .profile = "plain"),
    EXAMPLE("workdir", "\"WorkingDir\":\"/\"", NULL, "passed"),
    EXAMPLE("workdir", "\"WorkingDir\":\"/srv\"", NULL, "warning"),
    EXAMPLE("user", "", NULL, "info"),
    EXAMPLE("user", "\"User\":\"0:0\"", NULL, "info"),
    EXAMPLE("user", "\"User\":\"1000\"", NULL, "warning"),
    EXAMPLE("user", "\"User\":\"app\"", "f etc/passwd app:x:1:1::/:/bin/sh|\n==", "warning"),
    EXAMPLE("user", "\"User\":\"nobody-knows\"", "f etc/passwd app:x:1:1::/:/bin/sh|\n==", "error"),
    EXAMPLE("user", "\"User\":\"app:tools\"", "f etc/passwd app:x:1:1::/:/bin/sh|\n==", "warning"),
    EXAMPLE("user", "\"User\":\"app\"", "==", "error"),
    EXAMPLE("volume", "", NULL, "passed"),
    EXAMPLE("volume", "\"Volumes\":{\"/data\":{}}", NULL, "warning"),
    EXAMPLE("volume", "\"Volumes\":{\"/proc/x\":{}}", NULL, "error"),
    EXAMPLE("volume", "\"Volumes\":{\"/process\":{}}", NULL, "warning"),
    EXAMPLE("volume", "\"Volumes\":{\"/\":{}}", NULL, "error"),
    EXAMPLE("volume", "\"Volumes\":{\"/a/../dev\":{}}", NULL, "error"),
    EXAMPLE("onbuild", "\"OnBuild\":[\"RUN x\"]", NULL, "info"),
    EXAMPLE("healthcheck", "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]}", NULL, "info"),
    EXAMPLE("healthcheck", "\"Healthcheck\":{\"Test\":[\"NONE\"]}", NULL, "passed"),
    EXAMPLE("stopsignal", "\"StopSignal\":\"SIGTERM\"", NULL, "passed"),
    EXAMPLE("stopsignal", "\"StopSignal\":\"SIGKILL\"", NULL, "info"),
    EXAMPLE("env-secrets", "\"Env\":[\"PATH=/bin\",\"API_URL=x\"]", NULL, "passed"),
    EXAMPLE("env-secrets", "\"Env\":[\"DB_PASSWORD=x\"]", NULL, "warning"),
    EXAMPLE("env-secrets", "\"Env\":[\"db_token=x\"]", NULL, "warning"),
    EXAMPLE("env-secrets", "\"Env\":[\"DB_PASSWORD=\"]", NULL, "passed"),
    EXAMPLE("env-secrets", "\"Env\":[\"DB_PASSWORD_FILE=/run/x\"]", NULL, "passed"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "RUN |1 NPM_TOKEN=abc /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "ARG NPM_TOKEN=abc"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "|1 NPM_TOKEN=abc /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "/bin/sh -c #(nop)  ARG NPM_TOKEN=abc"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "|1 NPM_TOKEN=$abc /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "RUN |1 NPM_TOKEN= abc /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "|1 NPM_TOKEN=  /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "|1 NPM_TOKEN= /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "|2 NPM_TOKEN= VERSION=1 /bin/sh -c x"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "|1 NPM_TOKEN= cmd /S /C x"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "|1 NPM_TOKEN= powershell -Command x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "|1 NPM_TOKEN= cmdx /S /C x"),
    EXAMPLE("env-secrets", "", NULL, "warning", .history = "|1 NPM_TOKEN=cmd /S /C x"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "ARG NPM_TOKEN=$OTHER"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "ARG NPM_TOKEN"),
    EXAMPLE("env-secrets", "", NULL, "passed", .history = "RUN NPM_TOKEN=abc npm install"),
    /* References. */
    EXAMPLE("latest", "", NULL, "warning", .reference = "example.test/a"),
    EXAMPLE("latest", "", NULL, "warning", .reference = "example.test/a:latest-ubuntu.2204"),
    EXAMPLE("latest", "", NULL, "passed", .reference = "example.test/a:1.2"),
    EXAMPLE("latest", "", NULL, "not-applicable",
            .reference = "example.test/a@sha256:"
                         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    EXAMPLE("latest", "", NULL, "not-applicable", .reference = "oci:/x:latest"),
    EXAMPLE("digest", "", NULL, "info", .reference = "example.test/a:1.2"),
    EXAMPLE("digest", "", NULL, "not-applicable", .reference = "oci:/x:latest"),
    EXAMPLE("version", "", NULL, "not-applicable", .reference = "example.test/a:7.7.2"),
    EXAMPLE("version", "\"Labels\":{\"org.opencontainers.image.version\":\"7.7.2\"}", NULL,
            "passed", .reference = "example.test/a:7.7.2-ubuntu.2204"),
    EXAMPLE("version", "\"Labels\":{\"org.opencontainers.image.version\":\"7.8.0\"}", NULL,
            "warning", .reference = "example.test/a:7.7.2"),
    EXAMPLE("version", "\"Labels\":{\"org.opencontainers.image.version\":\"7.8.0\"}", NULL,
            "not-applicable", .reference = "example.test/a:latest"),
    EXAMPLE("version", "\"Env\":[\"TOOL_VERSION=7.8\"]", NULL, "warning",
            .profile = "{\"key_env\":\"TOOL_VERSION\"}", .reference = "example.test/a:7.7.2"),
    EXAMPLE("version", "", DPKG(HAS("tool")) "==", "passed",
            .profile = "{\"key_package\":\"tool\"}", .reference = "example.test/a:7.7.2"),
    EXAMPLE("version", "", DPKG(HAS("tool")) "==", "warning",
            .profile = "{\"key_package\":\"tool\"}", .reference = "example.test/a:7.7.3"),
    EXAMPLE("version", "", DPKG(HAS("other")) "==", "warning",
            .profile = "{\"key_package\":\"tool\"}", .reference = "example.test/a:7.7.2"),
    EXAMPLE("labels", "", NULL, "info"),
    EXAMPLE("size", "", NULL, "passed"),
    EXAMPLE("size", "", NULL, "warning", .profile = "{\"size_max\":999}"),
    EXAMPLE("size", "", NULL, "warning", .profile = "{\"layer_max\":999}"),
    /* Distribution and C library. */
    EXAMPLE("distro", "", "f etc/os-release ID=ubuntu|\n==", "passed"),
    EXAMPLE("distro", "", "f etc/os-release ID=debian|\n==", "warning"),
    EXAMPLE("distro", "", "f etc/os-release ID=alpine|\n==", "error"),
    EXAMPLE("distro", "", "f etc/os-release ID=debian|\n==", "error",
            .profile = "{\"distributions\":[\"ubuntu\"]}"),
    EXAMPLE(
        "distro", "",
        "l etc/os-release ../usr/lib/os-release\nf usr/lib/os-release ID=ubuntu|\n==", "passed"),
    EXAMPLE("distro", "", "f usr/lib/os-release ID=ubuntu|\n==", "passed"),
    EXAMPLE("distro", "", "f etc/os-release NAME=x|\n==", "error"),
    EXAMPLE("distro", "", "==", "error"),
    EXAMPLE("distro", "", "f usr/lib/os-release ID=ubuntu|", "not-needed"),
    EXAMPLE("distro", "", "l etc/os-release /strange\nf strange\n==", "unreadable"),
    EXAMPLE("distro", "", NULL, "not-applicable", .platform = WINDOWS),
    EXAMPLE("libc", "", SH LOADER "==", "passed"),
    EXAMPLE("libc", "", SH "==", "error"),
    EXAMPLE("libc", "", SH "l lib64/ld-linux-x86-64.so.2 nowhere\n==", "error"),
    EXAMPLE("libc", "", SH LOADER "f etc/os-release ID=alpine|\n==", "error"),
    EXAMPLE("libc", "", SH LOADER, "not-needed"),
    EXAMPLE("libc", "", SH LOADER "==", "off", .profile = "plain"),
    EXAMPLE("libc", "", SH LOADER "==", "unreadable", .platform = "linux/unheard-of"),
    EXAMPLE("libc", "", NULL, "not-applicable", .platform = WINDOWS),
    /* Packages and programs. */
    EXAMPLE("packages", "", DPKG(OCTOPUS HAS("software-properties-common")), "passed"),
    EXAMPLE("packages", "", DPKG(OCTOPUS) "==", "error"),
    EXAMPLE("packages", "", DPKG(OCTOPUS), "not-needed"),
    EXAMPLE("packages", "", DPKG(OCTOPUS) "x usr/bin/add-apt-repository\n==", "passed"),
    EXAMPLE("packages", "", "f var/lib/dpkg/status.d/curl Package: curl|\n==", "passed",
            .profile = "{\"packages\":[\"curl\"]}"),
    EXAMPLE("packages", "", "f lib/apk/db/installed P:curl|V:8||\n==", "passed",
            .profile = "{\"packages\":[\"curl\"]}"),
    EXAMPLE("packages", "", "x usr/bin/curl\n==", "passed", .profile = "{\"packages\":[\"curl\"]}"),
    EXAMPLE("packages", "", "w var/lib/dpkg/status\n--\n" DPKG(HAS("curl")) "==", "error",
            .profile = "{\"packages\":[\"curl\"]}"),
    EXAMPLE("packages", "", "==", "not-applicable",
            .profile = "plain\n{\"levels\":{\"packages\":\"error\"}}"),
    EXAMPLE("packages", "", "f var/lib/dpkg/status\n==", "unreadable"),
    EXAMPLE("dotnet-deps", "", DPKG(DOTNET_ALL), "passed"),
    EXAMPLE("dotnet-deps", "", DPKG(DOTNET) "==", "warning"),
    EXAMPLE("dotnet-deps", "", DPKG(DOTNET_REST) "==", "error"),
    EXAMPLE("dotnet-deps", "\"Env\":[\"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=true\"]",
            DPKG(DOTNET_REST HAS("libssl3t64") HAS("libstdc++6") HAS("tzdata") HAS("zlib1g")) "==",
            "passed"),
    EXAMPLE("dotnet-deps", "",
            DPKG(DOTNET_REST HAS("libssl3") HAS("libstdc++6") HAS("tzdata")
                     HAS("zlib1g")) "f usr/lib/x86_64-linux-gnu/libicuuc.so.74\n==",
            "passed"),
    EXAMPLE("icu-invariant", "\"Env\":[\"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1\"]", NULL, "info"),
    EXAMPLE("icu-invariant", "\"Env\":[\"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=0\"]", NULL,
            "passed"),
    EXAMPLE("shell", "", SH, "passed"),
    EXAMPLE("shell", "", "f bin/sh\n==", "error"),
    EXAMPLE("shell", "", "==", "error"),
    EXAMPLE("shell", "", "d etc", "not-needed"),
    EXAMPLE("shell", "", SH "==", "error", .profile = "{\"shells\":[\"pwsh\"]}"),
    EXAMPLE("shell", "", SH "x usr/bin/pwsh\n==", "passed", .profile = "{\"shells\":[\"pwsh\"]}"),
    EXAMPLE("path", "", "==", "not-applicable"),
    EXAMPLE("path", "", "x opt/tool/bin/tool\n==", "error", .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "\"Env\":[\"PATH=/opt/tool/bin:/bin\"]", "x opt/tool/bin/tool\n==", "passed",
            .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "", "x opt/tool/tool\nl usr/local/bin/tool /opt/tool/tool\n==", "passed",
            .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "", "l usr/local/bin/tool /opt/tool/tool\n==", "error",
            .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "", "f usr/local/bin/tool\n==", "error", .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "\"Env\":[\"PATH=bin\"]", "x bin/tool\n==", "error",
            .profile = "{\"tools\":[\"tool\"]}"),
    EXAMPLE("path", "", NULL, "not-applicable", .profile = "{\"tools\":[\"tool\"]}",
            .platform = WINDOWS),
    EXAMPLE("helpers", "", "x bin/bash\nx bin/openssl\n==", "passed"),
    EXAMPLE("helpers", "", "x bin/bash\n==", "warning"),
    EXAMPLE("bashrc-path", "", "f root/.bashrc export PATH=/opt/x:$PATH|\n==", "warning"),
    EXAMPLE("bashrc-path", "\"Env\":[\"PATH=/opt/x:/bin\"]",
            "f root/.bashrc export PATH=/opt/x:$PATH|\n==", "passed"),
    EXAMPLE("bashrc-path", "", "f etc/profile.d/a.sh eval \"$(rbenv init -)\"|\n==", "warning"),
    EXAMPLE("bashrc-path", "", "==", "passed"),
    EXAMPLE("arch-of-binaries", "", SH, "passed"),
    EXAMPLE("arch-of-binaries", "", SH, "warning", .platform = "linux/arm64"),
    EXAMPLE("arch-of-binaries", "", "f bin/sh\n==", "not-applicable"),
    EXAMPLE("root-owned", "\"Env\":[\"PATH=/bin\"]", "d bin\n==", "passed"),
    EXAMPLE("root-owned", "\"Env\":[\"PATH=/bin:/nowhere\"]", "d bin\n==", "info"),
    EXAMPLE("waste", "", "==", "passed"),
    EXAMPLE("waste", "", "d etc", "not-needed"),
    EXAMPLE("setuid", "", "==", "off"),
    EXAMPLE("sudo", "", "x usr/bin/sudo\n==", "warning",
            .profile = "{\"levels\":{\"sudo\":\"warning\"}}"),
    EXAMPLE("sudo", "", "==", "passed", .profile = "{\"levels\":{\"sudo\":\"warning\"}}"),
    /* Windows. */
    EXAMPLE("os", "", NULL, "passed"),
    EXAMPLE("os", "", NULL, "passed", .platform = WINDOWS),
    EXAMPLE("os-version", "", NULL, "not-applicable"),
    EXAMPLE("os-version", "", NULL, "passed", .platform = WINDOWS),
    EXAMPLE("os-version", "", NULL, "warning", .platform = "windows/amd64"),
    EXAMPLE("win-age", "", NULL, "passed", .platform = WINDOWS),
    EXAMPLE("win-age", "", NULL, "warning", .platform = "windows(10.0.14393.1)/amd64"),
    EXAMPLE("win-age", "", NULL, "passed", .platform = "windows(10.0.17763.1)/amd64"),
    EXAMPLE("win-age", "", NULL, "not-applicable", .platform = "windows/amd64"),
};

/* "NAME", a text of one's own, or both with a line end between them. */
static void make_profile(const char *text, struct check_profile *profile)
{
    struct err err;
    autofree char *own = NULL;

    if (!text)
        text = "octopus";
    if (text[0] != '{' && !strchr(text, '{')) {
        assert_ok(check_profile_builtin(text, profile, &err));
        return;
    }
    if (text[0] == '{')
        own = strdup(text);
    else
        own = text_printf("{\"extends\":\"%.*s\",%s", (int)strcspn(text, "\n"), text,
                          strchr(text, '{') + 1);
    assert_ok(check_profile_parse(own, strlen(own), "it", profile, &err));
}

static void make_config(const struct example *example, const struct platform *platform,
                        struct check_config *config)
{
    struct err err;
    autofree char *text =
        text_printf("{\"os\":\"%s\",\"architecture\":\"%s\",\"os.version\":\"%s\",\"config\":{%s},"
                    "\"history\":[{\"created_by\":\"%s\"}],"
                    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIFF_ID "]}}",
                    platform->os, platform->arch, platform->os_version, example->config,
                    example->history ? example->history : "");

    assert_ok(check_config_parse(text, strlen(text), "it", 1, config, &err));
}

/* One layer of 1000 bytes, and an image of nothing else. */
static void make_facts(const struct example *example, struct reference *reference,
                       struct check_facts *facts)
{
    struct check_image *image = calloc(1, sizeof(*image));
    const char *files = example->files ? example->files : "";
    struct err err;

    assert_non_null(image);
    *facts = (struct check_facts){
        .reference = reference, .images = image, .image_count = 1, .fail_on = CHECK_ERROR};
    assert_ok(reference_parse(example->reference ? example->reference : "example.test/a:1", "/",
                              reference, &err));
    assert_ok(platform_parse(example->platform ? example->platform : "linux/amd64", &image->wanted,
                             &err));
    image->config = CHECK_CONFIG_INIT;
    make_config(example, &image->wanted, &image->config);
    image->manifest.layers = calloc(1, sizeof(*image->manifest.layers));
    assert_non_null(image->manifest.layers);
    image->manifest.layer_count = 1;
    image->manifest.layers[0].blob.size = 1000;
    image->tree = check_script(files, &err);
    assert_non_null(image->tree);
    image->layers_read = strstr(files, "==") != NULL;
}

/* In one word, what a rule said. */
static const char *word_for(const struct check_results *results, int rule)
{
    static const char *const reasons[] = {[CHECK_NOT_APPLICABLE] = "not-applicable",
                                          [CHECK_SWITCHED_OFF] = "off",
                                          [CHECK_NOT_NEEDED] = "not-needed",
                                          [CHECK_UNREADABLE] = "unreadable"};
    const struct check_finding *worst = NULL;
    size_t count;

    for (size_t i = 0; i < results->count; i++) {
        const struct check_finding *finding = &results->findings[i];

        if (finding->rule == &check_rules(&count)[rule] &&
            (!worst || finding->level > worst->level))
            worst = finding;
    }
    if (!worst)
        return results->passed[rule] ? "passed" : "nothing";
    return worst->reason ? reasons[worst->reason] : check_level_text(worst->level);
}

static void rules_say_what_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        const struct example *example = &examples[i];
        autocheckprofile profile = {0};
        autocheckfacts facts = {0};
        autocheckresults results = {0};
        autoreference reference = {0};
        int rule = check_rule_find(example->rule);
        struct err err;

        assert_true(rule >= 0);
        make_profile(example->profile, &profile);
        make_facts(example, &reference, &facts);
        assert_ok(check_evaluate(&facts, &profile, &results, &err));
        if (strcmp(word_for(&results, rule), example->expected) != 0)
            fail_msg("%zu: '%s' of {%s} with '%s' is '%s', not '%s'", i, example->rule,
                     example->config, example->files ? example->files : "",
                     word_for(&results, rule), example->expected);
    }
}

static void every_rule_has_an_example(void **state)
{
    size_t count;
    const struct check_rule *rules = check_rules(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool found = strcmp(rules[i].id, "image") == 0;

        for (size_t k = 0; k < COUNT(examples); k++)
            found |= strcmp(examples[k].rule, rules[i].id) == 0;
        if (!found)
            fail_msg("%s", rules[i].id);
        assert_int_equal(check_rule_find(rules[i].id), (int)i);
    }
}

/* What is read depends on what can change the verdict. */
static void layers_are_needed_as_long_as_an_answer_is_open(void **state)
{
    static const struct {
        const char *files, *profile;
        enum check_level fail_on;
        bool all_layers, needed;
    } table[] = {
        {"", "octopus", CHECK_ERROR, false, true},
        {SH, "plain", CHECK_ERROR, false, false},
        {"", "plain", CHECK_ERROR, false, true},
        {SH, "plain", CHECK_WARNING, false, true},
        {SH, "plain", CHECK_ERROR, true, true},
        {SH "==", "octopus", CHECK_INFO, true, false},
        {"", "plain\n{\"levels\":{\"shell\":\"off\"}}", CHECK_ERROR, false, false},
        {"", "plain\n{\"levels\":{\"shell\":\"warning\"}}", CHECK_ERROR, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct example example = {.config = "", .files = table[i].files};
        autocheckprofile profile = {0};
        autocheckfacts facts = {0};
        autoreference reference = {0};

        make_profile(table[i].profile, &profile);
        make_facts(&example, &reference, &facts);
        facts.fail_on = table[i].fail_on;
        facts.all_layers = table[i].all_layers;
        if (check_needs_files(&facts, &facts.images[0], &profile) != table[i].needed)
            fail_msg("%zu", i);
    }
}

/* What could not be read is never fit; an error that is certain stays one. */
static void the_verdict_is_unknown_where_something_was_unreadable(void **state)
{
    static const struct {
        const char *config, *unreadable;
        enum check_level fail_on;
        enum check_verdict verdict;
    } table[] = {
        {"", NULL, CHECK_ERROR, CHECK_FIT},
        {"", NULL, CHECK_INFO, CHECK_UNFIT},
        {"", "it is damaged", CHECK_ERROR, CHECK_UNKNOWN},
        {"\"Entrypoint\":[\"x\"]", "it is damaged", CHECK_ERROR, CHECK_UNFIT},
        {"\"Entrypoint\":[\"x\"]", NULL, CHECK_ERROR, CHECK_UNFIT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct example example = {.config = table[i].config, .files = SH "=="};
        autocheckprofile profile = {0};
        autocheckfacts facts = {0};
        autocheckresults results = {0};
        autoreference reference = {0};
        struct err err;

        make_profile("plain", &profile);
        make_facts(&example, &reference, &facts);
        facts.fail_on = table[i].fail_on;
        facts.images[0].unreadable = table[i].unreadable ? strdup(table[i].unreadable) : NULL;
        assert_ok(check_evaluate(&facts, &profile, &results, &err));
        assert_int_equal(check_verdict(&facts, &results), table[i].verdict);
    }
}

static void what_is_unreadable_as_a_whole_says_nothing_else(void **state)
{
    const struct example example = {.config = "\"Entrypoint\":[\"x\"]"};
    autocheckprofile profile = {0};
    autocheckfacts facts = {0};
    autocheckresults results = {0};
    autoreference reference = {0};
    struct err err;

    (void)state;
    make_profile(NULL, &profile);
    make_facts(&example, &reference, &facts);
    facts.unreadable = strdup("the registry is away");
    assert_ok(check_evaluate(&facts, &profile, &results, &err));
    assert_int_equal(results.count, 1);
    assert_string_equal(results.findings[0].rule->id, "image");
    assert_int_equal(check_verdict(&facts, &results), CHECK_UNKNOWN);
}

/* Rules that are not asked make nothing fit that nobody has seen. */
static void what_is_ignored_hides_no_gap(void **state)
{
    static const struct {
        const char *unreadable, *image_unreadable, *missing;
        enum check_verdict verdict;
    } table[] = {
        {NULL, NULL, NULL, CHECK_FIT},
        {"the registry is away", NULL, NULL, CHECK_UNKNOWN},
        {NULL, "it is damaged", NULL, CHECK_UNKNOWN},
        {NULL, NULL, "it has no such platform", CHECK_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct example example = {.config = "", .files = SH "=="};
        autocheckprofile profile = {0};
        autocheckfacts facts = {0};
        autocheckresults results = {0};
        autoreference reference = {0};
        bool is_said = !table[i].unreadable && !table[i].image_unreadable;
        struct err err;

        make_profile("plain", &profile);
        make_facts(&example, &reference, &facts);
        memset(profile.levels, CHECK_OFF, sizeof(profile.levels));
        facts.fail_on = CHECK_ERROR;
        facts.unreadable = table[i].unreadable ? strdup(table[i].unreadable) : NULL;
        if (table[i].image_unreadable)
            facts.images[0].unreadable = strdup(table[i].image_unreadable);
        facts.images[0].missing = table[i].missing ? strdup(table[i].missing) : NULL;
        assert_ok(check_evaluate(&facts, &profile, &results, &err));
        assert_int_equal(check_verdict(&facts, &results), table[i].verdict);
        for (size_t k = 0; k < results.count; k++)
            is_said |= results.findings[k].reason == CHECK_UNREADABLE;
        assert_true(is_said);
    }
}

/* ---- profiles ---- */

static void good_profiles_are_read(void **state)
{
    static const char text[] =
        "{\"extends\":\"plain\",\"name\":\"mine\",\"levels\":{\"latest\":\"error\"},"
        "\"packages\":[\"git\"],\"tools\":[],\"shells\":[\"bash\"],\"distributions\":[\"debian\"],"
        "\"recommended_distributions\":[],\"size_max\":1,\"layer_max\":2,\"waste_max\":100,"
        "\"key_package\":\"git\",\"key_env\":\"GIT_VERSION\"}";
    autocheckprofile profile = {0}, other = {0};
    struct err err;

    (void)state;
    assert_ok(check_profile_parse(text, strlen(text), "dir/x.json", &profile, &err));
    assert_string_equal(profile.name, "mine");
    assert_int_equal(profile.levels[check_rule_find("latest")], CHECK_ERROR);
    assert_int_equal(profile.levels[check_rule_find("libc")], CHECK_OFF);
    assert_string_equal(profile.packages.items[0], "git");
    assert_int_equal(profile.distributions.count, 1);
    assert_int_equal(profile.layer_max, 2);
    assert_ok(check_profile_parse("{}", 2, "dir/x.json", &other, &err));
    assert_string_equal(other.name, "x.json");
    assert_int_equal(other.packages.count, 5);
}

static void bad_profiles_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "[]",
        "{",
        "{\"unknown\":1}",
        "{\"extends\":\"mine\"}",
        "{\"extends\":1}",
        "{\"levels\":[]}",
        "{\"levels\":{\"unknown\":\"off\"}}",
        "{\"levels\":{\"cmd\":\"fatal\"}}",
        "{\"levels\":{\"cmd\":1}}",
        "{\"levels\":{\"cmd\":\"off\",\"cmd\":\"info\"}}",
        "{\"packages\":\"git\"}",
        "{\"packages\":[1]}",
        "{\"packages\":[\"\"]}",
        "{\"tools\":[\"/bin/x\"]}",
        "{\"tools\":[\"../x\"]}",
        "{\"size_max\":-1}",
        "{\"size_max\":1.5}",
        "{\"size_max\":\"1\"}",
        "{\"waste_max\":101}",
        "{\"name\":\"\"}",
        "{\"key_package\":null}",
        "{\"name\":\"a\"}x",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autocheckprofile profile = {0};
        struct err err;

        assert_refused(check_profile_parse(table[i], strlen(table[i]), "it", &profile, &err),
                       ERR_CONFIG_INVALID);
    }
}

static void unknown_profiles_are_refused(void **state)
{
    autocheckprofile profile = {0};
    struct err err;

    (void)state;
    assert_refused(check_profile_builtin("mine", &profile, &err), ERR_OPTION_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_say_what_they_should),
        cmocka_unit_test(every_rule_has_an_example),
        cmocka_unit_test(layers_are_needed_as_long_as_an_answer_is_open),
        cmocka_unit_test(the_verdict_is_unknown_where_something_was_unreadable),
        cmocka_unit_test(what_is_ignored_hides_no_gap),
        cmocka_unit_test(what_is_unreadable_as_a_whole_says_nothing_else),
        cmocka_unit_test(good_profiles_are_read),
        cmocka_unit_test(bad_profiles_are_refused),
        cmocka_unit_test(unknown_profiles_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
