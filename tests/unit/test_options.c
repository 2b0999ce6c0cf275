#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "shim/options.h"

#define WORDS_MAX 16

static bool parse(struct run_options *options, struct err *err, const char *const *words)
{
    char *argv[WORDS_MAX + 1] = {NULL};
    int argc = 0;
    bool ok;

    *options = RUN_OPTIONS_INIT;
    for (; words[argc]; argc++)
        argv[argc] = strdup(words[argc]);
    ok = options_parse(argc, argv, options, err);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return ok;
}

#define PARSE(options, ...) parse(options, &err, (const char *const[]){__VA_ARGS__, NULL})

static void a_command_line_is_read(void **state)
{
    autooptions options = RUN_OPTIONS_INIT;
    struct err err;

    (void)state;
    assert_ok(PARSE(&options, "-w", "/w", "--package=A=/a", "-v/a:/b", "-eX=1", "-e", "Y", "-iq",
                    "--timeout", "5m", "--pull=never", "image", "--", "cmd", "-x", "--pull"));
    assert_string_equal(options.workdir, "/w");
    assert_int_equal(options.mount_count, 2);
    assert_string_equal(options.mounts[0].name, "A");
    assert_string_equal(options.mounts[1].target, "/b");
    assert_int_equal(options.env.count, 2);
    assert_true(options.interactive);
    assert_int_equal(options.verbosity, PRINT_QUIET);
    assert_int_equal(options.timeout_ms, 300000);
    assert_int_equal(options.pull, PULL_NEVER);
    assert_string_equal(options.image, "image");
    assert_int_equal(options.command.count, 3);
    assert_string_equal(options.command.items[1], "-x");
}

static void everything_that_is_wrong_is_told(void **state)
{
    static const char *const expected[] = {
        "unknown option '--bogus'",
        "option '--pull' needs a value",
        "unknown key 'colour' in the step",
        "'abc' is no value for --memory",
        "'env' in the step is not a list of strings",
        "'x' is no value for --cpus",
    };
    const char *words[] = {"--bogus",  "--step", NULL,     "--cpus", "x",
                           "--memory", "1g",     "--pull", NULL};
    autooptions options = RUN_OPTIONS_INIT;
    char step[] = "/tmp/options.XXXXXX";
    int fd = mkstemp(step);
    struct err err;

    (void)state;
    assert_int_not_equal(
        dprintf(fd, "{\"colour\": 1, \"memory\": \"abc\", \"env\": [1, \"A=b\", []]}"), -1);
    words[2] = step;
    assert_refused(parse(&options, &err, words), ERR_OPTION_INVALID);
    unlink(step);
    close(fd);
    for (size_t i = 0; i < options.wrong.count && i < COUNT(expected); i++)
        assert_string_equal(options.wrong.items[i].message, expected[i]);
    assert_int_equal(options.wrong.count, COUNT(expected));
    assert_string_equal(err.message, expected[0]);
}

static void bad_command_lines_are_refused(void **state)
{
    static const char *const table[][6] = {
        {"--bogus", "image", "cmd"},
        {"-Z", "image", "cmd"},
        {"image"},
        {NULL},
        {"--workdir"},
        {"-w"},
        {"--workdir=", "image", "cmd"},
        {"--pull", "sometimes", "image", "cmd"},
        {"--network", "bridge", "image", "x"},
        {"--timeout", "soon", "image", "x"},
        {"--grace", "-1", "image", "x"},
        {"--env", "=x", "image", "x"},
        {"--env", "", "image", "x"},
        {"--quiet=yes", "image", "x"},
        {"--entrypoint", "sh", "image", "x"},
        {"--volume", "a", "image", "x"},
        {"--shell", "sh", "image", "x"},
        {"--progress", "fancy", "image", "x"},
        {"", "cmd"},
        {"--script", "-", "-i", "image"},
        {"--step", "/no/such/file"},
        {"--workdi", "/w", "image", "x"},
        {"--kubernetes-volume=/w=hostPath", "--kubernetes-volume=/w=pvc:a", "image", "x"},
        {"--kubernetes-volume=/w/=pvc:b", "--kubernetes-volume=/w=pvc:a", "image", "x"},
        {"--memory", "5m", "image", "x"},
        {"--cpus", "many", "image", "x"},
        {"--pids-limit", "1", "image", "x"},
        {"--ulimit", "nofile", "image", "x"},
        {"--secret-env", "A=value", "image", "x"},
        {"--secret-env", "", "image", "x"},
        {"--secret-file", "a", "image", "x"},
        {"--secret-file", "a=", "image", "x"},
        {"--secret-file", "=/f", "image", "x"},
        {"--secret-file", ".a=/f", "image", "x"},
        {"--secret-file", "a/b=/f", "image", "x"},
        {"--secret-file", "a b=/f", "image", "x"},
        {"--secret-file=a=/f", "--secret-file=a=/g", "image", "x"},
        {"--mask-file", "", "image", "x"},
        {"--keep", "sometimes", "image", "x"},
        {"--keep-for", "long", "image", "x"},
        {"-t", "--id", "a", "image", "x"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autooptions options = RUN_OPTIONS_INIT;

        assert_refused(parse(&options, &err, table[i]), ERR_OPTION_INVALID);
    }
}

static void a_cell_can_be_kept_and_opened(void **state)
{
    autooptions kept = RUN_OPTIONS_INIT, never = RUN_OPTIONS_INIT, shell = RUN_OPTIONS_INIT;
    char *words[] = {"--shell", "zsh", "image", NULL};
    struct err err;

    (void)state;
    assert_ok(PARSE(&kept, "-t", "--keep", "on-failure", "--keep-for", "90m", "image", "x"));
    assert_int_equal(kept.keep, KEEP_ON_FAILURE);
    assert_int_equal(kept.keep_for_ms, 5400000);
    assert_true(kept.terminal);
    assert_false(kept.interactive);
    /* Whoever asks for the step again need not keep its cell. */
    assert_null(json_object_get(kept.asked, "keep"));
    assert_ok(PARSE(&never, "--keep", "never", "--engine", "docker", "image", "x"));
    assert_int_equal(never.keep_for_ms, 3600000);
    shell.opens_shell = true;
    assert_ok(options_parse(3, words, &shell, &err));
}

static void the_result_is_known_whatever_is_wrong(void **state)
{
    autooptions options = RUN_OPTIONS_INIT;
    struct err err;

    (void)state;
    assert_refused(PARSE(&options, "--bogus", "--result", "/r", "image", "x"), ERR_OPTION_INVALID);
    assert_string_equal(options.result, "/r");
}

static void write_step(char *path, const char *text)
{
    int fd;

    strcpy(path, "/tmp/stepcell-unit-XXXXXX");
    fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_step_has_the_same_keys(void **state)
{
    autooptions options = RUN_OPTIONS_INIT;
    struct err err;
    char path[64];

    (void)state;
    write_step(
        path,
        "{\"schema\": \"stepcell.step/1\", \"image\": \"a\", \"command\": [\"x\", \"y\"],"
        "\"package\": [\"P=/p\"], \"package_cow\": \"/c\", \"env\": {\"A\": \"1\", \"B\": null},"
        "\"env_file\": [\"/f\"], \"secret_env\": \"S\", \"secret_file\": {\"n\": \"/s=x\"},"
        "\"mask_file\": [\"/m\", \"/n\"], \"timeout\": 90, \"grace\": \"5s\", \"interactive\": "
        "true,"
        "\"quiet\": false, \"pull\": \"always\", \"user\": null}");
    assert_ok(PARSE(&options, "--step", path));
    unlink(path);
    assert_string_equal(options.image, "a");
    assert_int_equal(options.command.count, 2);
    assert_int_equal(options.mount_count, 2);
    assert_int_equal(options.mounts[1].kind, MOUNT_COW);
    assert_string_equal(options.env.items[0], "A=1");
    assert_string_equal(options.env.items[1], "B");
    assert_string_equal(options.secret_env.items[0], "S");
    assert_string_equal(options.secret_files.items[0], "n=/s=x");
    assert_int_equal(options.mask_files.count, 2);
    assert_int_equal(options.timeout_ms, 90000);
    assert_int_equal(options.grace_ms, 5000);
    assert_true(options.interactive);
    assert_int_equal(options.verbosity, PRINT_NORMAL);
    assert_null(options.user);
}

static void a_step_has_limits_as_numbers_and_as_text(void **state)
{
    static const char *const table[] = {
        "\"memory\": 67108864, \"cpus\": 0.5, \"pids_limit\": 20, \"ulimit\": [\"core=0\"]",
        "\"memory\": \"64m\", \"cpus\": \"0.5\", \"pids_limit\": \"20\", \"ulimit\": \"core=0\"",
        "\"memory\": \"64m\", \"cpus\": 5e-1, \"pids_limit\": 20, \"ulimit\": [\"core=0\"]",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autooptions options = RUN_OPTIONS_INIT;
        char path[64], text[256];

        snprintf(text, sizeof(text), "{\"image\": \"a\", \"command\": [\"x\"], %s}", table[i]);
        write_step(path, text);
        assert_ok(PARSE(&options, "--step", path));
        unlink(path);
        assert_int_equal(options.limits.memory, 64 << 20);
        assert_int_equal(options.limits.cpu, 50000);
        assert_int_equal(options.limits.pids, 20);
        assert_int_equal(options.limits.ulimit_count, 1);
        assert_int_equal(options.limits.ulimits[0].hard, 0);
    }
}

static void flags_beside_a_step_win(void **state)
{
    autooptions options = RUN_OPTIONS_INIT;
    struct err err;
    char path[64];

    (void)state;
    write_step(path, "{\"image\": \"a\", \"command\": [\"x\", \"y\"], \"workdir\": \"/a\","
                     "\"env\": [\"A=1\"], \"pull\": \"always\"}");
    assert_ok(PARSE(&options, "--workdir", "/b", "--step", path, "-e", "A=2", "--pull", "never"));
    assert_string_equal(options.image, "a");
    assert_string_equal(options.workdir, "/b");
    assert_int_equal(options.pull, PULL_NEVER);
    assert_string_equal(options.env.items[1], "A=2");
    options_release(&options);
    assert_ok(PARSE(&options, "--step", path, "b", "z"));
    assert_string_equal(options.image, "b");
    assert_int_equal(options.command.count, 1);
    unlink(path);
}

static void bad_steps_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "[]",
        "\"x\"",
        "{",
        "{\"image\": 1}",
        "{\"image\": \"a\"}",
        "{\"command\": [\"x\"]}",
        "{\"image\": \"a\", \"command\": \"x\"}",
        "{\"image\": \"a\", \"command\": [1]}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"bogus\": 1}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"package-cow\": \"/x\"}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"step\": \"/x\"}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"help\": true}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"quiet\": \"yes\"}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"workdir\": [\"/x\"]}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"timeout\": -1}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"timeout\": 1.5}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"cpus\": -0.5}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"cpus\": 1e-9}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"cpus\": true}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"pids_limit\": 2.5}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"memory\": -1}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"ulimit\": {\"core\": 0}}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"env\": {\"A\": 1}}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"env\": [null]}",
        "{\"image\": \"a\", \"image\": \"b\", \"command\": [\"x\"]}",
        "{\"image\": \"a\", \"command\": [\"x\"], \"schema\": \"stepcell.step/2\"}",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autooptions options = RUN_OPTIONS_INIT;
        char path[64];

        write_step(path, table[i]);
        assert_refused(PARSE(&options, "--step", path), ERR_OPTION_INVALID);
        unlink(path);
    }
}

static void every_option_is_in_the_help(void **state)
{
    static const char *const names[] = {
        "workdir",    "package", "package-cow", "package-rw", "volume",   "mount",      "env",
        "env-file",   "script",  "shell",       "user",       "pull",     "platform",   "network",
        "entrypoint", "result",  "timeout",     "grace",      "progress", "store",      "step",
        "quiet",      "verbose", "interactive", "memory",     "cpus",     "pids-limit", "ulimit",
        "tty",        "keep",    "keep-for",
    };
    autofree char *help = options_help("run");

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char option[32];

        snprintf(option, sizeof(option), "--%s", names[i]);
        assert_non_null(strstr(help, option));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_line_is_read),
        cmocka_unit_test(everything_that_is_wrong_is_told),
        cmocka_unit_test(bad_command_lines_are_refused),
        cmocka_unit_test(a_cell_can_be_kept_and_opened),
        cmocka_unit_test(the_result_is_known_whatever_is_wrong),
        cmocka_unit_test(a_step_has_the_same_keys),
        cmocka_unit_test(a_step_has_limits_as_numbers_and_as_text),
        cmocka_unit_test(flags_beside_a_step_win),
        cmocka_unit_test(bad_steps_are_refused),
        cmocka_unit_test(every_option_is_in_the_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
