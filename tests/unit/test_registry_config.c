/* What users and administrators write about registries: configuration and credentials. */
#include "tests/unit/unit.h"

#include "runtime/image/credential_helper.h"
#include "runtime/image/credentials.h"
#include "runtime/image/registry_config.h"
#include "runtime/image/tags.h"

static const char *const good_configs[] = {
    "{}",
    "{\"registries\": {}}",
    "{\"stall_timeout\": \"1h\"}",
    "{\"stall_timeout\": \"500ms\", \"registries\": {\"r.example\": {}}}",
    "{\"registries\": {\"r.example:5000\": {\"plain_http\": true, \"mirrors\": []}}}",
    "{\"registries\": {\"[2001:db8::1]:5000\": {\"plain_http\": false}}}",
    "{\"registries\": {\"docker.io\": {\"mirrors\": [{\"location\": \"m.example/hub/a-b\"}]}}}",
    "{\"registries\": {\"r\": {\"mirrors\": [{\"location\": \"m:1\", \"resolve\": true}]}}}",
    "{\"kubernetes\": {\"context\": \"steps\"}}",
};

#define REGISTRY(text) "{\"registries\": {\"r.example\": " text "}}"
#define MIRROR(text)   REGISTRY("{\"mirrors\": [" text "]}")
#define LOCATION(text) MIRROR("{\"location\": \"" text "\"}")

static const char *const bad_configs[] = {
    "",
    "[]",
    "{",
    "{} x",
    "{\"a\": 1}",
    "{\"registries\": []}",
    "{\"registries\": {}, \"registries\": {}}",
    "{\"kubernetes\": []}",
    "{\"stall_timeout\": 30}",
    "{\"stall_timeout\": \"0\"}",
    "{\"stall_timeout\": \"2h\"}",
    "{\"stall_timeout\": \"-1s\"}",
    "{\"registries\": {\"\": {}}}",
    "{\"registries\": {\"https://r.example\": {}}}",
    "{\"registries\": {\"r.example/path\": {}}}",
    "{\"registries\": {\"user@r.example\": {}}}",
    "{\"registries\": {\"r.example:99999\": {}}}",
    "{\"registries\": {\"..\": {}}}",
    "{\"registries\": {\"r example\": {}}}",
    REGISTRY("true"),
    REGISTRY("{\"plain_http\": \"yes\"}"),
    REGISTRY("{\"plain_http\": 1}"),
    REGISTRY("{\"insecure\": true}"),
    REGISTRY("{\"mirrors\": {}}"),
    MIRROR("\"m.example\""),
    MIRROR("{}"),
    MIRROR("{\"location\": 1}"),
    MIRROR("{\"location\": \"m\", \"resolve\": 1}"),
    MIRROR("{\"location\": \"m\", \"x\": 1}"),
    MIRROR("{\"location\": \"m\"}, {\"location\": \"m\"}, {\"location\": \"m\"}, {\"location\": "
           "\"m\"}, {\"location\": \"m\"}, {\"location\": \"m\"}, {\"location\": \"m\"}, "
           "{\"location\": \"m\"}, {\"location\": \"m\"}"),
    LOCATION(""),
    LOCATION("https://m"),
    LOCATION("/path"),
    LOCATION("m/"),
    LOCATION("m//x"),
    LOCATION("m/../x"),
    LOCATION("m/x?y"),
    LOCATION("m/X"),
    LOCATION("u:p@m"),
};

static void test_config(void **state)
{
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(good_configs); i++) {
        autoregistryconfig config = {0};

        assert_ok(
            registry_config_parse(good_configs[i], strlen(good_configs[i]), "file", &config, &err));
    }
    for (size_t i = 0; i < COUNT(bad_configs); i++) {
        autoregistryconfig config = {0};

        if (registry_config_parse(bad_configs[i], strlen(bad_configs[i]), "file", &config, &err))
            fail_msg("%s was accepted", bad_configs[i]);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
        assert_non_null(strstr(err.message, "file"));
    }
}

static void test_config_answers(void **state)
{
    static const char text[] =
        "{\"stall_timeout\": \"2s\", \"registries\": {\"R.example\": {\"plain_http\": true, "
        "\"mirrors\": [{\"location\": \"m:1/a/b\", \"resolve\": true}, {\"location\": \"n\"}]}, "
        "\"s\": {\"plain_http\": false}}}";
    struct registry_mirror mirrors[REGISTRY_MIRRORS_MAX];
    autoregistryconfig config = {0};
    struct err err;
    size_t count;

    (void)state;
    assert_ok(registry_config_parse(text, strlen(text), "file", &config, &err));
    assert_int_equal(registry_config_stall_ms(&config), 2000);
    assert_int_equal(registry_config_plain_http(&config, "r.example"), PLAIN_HTTP_YES);
    assert_int_equal(registry_config_plain_http(&config, "s"), PLAIN_HTTP_NO);
    assert_int_equal(registry_config_plain_http(&config, "r.example:80"), PLAIN_HTTP_UNSET);
    assert_true(registry_config_mirrors(&config, "r.example", mirrors, &count));
    assert_int_equal(count, 2);
    assert_string_equal(mirrors[0].host, "m:1");
    assert_string_equal(mirrors[0].prefix, "a/b");
    assert_true(mirrors[0].resolve);
    assert_string_equal(mirrors[1].prefix, "");
    assert_false(mirrors[1].resolve);
    for (size_t i = 0; i < count; i++)
        registry_mirror_release(&mirrors[i]);
    assert_true(registry_config_mirrors(&config, "s", mirrors, &count));
    assert_int_equal(count, 0);
}

/* dTpw is "u:p". */
static const struct {
    const char *auths, *basic, *identity, *registry;
} good_auths[] = {
    {"{}", NULL, NULL, NULL},
    {"{\"r.example\": {}}", NULL, NULL, NULL},
    {"{\"r.example\": {\"auth\": \"dTpw\"}}", "dTpw", NULL, NULL},
    {"{\"https://r.example/v2/\": {\"auth\": \"dTpw\"}}", "dTpw", NULL, NULL},
    {"{\"r.example/team\": {\"auth\": \"dTpw\"}, \"r.example\": {\"auth\": \"eDp5\"}}", "dTpw",
     NULL, NULL},
    {"{\"r.example/team/app\": {\"auth\": \"dTpw\"}, \"r.example/team\": {\"auth\": \"eDp5\"}}",
     "dTpw", NULL, NULL},
    {"{\"r.example/team/ap\": {\"auth\": \"eDp5\"}}", NULL, NULL, NULL},
    {"{\"r.example:443\": {\"auth\": \"eDp5\"}}", NULL, NULL, NULL},
    {"{\"r.example.evil\": {\"auth\": \"eDp5\"}}", NULL, NULL, NULL},
    {"{\"evil/r.example\": {\"auth\": \"eDp5\"}}", NULL, NULL, NULL},
    {"{\"r.example\": {\"auth\": \"dTpwAA==\"}}", "dTpw", NULL, NULL},     /* with a final NUL */
    {"{\"r.example\": {\"auth\": \"dTpwOnE=\"}}", "dTpwOnE=", NULL, NULL}, /* u:p:q */
    {"{\"r.example\": {\"username\": \"u\", \"password\": \"p\"}}", "dTpw", NULL, NULL},
    {"{\"r.example\": {\"identitytoken\": \"i\"}}", NULL, "i", NULL},
    {"{\"r.example\": {\"auth\": \"dTo=\", \"identitytoken\": \"i\"}}", NULL, "i", NULL},
    {"{\"r.example\": {\"registrytoken\": \"t\"}}", NULL, NULL, "t"},
    {"{\"r.example\": {\"auth\": \"\"}}", NULL, NULL, NULL},
};

static void same(const char *found, const char *expected)
{
    if (expected)
        assert_string_equal(found, expected);
    else
        assert_null(found);
}

static void test_auths(void **state)
{
    static const char *const bad[] = {"dTpw!", "dQ==", "OnA=", "dTpwA", "dQA6cA==", "d Tpw"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(good_auths); i++) {
        autojson *auths = json_parse(good_auths[i].auths, strlen(good_auths[i].auths), "auths",
                                     ERR_CONFIG_INVALID, &err);
        autocredentials found = {0};

        assert_non_null(auths);
        assert_ok(credentials_from_auths(auths, "r.example", "team/app", "file", &found, &err));
        same(found.basic, good_auths[i].basic);
        same(found.identity, good_auths[i].identity);
        same(found.registry, good_auths[i].registry);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        autojson *auths = json_pack("{s{ss}}", "r.example", "auth", bad[i]);
        autocredentials found = {0};

        assert_refused(credentials_from_auths(auths, "r.example", "team/app", "file", &found, &err),
                       ERR_CONFIG_INVALID);
        assert_null(strstr(err.message, bad[i]));
    }
}

static void test_hub(void **state)
{
    struct err err;
    autojson *auths = json_pack("{s{ss}}", "https://index.docker.io/v1/", "auth", "dTpw");
    autocredentials found = {0};

    (void)state;
    assert_ok(credentials_from_auths(auths, "docker.io", "library/x", "file", &found, &err));
    same(found.basic, "dTpw");
}

static void test_answers(void **state)
{
    static const struct {
        const char *text, *basic, *identity;
    } good[] = {
        {"{\"ServerURL\": \"r\", \"Username\": \"u\", \"Secret\": \"p\"}", "dTpw", NULL},
        {"{\"Username\": \"<token>\", \"Secret\": \"i\"}", NULL, "i"},
        {"{\"Username\": \"\", \"Secret\": \"\"}", NULL, NULL},
    };
    static const char *const bad[] = {"s3cret",
                                      "[]",
                                      "{}",
                                      "{\"Username\": \"u\"}",
                                      "{\"Username\": 1, \"Secret\": \"s3cret\"}",
                                      "{\"Username\": \"a:b\", \"Secret\": \"s3cret\"}",
                                      "{\"Secret\": \"s3cret\"} s3cret"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        autocredentials found = {0};

        assert_ok(
            credentials_from_answer(good[i].text, strlen(good[i].text), "helper", &found, &err));
        same(found.basic, good[i].basic);
        same(found.identity, good[i].identity);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        autocredentials found = {0};

        assert_refused(credentials_from_answer(bad[i], strlen(bad[i]), "helper", &found, &err),
                       ERR_REGISTRY_AUTH);
        assert_null(strstr(err.message, "s3cret"));
    }
}

static void test_names(void **state)
{
    static const char *const helpers[] = {"pass", "ecr-login", "osxkeychain", "a_b.c"};
    static const char *const no_helpers[] = {"", ".", "..", "../x", "a/b", "a b", "a;b", "\n"};
    static const char *const tags[] = {"1", "latest", "_", "A.b-c_d", "1.2.3"};
    static const char *const no_tags[] = {"", ".a", "-a", "a/b", "a:b", "a b", "\xc3\xa4", "a+b"};

    (void)state;
    for (size_t i = 0; i < COUNT(helpers); i++)
        assert_true(helper_name_is_valid(helpers[i]));
    for (size_t i = 0; i < COUNT(no_helpers); i++)
        assert_false(helper_name_is_valid(no_helpers[i]));
    for (size_t i = 0; i < COUNT(tags); i++)
        assert_true(tag_is_valid(tags[i]));
    for (size_t i = 0; i < COUNT(no_tags); i++)
        assert_false(tag_is_valid(no_tags[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),  cmocka_unit_test(test_config_answers),
        cmocka_unit_test(test_auths),   cmocka_unit_test(test_hub),
        cmocka_unit_test(test_answers), cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
