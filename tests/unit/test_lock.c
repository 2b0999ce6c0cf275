/* The lock file: what it may hold, and what is found in it. */
#include "tests/unit/unit.h"

#include <glob.h>

#include "base/buf.h"
#include "runtime/image/lock.h"

#define HEX(c)                                                                                     \
    c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
        c c c c c c c c c c c c c c c c c
#define DIGEST(c) "sha256:" HEX(c)

static const char good[] =
    "{\n"
    "  \"images\": {\n"
    "    \"flyway\": {\n"
    "      \"digest\": \"" DIGEST(
        "a") "\",\n"
             "      \"first_seen\": \"2026-08-01T05:00:00Z\",\n"
             "      \"follow\": {\n"
             "        \"constraint\": \">=7.7 <8\",\n"
             "        \"min_age\": \"3d\",\n"
             "        \"scheme\": \"docker\"\n"
             "      },\n"
             "      \"hold\": {\n"
             "        \"by\": \"ann\",\n"
             "        \"since\": \"2026-08-04T05:00:00Z\",\n"
             "        \"until\": \"2026-09-04T05:00:00Z\",\n"
             "        \"why\": \"the release of September\"\n"
             "      },\n"
             "      \"image\": \"docker.io/octopuslabs/flyway-workertools\",\n"
             "      \"locked_at\": \"2026-08-04T05:00:00Z\",\n"
             "      \"locked_by\": \"ann\",\n"
             "      \"media_type\": \"application/vnd.oci.image.index.v1+json\",\n"
             "      \"platforms\": {\n"
             "        \"linux/amd64\": {\n"
             "          \"config\": \"" DIGEST(
                 "b") "\",\n"
                      "          \"digest\": \"" DIGEST(
                          "c") "\"\n"
                               "        },\n"
                               "        \"windows(10.0.20348.2113)/amd64\": {\n"
                               "          \"config\": \"" DIGEST(
                                   "d") "\",\n"
                                        "          \"digest\": \"" DIGEST(
                                            "e") "\"\n"
                                                 "        }\n"
                                                 "      },\n"
                                                 "      \"previous\": [\n"
                                                 "        {\n"
                                                 "          \"digest\": \"" DIGEST(
                                                     "1") "\",\n"
                                                          "          \"first_seen\": "
                                                          "\"2026-07-01T05:00:00Z\",\n"
                                                          "          \"locked_at\": "
                                                          "\"2026-07-01T05:00:00Z\",\n"
                                                          "          \"locked_by\": \"bob\",\n"
                                                          "          \"media_type\": "
                                                          "\"application/"
                                                          "vnd.oci.image.manifest.v1+json\",\n"
                                                          "          \"platforms\": {\n"
                                                          "            \"linux/amd64\": {\n"
                                                          "              \"config\": \"" DIGEST(
                                                              "2") "\",\n"
                                                                   "              \"digest\": "
                                                                   "\"" DIGEST(
                                                                       "1") "\"\n"
                                                                            "            }\n"
                                                                            "          },\n"
                                                                            "          \"size\": "
                                                                            "700,\n"
                                                                            "          \"tag\": "
                                                                            "\"7.7.1\",\n"
                                                                            "          \"until\": "
                                                                            "\"2026-08-04T05:00:"
                                                                            "00Z\"\n"
                                                                            "        }\n"
                                                                            "      ],\n"
                                                                            "      \"seen\": {\n"
                                                                            "        \"7.8.0\": {\n"
                                                                            "          \"digest\": "
                                                                            "\"" DIGEST(
                                                                                "3") "\",\n"
                                                                                     "          "
                                                                                     "\"first_"
                                                                                     "seen\": "
                                                                                     "\"2026-08-"
                                                                                     "05T05:00:"
                                                                                     "00Z\"\n"
                                                                                     "        }\n"
                                                                                     "      },\n"
                                                                                     "      "
                                                                                     "\"size\": "
                                                                                     "1609,\n"
                                                                                     "      "
                                                                                     "\"tag\": "
                                                                                     "\"7.7.2\",\n"
                                                                                     "      "
                                                                                     "\"want\": "
                                                                                     "\"octopuslabs"
                                                                                     "/flyway-"
                                                                                     "workertools:"
                                                                                     "7\",\n"
                                                                                     "      "
                                                                                     "\"why\": \"a "
                                                                                     "fix\"\n"
                                                                                     "    }\n"
                                                                                     "  },\n"
                                                                                     "  "
                                                                                     "\"schema\": "
                                                                                     "\"stepcell."
                                                                                     "lock/1\"\n"
                                                                                     "}\n";

static bool parse(const char *text, struct lock_file *lock, struct err *err)
{
    return lock_parse(text, strlen(text), "stepcell.lock", lock, err);
}

/* The good text with one place of it changed, owned by the caller. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(good, from);

    if (!at)
        fail_msg("'%s' is not in the text", from);
    return text_printf("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void a_good_file_is_read_and_written_as_it_was(void **state)
{
    autolockfile lock = {0};
    autofree char *text = NULL;
    struct err err;

    (void)state;
    assert_ok(parse(good, &lock, &err));
    text = lock_text(&lock);
    assert_string_equal(text, good);
}

static void an_empty_file_can_be_written(void **state)
{
    autolockfile lock = lock_new(), again = {0};
    autofree char *text = lock_text(&lock);
    struct err err;

    (void)state;
    assert_string_equal(text, "{\n  \"images\": {},\n  \"schema\": \"stepcell.lock/1\"\n}\n");
    assert_ok(parse(text, &again, &err));
}

/* What is changed, and the line and the word that the error has to name. */
static const struct {
    const char *from, *to, *line, *word;
} bad[] = {
    {"stepcell.lock/1", "stepcell.lock/2", "line 61:", "'schema'"},
    {"\"schema\": \"stepcell.lock/1\"", "\"schema\": 1", "line 61:", "'schema'"},
    {",\n  \"schema\": \"stepcell.lock/1\"", "", "line 1:", "lacks 'schema'"},
    {"\"schema\"", "\"more\": 1, \"schema\"", "line 61:", "'more'"},
    {"\"images\": {", "\"images\": [], \"other\": {", "line 2:", "'images'"},
    {"\"flyway\"", "\"Flyway\"", "line 3:", "'Flyway'"},
    {"\"flyway\"", "\"../x\"", "line 3:", "'../x'"},
    {"\"flyway\"", "\"\"", "line 3:", "''"},
    {DIGEST("a"), HEX("a"), "line 4:", "'digest'"},
    {DIGEST("a"), DIGEST("A"), "line 4:", "'digest'"},
    {"\"" DIGEST("a") "\"", "null", "line 4:", "'digest'"},
    {"\"" DIGEST("a") "\"", "[\"" DIGEST("a") "\"]", "line 4:", "'digest'"},
    {"2026-08-01T05:00:00Z", "2026-08-01", "line 5:", "'first_seen'"},
    {"2026-08-01T05:00:00Z", "2026-02-31T05:00:00Z", "line 5:", "'first_seen'"},
    {"2026-08-01T05:00:00Z", "2026-08-01T05:00:00+02:00", "line 5:", "'first_seen'"},
    {">=7.7 <8", ">=latest", "line 6:", "'follow'"},
    {">=7.7 <8", "", "line 7:", "'constraint'"},
    {"\"3d\"", "3", "line 8:", "'min_age'"},
    {"\"3d\"", "\"soon\"", "line 8:", "'min_age'"},
    {"\"docker\"", "\"dockr\"", "line 9:", "'scheme'"},
    {"\"docker\"", "\"regex\"", "line 6:", "'follow'"},
    {"\"scheme\"", "\"shceme\"", "line 9:", "'shceme'"},
    {"\"scheme\"", "\"revisions\": \"yes\", \"scheme\"", "line 9:", "'revisions'"},
    {"\"scheme\"", "\"prereleases\": \"maybe\", \"scheme\"", "line 9:", "'prereleases'"},
    {"\"by\": \"ann\",\n", "", "line 11:", "lacks 'by'"},
    {"\"by\": \"ann\"", "\"by\": \"\"", "line 12:", "'by'"},
    {"\"by\": \"ann\"", "\"by\": \"a\\nb\"", "line 12:", "'by'"},
    {"\"by\": \"ann\"", "\"by\": \"a\\u001b[1m\"", "line 12:", "'by'"},
    {"2026-09-04T05:00:00Z", "tomorrow", "line 14:", "'until'"},
    {"docker.io/octopuslabs", "octopuslabs", "line 17:", "'image'"},
    {"docker.io/octopuslabs", "docker.io/elsewhere", "line 3:", "'flyway'"},
    {"docker.io/octopuslabs", "DOCKER.IO/octopuslabs", "line 17:", "'image'"},
    {"image.index", "image.thing", "line 20:", "'media_type'"},
    {"image.index", "image.manifest", "line 3:", "'flyway'"},
    {"linux/amd64", "Linux/amd64", "line 22:", "'Linux/amd64'"},
    {"linux/amd64", "linux", "line 22:", "'linux'"},
    {"linux/amd64", "linux/x86_64", "line 22:", "'linux/x86_64'"},
    {"\"config\": \"" DIGEST("b") "\",\n", "", "line 22:", "lacks 'config'"},
    {"\"config\": \"" DIGEST("b") "\"", "\"config\": \"x\"", "line 23:", "'config'"},
    {"\"previous\": [", "\"previous\": {}, \"prev\": [", "line 31:", "'previous'"},
    {DIGEST("1"), DIGEST("0"), "line 32:", "'previous'"},
    {"\"locked_by\": \"bob\",\n", "", "line 32:", "lacks 'locked_by'"},
    {"700", "0", "line 44:", "'size'"},
    {"700", "\"700\"", "line 44:", "'size'"},
    {"700", "7.7", "line 44:", "'size'"},
    {"\"7.8.0\"", "\"7.8.0:x\"", "line 50:", "'7.8.0:x'"},
    {"\"7.8.0\"", "\"@sha\"", "line 50:", "'@sha'"},
    {"\"7.7.2\"", "\"-7.7.2\"", "line 56:", "'tag'"},
    {"\"7.7.2\"", "7.10", "line 56:", "'tag'"},
    {"workertools:7\"", "workertools@" DIGEST("a") "\"", "line 57:", "'want'"},
    {"\"octopuslabs/flyway-workertools:7\"", "\"oci:/x\"", "line 57:", "'want'"},
    {"\"octopuslabs/flyway-workertools:7\"", "\"octopuslabs/other:7\"", "line 3:", "'flyway'"},
    {"\"why\": \"a fix\"", "\"note\": \"a fix\"", "line 58:", "'note'"},
    /* What jansson finds. */
    {"\"why\": \"a fix\"", "\"want\": \"x\"", "line 58", "duplicate"},
    {"\"tag\"", "tag", "line 45", "JSON"},
    {"lock/1\"\n}", "lock/1\"\n} {}", "line 62", "JSON"},
    {"{\n", "[", "line", "JSON"},
};

static void everything_else_is_refused_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        autofree char *text = changed(bad[i].from, bad[i].to);
        autolockfile lock = {0};
        struct err err;

        if (parse(text, &lock, &err))
            fail_msg("'%s' was accepted for '%s'", bad[i].to, bad[i].from);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
        if (!strstr(err.message, bad[i].line) || !strstr(err.message, bad[i].word))
            fail_msg("'%s' for '%s': %s", bad[i].to, bad[i].from, err.message);
    }
}

/* Each file is good.json with one fault. */
static void every_file_of_the_corpus_is_refused_with_its_line(void **state)
{
    glob_t files;

    (void)state;
    assert_int_equal(glob("tests/corpus/lock/*.json", 0, NULL, &files), 0);
    assert_true(files.gl_pathc > 30);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        bool is_good = strstr(files.gl_pathv[i], "/good.json");
        autolockfile lock = {0};
        struct err err = ERR_INIT;

        if (lock_load(files.gl_pathv[i], &lock, &err) != is_good)
            fail_msg("'%s': %s", files.gl_pathv[i], is_good ? err.message : "it was accepted");
        if (!is_good && (err.code != ERR_CONFIG_INVALID || !strstr(err.message, "line ")))
            fail_msg("'%s': %s", files.gl_pathv[i], err.message);
    }
    globfree(&files);
}

static void two_entries_do_not_want_the_same(void **state)
{
    autolockfile lock = {0}, twice = {0};
    autofree char *text = NULL;
    json_t *copy;
    struct err err;

    (void)state;
    assert_ok(parse(good, &lock, &err));
    copy = json_deep_copy(lock_entry(&lock, "flyway"));
    json_object_set_new(copy, "want", json_string("docker.io/octopuslabs/flyway-workertools:7"));
    json_object_set_new(lock_images(&lock), "again", copy);
    text = lock_text(&lock);
    assert_refused(parse(text, &twice, &err), ERR_CONFIG_INVALID);
    assert_non_null(strstr(err.message, "'flyway' wants the same as 'again'"));
}

static void entries_are_found_by_what_they_want_and_by_digest(void **state)
{
    static const struct {
        const char *reference;
        bool found;
    } table[] = {
        {"octopuslabs/flyway-workertools:7", true},
        {"docker.io/octopuslabs/flyway-workertools:7", true},
        {"index.docker.io/octopuslabs/flyway-workertools:7", true},
        {"octopuslabs/flyway-workertools", false},
        {"octopuslabs/flyway-workertools:7.7.2", false}, /* it is locked, and not wanted */
        {"flyway", false},
        {"example.test/octopuslabs/flyway-workertools:7", false},
        {"octopuslabs/flyway-workertools@" DIGEST("a"), true},
        {"octopuslabs/flyway-workertools:x@" DIGEST("a"), true},
        {"octopuslabs/flyway-workertools@" DIGEST("c"), true},
        {"octopuslabs/flyway-workertools:7@" DIGEST("1"), false},
        {"octopuslabs/other@" DIGEST("a"), false},
        {"oci:/octopuslabs/flyway-workertools:7", false},
    };
    autolockfile lock = {0};
    struct err err;

    (void)state;
    assert_ok(parse(good, &lock, &err));
    for (size_t i = 0; i < COUNT(table); i++) {
        autoreference reference = {0};
        const char *name;

        assert_ok(reference_parse(table[i].reference, "/", &reference, &err));
        name = lock_find(&lock, &reference);
        if (!name != !table[i].found)
            fail_msg("'%s' finds %s", table[i].reference, name ? name : "nothing");
    }
}

static void a_platform_has_its_digest(void **state)
{
    static const struct {
        const char *platform, *digest;
    } table[] = {
        {"linux/amd64", DIGEST("c")},
        {"linux/amd64/v3", DIGEST("c")},
        {"windows(10.0.20348)/amd64", DIGEST("e")},
        {"linux/arm64", NULL},
        {"linux/386", NULL},
    };
    autolockfile lock = {0};
    struct err err;

    (void)state;
    assert_ok(parse(good, &lock, &err));
    for (size_t i = 0; i < COUNT(table); i++) {
        struct platform platform;
        const char *digest;

        assert_ok(platform_parse(table[i].platform, &platform, &err));
        digest = lock_platform_digest(lock_entry(&lock, "flyway"), &platform);
        if (table[i].digest)
            assert_string_equal(digest, table[i].digest);
        else
            assert_null(digest);
    }
    assert_int_equal(lock_min_age(lock_entry(&lock, "flyway")), 3 * 24 * 3600);
    assert_string_equal(lock_rules(lock_entry(&lock, "flyway")).constraint, ">=7.7 <8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read_and_written_as_it_was),
        cmocka_unit_test(an_empty_file_can_be_written),
        cmocka_unit_test(everything_else_is_refused_with_its_line),
        cmocka_unit_test(every_file_of_the_corpus_is_refused_with_its_line),
        cmocka_unit_test(two_entries_do_not_want_the_same),
        cmocka_unit_test(entries_are_found_by_what_they_want_and_by_digest),
        cmocka_unit_test(a_platform_has_its_digest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
