#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "shim/state/ledger.h"
#include "shim/state/step_dir.h"
#include "tests/unit/scratch.h"

static void append_text(int dirfd, const char *name, const char *text)
{
    int fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0 && file_write_all(fd, text, strlen(text)));
    close(fd);
}

static void records_come_back_in_their_order(void **state)
{
    struct scratch scratch;
    enum ledger_record last;
    json_t *records;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    assert_ok(ledger_read(scratch.fd, &last, &records, &err));
    assert_int_equal(last, LEDGER_NONE);
    assert_int_equal(json_array_size(records), 0);
    json_decref(records);
    for (int i = LEDGER_ACCEPTED; i <= LEDGER_FINISHED; i++) {
        assert_ok(
            ledger_append(scratch.fd, (enum ledger_record)i, json_pack("{s:i}", "n", i), &err));
        assert_ok(ledger_read(scratch.fd, &last, &records, &err));
        assert_int_equal(last, i);
        assert_int_equal(json_array_size(records), i);
        assert_int_equal(
            json_integer_value(json_object_get(ledger_find(records, LEDGER_ACCEPTED), "n")),
            LEDGER_ACCEPTED);
        assert_true(i == LEDGER_FINISHED || !ledger_find(records, (enum ledger_record)(i + 1)));
        json_decref(records);
    }
    scratch_remove(&scratch);
}

/* Who was killed while writing a record has not done what it announces. */
static void a_record_without_its_end_is_none(void **state)
{
    static const char *const torn[] = {"{", "{\"record\":\"started\"}", "\"", "nonsense"};

    (void)state;
    for (size_t i = 0; i < COUNT(torn); i++) {
        struct scratch scratch;
        enum ledger_record last;
        json_t *records;
        struct err err;

        scratch_make(&scratch);
        /* The first of all may be torn, too. */
        append_text(scratch.fd, STEP_LEDGER, torn[i]);
        assert_ok(ledger_read(scratch.fd, &last, &records, &err));
        assert_int_equal(last, LEDGER_NONE);
        json_decref(records);
        assert_ok(ledger_append(scratch.fd, LEDGER_ACCEPTED, NULL, &err));
        append_text(scratch.fd, STEP_LEDGER, torn[i]);
        assert_ok(ledger_read(scratch.fd, &last, &records, &err));
        assert_int_equal(last, LEDGER_ACCEPTED);
        json_decref(records);
        assert_ok(ledger_append(scratch.fd, LEDGER_SUPERVISED, NULL, &err));
        assert_ok(ledger_read(scratch.fd, &last, &records, &err));
        assert_int_equal(last, LEDGER_SUPERVISED);
        assert_int_equal(json_array_size(records), 2);
        json_decref(records);
        scratch_remove(&scratch);
    }
}

static void a_ledger_that_nobody_understands_is_an_error(void **state)
{
    static const char *const lines[] = {
        "{\"record\":\"paused\"}\n",
        "{\"record\":\"none\"}\n",
        "{\"record\":7}\n",
        "{}\n",
        "[]\n",
        "\n",
        "nonsense\n",
        "{\"record\":\"accepted\"\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct scratch scratch;
        enum ledger_record last;
        json_t *records = NULL;
        struct err err;

        scratch_make(&scratch);
        assert_ok(ledger_append(scratch.fd, LEDGER_ACCEPTED, NULL, &err));
        append_text(scratch.fd, STEP_LEDGER, lines[i]);
        assert_refused(ledger_read(scratch.fd, &last, &records, &err), ERR_ENGINE_FAILED);
        assert_null(records);
        scratch_remove(&scratch);
    }
}

static void ids_are_names_in_any_place(void **state)
{
    static const char *const good[] = {"a", "7", "A.b-c_d:e@f+g=h", "deploy-42"};
    static const char *const bad[] = {"",  ".",   "..",       "-a",   ".a", "a/b", "a b",
                                      "_", "a\n", "\xc3\xa4", "a\\b", "a*", "=a"};
    char name[STEP_ID_MAX + 2];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(step_id_is_good(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (step_id_is_good(bad[i]))
            fail_msg("'%s' is taken for an id", bad[i]);
    }
    memset(name, 'x', sizeof(name));
    name[STEP_ID_MAX] = '\0';
    assert_true(step_id_is_good(name));
    name[STEP_ID_MAX] = 'x';
    name[STEP_ID_MAX + 1] = '\0';
    assert_false(step_id_is_good(name));
}

static void a_step_appears_whole_and_once(void **state)
{
    struct step_dir step = STEP_DIR_INIT, again = STEP_DIR_INIT;
    struct scratch scratch;
    enum ledger_record last;
    json_t *accepted = json_pack("{s:s}", "image", "x"), *records;
    struct stat st;
    struct err err;
    bool exists;

    (void)state;
    scratch_make(&scratch);
    assert_ok(step_dir_open(scratch.path, "one", &step, &exists, &err));
    assert_false(exists);
    assert_ok(step_dir_make(scratch.path, "one", accepted, NULL, &step, &exists, &err));
    assert_false(exists);
    assert_int_equal(fstat(step.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_ok(ledger_read(step.fd, &last, &records, &err));
    assert_int_equal(last, LEDGER_ACCEPTED);
    json_decref(records);
    assert_ok(step_dir_make(scratch.path, "one", accepted, NULL, &again, &exists, &err));
    assert_true(exists);
    step_dir_close(&again);
    assert_ok(step_dir_remove(scratch.path, "one", &step, &err));
    assert_ok(step_dir_open(scratch.path, "one", &again, &exists, &err));
    assert_false(exists);
    /* Nothing of the second try lies there. */
    assert_int_equal(unlinkat(scratch.fd, "steps", AT_REMOVEDIR), 0);
    step_dir_close(&step);
    json_decref(accepted);
    scratch_remove(&scratch);
}

/* Runs `check` in a child, and tells whether it was true. */
static bool child_says(bool (*check)(const char *store), const char *store)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(check(store) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

static bool can_lock(const char *store)
{
    struct step_dir step = STEP_DIR_INIT;
    struct err err;
    bool found;

    return step_dir_open(store, "one", &step, &found, &err) && found && step_dir_lock(&step);
}

static bool sees_parent(const char *store)
{
    struct step_dir step = STEP_DIR_INIT;
    struct err err;
    bool found;

    return step_dir_open(store, "one", &step, &found, &err) && found &&
           step_dir_holder(&step) == getppid();
}

static void the_lock_is_one_processs_alone(void **state)
{
    struct step_dir step = STEP_DIR_INIT;
    struct scratch scratch;
    struct err err;
    bool exists;

    (void)state;
    scratch_make(&scratch);
    assert_ok(step_dir_make(scratch.path, "one", NULL, NULL, &step, &exists, &err));
    assert_int_equal(step_dir_holder(&step), 0);
    assert_true(child_says(can_lock, scratch.path));
    /* It ended with that child. */
    assert_true(step_dir_lock(&step));
    assert_int_equal(step_dir_holder(&step), getpid());
    /* A child has inherited the descriptor, and no part of the lock. */
    assert_false(child_says(can_lock, scratch.path));
    assert_true(child_says(sees_parent, scratch.path));
    step_dir_close(&step);
    assert_true(child_says(can_lock, scratch.path));
    scratch_remove(&scratch);
}

static void an_event_log_loses_its_unfinished_line(void **state)
{
    static const struct {
        const char *text;
        off_t left;
    } table[] = {{"", 0}, {"{", 0}, {"{}\n", 3}, {"{}\n{}\n{\"seq\"", 6}};

    (void)state;
    for (size_t i = 0; i <= COUNT(table); i++) {
        autofree char *text = i < COUNT(table) ? strdup(table[i].text) : malloc(200001);
        off_t left = i < COUNT(table) ? table[i].left : 100000;
        struct step_dir step = STEP_DIR_INIT;
        struct scratch scratch;
        struct stat st;
        struct err err;
        bool exists;
        int log;

        /* A long one: its end is further away than is looked at at once. */
        if (i == COUNT(table)) {
            memset(text, 'x', 200000);
            text[99999] = '\n';
            text[200000] = '\0';
        }
        scratch_make(&scratch);
        assert_ok(step_dir_make(scratch.path, "one", NULL, NULL, &step, &exists, &err));
        append_text(step.fd, STEP_EVENTS, text);
        log = step_dir_open_log(&step, &err);
        assert_true(log >= 0 && fstat(log, &st) == 0);
        assert_int_equal(st.st_size, left);
        close(log);
        step_dir_close(&step);
        scratch_remove(&scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_their_order),
        cmocka_unit_test(a_record_without_its_end_is_none),
        cmocka_unit_test(a_ledger_that_nobody_understands_is_an_error),
        cmocka_unit_test(ids_are_names_in_any_place),
        cmocka_unit_test(a_step_appears_whole_and_once),
        cmocka_unit_test(the_lock_is_one_processs_alone),
        cmocka_unit_test(an_event_log_loses_its_unfinished_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
