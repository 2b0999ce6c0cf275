#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "shim/environment.h"

static char *caller[] = {"SECRET=caller",     "http_proxy=http://proxy", "NO_PROXY=x",
                         "GIVEN=from caller", "HOME=/home/caller",       NULL};

static const char *value(const struct strv *env, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
            return env->items[i] + len + 1;
    }
    return NULL;
}

static bool make(const struct run_options *options, struct strv *env, bool *own_home,
                 const char **image_home, struct err *err)
{
    static char *image[] = {"PATH=/image", "FOO=image", "HOME=/image-home", NULL};
    const struct strv image_env = {.items = image, .count = 3};
    struct mount_source sources[4] = {{.given = "/given", .resolved = "/resolved"},
                                      {.given = NULL, .resolved = "/other"}};

    autostrv places = {0};
    struct buf origins = BUF_INIT(64);
    bool ok = environment_make(options, &image_env, caller, sources, env, &origins, &places,
                               own_home, image_home, err);

    assert_true(!ok || (origins.len == env->count && places.count == options->env_files.count));
    assert_true(!places.count || strncmp(places.items[0], "/tmp/stepcell-unit-", 19) == 0);
    buf_release(&origins);
    return ok;
}

static void only_what_is_named_passes(void **state)
{
    static char *given[] = {"FOO=option", "GIVEN", "ABSENT", NULL};
    struct mount_spec mounts[] = {{.name = "DB"}, {.name = "OTHER"}};
    struct run_options options = RUN_OPTIONS_INIT;
    autostrv env = {0};
    const char *image_home;
    bool own_home;
    struct err err;

    (void)state;
    options.env = (struct strv){.items = given, .count = 3};
    options.mounts = mounts;
    options.mount_count = 2;
    assert_ok(make(&options, &env, &own_home, &image_home, &err));
    assert_string_equal(value(&env, "PATH"), "/image");
    assert_string_equal(value(&env, "FOO"), "option");
    assert_string_equal(value(&env, "GIVEN"), "from caller");
    assert_string_equal(value(&env, "http_proxy"), "http://proxy");
    assert_string_equal(value(&env, "NO_PROXY"), "x");
    assert_string_equal(value(&env, "STEPCELL_PACKAGE_DB"), "/given");
    assert_string_equal(value(&env, "STEPCELL_PACKAGE_OTHER"), "/other");
    assert_string_equal(value(&env, "STEPCELL_OUTPUT"), "/run/stepcell/output");
    assert_null(value(&env, "SECRET"));
    assert_null(value(&env, "ABSENT"));
    assert_null(value(&env, "HOME"));
    assert_false(own_home);
    assert_string_equal(image_home, "/image-home");
}

static void proxies_can_be_kept_out(void **state)
{
    struct run_options options = RUN_OPTIONS_INIT;
    autostrv env = {0};
    const char *image_home;
    bool own_home;
    struct err err;

    (void)state;
    options.no_proxy_env = true;
    assert_ok(make(&options, &env, &own_home, &image_home, &err));
    assert_null(value(&env, "http_proxy"));
}

static void two_packages_cannot_share_a_name(void **state)
{
    struct mount_spec mounts[] = {{.name = "DB"}, {.name = "DB"}};
    struct run_options options = RUN_OPTIONS_INIT;
    autostrv env = {0};
    const char *image_home;
    bool own_home;
    struct err err;

    (void)state;
    options.mounts = mounts;
    options.mount_count = 2;
    assert_refused(make(&options, &env, &own_home, &image_home, &err), ERR_OPTION_INVALID);
}

static bool with_file(const char *text, size_t len, struct strv *env, bool *own_home,
                      struct err *err)
{
    char path[] = "/tmp/stepcell-unit-XXXXXX";
    char *files[] = {path, NULL};
    struct run_options options = RUN_OPTIONS_INIT;
    const char *image_home;
    int fd = mkstemp(path);
    bool ok;

    assert_int_equal(write(fd, text, len), len);
    close(fd);
    options.env_files = (struct strv){.items = files, .count = 1};
    ok = make(&options, env, own_home, &image_home, err);
    unlink(path);
    return ok;
}

static void environment_files_are_read(void **state)
{
    static const char text[] =
        "# comment\n\nA=1\n  B=two words \nC==\nGIVEN\nABSENT\nHOME=/mine\nD=\"q\"";
    autostrv env = {0};
    bool own_home;
    struct err err;

    (void)state;
    assert_ok(with_file(text, strlen(text), &env, &own_home, &err));
    assert_string_equal(value(&env, "A"), "1");
    assert_string_equal(value(&env, "B"), "two words ");
    assert_string_equal(value(&env, "C"), "=");
    assert_string_equal(value(&env, "D"), "\"q\"");
    assert_string_equal(value(&env, "GIVEN"), "from caller");
    assert_string_equal(value(&env, "HOME"), "/mine");
    assert_null(value(&env, "ABSENT"));
    assert_true(own_home);
}

static void bad_environment_files_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } table[] = {{"=x", 2}, {"A B=1", 5}, {"A\tB", 3}, {"A=1\n = 2", 8}, {"A=\0b", 4}};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autostrv env = {0};
        bool own_home;

        assert_refused(with_file(table[i].text, table[i].len, &env, &own_home, &err),
                       ERR_OPTION_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_named_passes),
        cmocka_unit_test(proxies_can_be_kept_out),
        cmocka_unit_test(two_packages_cannot_share_a_name),
        cmocka_unit_test(environment_files_are_read),
        cmocka_unit_test(bad_environment_files_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
