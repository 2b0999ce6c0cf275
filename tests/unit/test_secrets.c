#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "shim/secrets.h"

static char *caller[] = {"TOKEN=of the caller", "TOKEN_2=other\n", "EMPTY=", NULL};

/* Without a loop: none of these is a pipe. False with the last that was refused. */
static bool gather(struct secrets *secrets, const struct run_options *options, struct err *err)
{
    struct loop loop = LOOP_INIT;
    autoerrs refused = {0};

    assert_true(secrets_gather(secrets, options, caller, &loop, &refused, err));
    assert_int_equal(secrets->incomplete, refused.count > 0);
    return refused.count == 0;
}

static bool has_value(const struct secrets *secrets, size_t i, const char *text, size_t text_len)
{
    size_t len;
    const char *bytes = secrets_value(secrets, i, &len);

    return len == text_len && memcmp(bytes, text, len) == 0;
}

static void make_file(char *path, const void *bytes, size_t len)
{
    int fd;

    strcpy(path, "/tmp/stepcell-unit-XXXXXX");
    fd = mkstemp(path);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void variables_are_values(void **state)
{
    static char *names[] = {"TOKEN_2", "TOKEN", "EMPTY", NULL};
    struct run_options options = RUN_OPTIONS_INIT;
    autosecrets secrets = {0};
    struct err err;

    (void)state;
    options.secret_env = (struct strv){.items = names, .count = 3};
    assert_ok(gather(&secrets, &options, &err));
    assert_int_equal(secrets_count(&secrets), 2);
    assert_true(has_value(&secrets, 0, "other", 5));
    assert_true(has_value(&secrets, 1, "of the caller", 13));
}

static void a_variable_that_is_not_there_is_refused(void **state)
{
    static char *names[] = {"TOKE", NULL};
    struct run_options options = RUN_OPTIONS_INIT;
    autosecrets secrets = {0};
    struct err err;

    (void)state;
    options.secret_env = (struct strv){.items = names, .count = 1};
    assert_refused(gather(&secrets, &options, &err), ERR_OPTION_INVALID);
    assert_non_null(strstr(err.message, "'TOKE'"));
}

static void one_that_is_missing_does_not_hide_the_others(void **state)
{
    static char *names[] = {"NONE", "TOKEN", "NEITHER", NULL}, *masks[] = {"/none", NULL};
    struct run_options options = RUN_OPTIONS_INIT;
    struct loop loop = LOOP_INIT;
    autosecrets secrets = {0};
    autoerrs refused = {0};
    struct err err;

    (void)state;
    options.secret_env = (struct strv){.items = names, .count = 3};
    options.mask_files = (struct strv){.items = masks, .count = 1};
    assert_ok(secrets_gather(&secrets, &options, caller, &loop, &refused, &err));
    assert_int_equal(refused.count, 3);
    assert_non_null(strstr(refused.items[1].message, "'NEITHER'"));
    assert_int_equal(secrets_count(&secrets), 1);
}

static void files_are_kept_whole_and_masked_without_the_last_line_end(void **state)
{
    static const char content[] = "first\r\n\0second\r\n\n";
    struct run_options options = RUN_OPTIONS_INIT;
    autosecrets secrets = {0};
    char path[64], given[80];
    char *files[] = {given, NULL};
    struct err err;

    (void)state;
    make_file(path, content, sizeof(content) - 1);
    snprintf(given, sizeof(given), "name=%s", path);
    options.secret_files = (struct strv){.items = files, .count = 1};
    assert_ok(gather(&secrets, &options, &err));
    unlink(path);
    assert_int_equal(secrets.places.count, 1);
    assert_string_equal(secrets.places.items[0], path);
    assert_int_equal(secrets.file_count, 1);
    assert_string_equal(secrets.files[0].name, "name");
    assert_int_equal(secrets.files[0].len, sizeof(content) - 1);
    assert_memory_equal(secrets.files[0].bytes, content, sizeof(content) - 1);
    assert_int_equal(secrets_count(&secrets), 1);
    assert_true(has_value(&secrets, 0, content, sizeof(content) - 4));
}

static void each_line_of_a_mask_file_is_a_value(void **state)
{
    static const char content[] = "\none\r\n\n\r\n two \nlast";
    struct run_options options = RUN_OPTIONS_INIT;
    autosecrets secrets = {0};
    char path[64];
    char *files[] = {path, NULL};
    struct err err;

    (void)state;
    make_file(path, content, sizeof(content) - 1);
    options.mask_files = (struct strv){.items = files, .count = 1};
    assert_ok(gather(&secrets, &options, &err));
    unlink(path);
    assert_int_equal(secrets_count(&secrets), 3);
    assert_true(has_value(&secrets, 0, "one", 3));
    assert_true(has_value(&secrets, 1, " two ", 5));
    assert_true(has_value(&secrets, 2, "last", 4));
}

static void limits_are_named(void **state)
{
    autofree char *lines = malloc(2 * SECRETS_MAX + 2);
    autofree char *large = calloc(1, SECRET_FILE_MAX + 1);
    struct run_options options = RUN_OPTIONS_INIT, other = RUN_OPTIONS_INIT;
    autosecrets secrets = {0}, others = {0};
    char path[64], given[80];
    char *masks[] = {path, NULL}, *files[] = {given, NULL};
    struct err err;

    (void)state;
    for (size_t i = 0; i < 2 * SECRETS_MAX + 2; i++)
        lines[i] = i % 2 ? '\n' : 'x';
    make_file(path, lines, 2 * SECRETS_MAX + 2);
    options.mask_files = (struct strv){.items = masks, .count = 1};
    assert_refused(gather(&secrets, &options, &err), ERR_OPTION_INVALID);
    assert_int_equal(secrets_count(&secrets), SECRETS_MAX);
    unlink(path);
    make_file(path, large, SECRET_FILE_MAX + 1);
    snprintf(given, sizeof(given), "name=%s", path);
    other.secret_files = (struct strv){.items = files, .count = 1};
    assert_refused(gather(&others, &other, &err), ERR_OPTION_INVALID);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_values),
        cmocka_unit_test(a_variable_that_is_not_there_is_refused),
        cmocka_unit_test(one_that_is_missing_does_not_hide_the_others),
        cmocka_unit_test(files_are_kept_whole_and_masked_without_the_last_line_end),
        cmocka_unit_test(each_line_of_a_mask_file_is_a_value),
        cmocka_unit_test(limits_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
