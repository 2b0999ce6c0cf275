/* The main program's side of the delivery of events: target.json, `acked`, and a detached start. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "runtime/net/url.h"
#include "shim/acked.h"
#include "shim/deliver.h"
#include "tests/unit/scratch.h"

static void put(const struct scratch *scratch, const char *name, const char *text)
{
    struct err err;

    assert_ok(file_replace(scratch->fd, name, text, strlen(text), 0600, ERR_ENGINE_FAILED, &err));
}

static void test_good_targets(void **state)
{
    static const char *const good[] = {
        "http://a",
        "HTTPS://a.example:8443/x?y=@z#w",
        "https://192.0.2.1/",
        "http://[2001:db8::1]",
        "http://[::1]:80/in",
        "https://my_host-1.example./",
        "https://a?token=%20",
    };
    struct scratch scratch;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    for (size_t i = 0; i < COUNT(good); i++) {
        const char *token = i % 2 ? "/run/a token\n" : NULL;
        autojson *json = NULL;

        assert_ok(deliver_write_target(scratch.fd, good[i], token, token, &err));
        json = json_read_file(scratch.fd, "target.json", 65536, ERR_ENGINE_FAILED, &err);
        assert_non_null(json);
        assert_string_equal(json_text(json, "schema"), "stepcell.target/1");
        assert_string_equal(json_text(json, "url"), good[i]);
        if (token)
            assert_string_equal(json_text(json, "token_file"), token);
        else
            assert_true(json_is_null(json_object_get(json, "token_file")));
        assert_true(json_is_true(json_object_get(json, "no_links")) == !!token);
    }
    scratch_remove(&scratch);
}

static void test_bad_targets(void **state)
{
    static const char *const bad[] = {
        "",
        "a",
        "ftp://a",
        "http:/a",
        "http://",
        "https:///x",
        "http://:80/",
        "http://a:/",
        "http://a:8x/",
        "http://a b/",
        "http://a/ b",
        "http://a/\n",
        "http://a/\x7f",
        "http://a/\xc3\xa4",
        "http://a\\b/",
        "http://[::1/",
        "http://[]/",
        "http://[::1]x/",
        "http://a%40b/",
    };
    autofree char *longer = text_printf("http://a/%0*d", URL_MAX, 0);
    struct scratch scratch;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused(deliver_write_target(scratch.fd, bad[i], NULL, false, &err),
                       ERR_OPTION_INVALID);
    assert_refused(deliver_write_target(scratch.fd, longer, NULL, false, &err), ERR_OPTION_INVALID);
    assert_refused(deliver_write_target(scratch.fd, "http://a", "token", false, &err),
                   ERR_OPTION_INVALID);
    assert_refused(deliver_write_target(scratch.fd, "http://a", "/\xff", false, &err),
                   ERR_OPTION_INVALID);
    assert_refused(deliver_write_target(scratch.fd, "http://u:pass@a/", NULL, false, &err),
                   ERR_OPTION_INVALID);
    assert_null(strstr(err.message, "pass"));
    assert_non_null(strstr(err.hint, "file"));
    assert_true(faccessat(scratch.fd, "target.json", F_OK, 0) < 0);
    scratch_remove(&scratch);
}

static void test_acked(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "{}",
                                      "{\"offset\": 1}",
                                      "{\"seq\": 1}",
                                      "{\"offset\": -1, \"seq\": 1}",
                                      "{\"offset\": 1.5, \"seq\": 1}"};
    struct acked acked = {1, 1};
    struct scratch scratch;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    assert_ok(acked_read(scratch.fd, &acked, &err));
    assert_int_equal(acked.offset, 0);
    assert_int_equal(acked.seq, -1);
    assert_ok(acked_write(scratch.fd, &(struct acked){5000000000, 77}, &err));
    assert_ok(acked_read(scratch.fd, &acked, &err));
    assert_true(acked.offset == 5000000000);
    assert_int_equal(acked.seq, 77);
    for (size_t i = 0; i < COUNT(bad); i++) {
        put(&scratch, "acked", bad[i]);
        assert_refused(acked_read(scratch.fd, &acked, &err), ERR_ENGINE_FAILED);
    }
    scratch_remove(&scratch);
}

static void test_is_done(void **state)
{
    struct scratch scratch;
    int fd;

    (void)state;
    scratch_make(&scratch);
    assert_false(deliver_is_done(scratch.fd));
    put(&scratch, "events.ndjson", "");
    assert_true(deliver_is_done(scratch.fd));
    put(&scratch, "events.ndjson", "12345\n");
    assert_false(deliver_is_done(scratch.fd));
    put(&scratch, "acked", "{\"offset\": 6, \"seq\": 0}");
    assert_true(deliver_is_done(scratch.fd));
    put(&scratch, "events.ndjson", "12345\n7");
    assert_false(deliver_is_done(scratch.fd));
    put(&scratch, "acked", "x");
    assert_false(deliver_is_done(scratch.fd));
    fd = dup(scratch.fd);
    scratch_remove(&scratch);
    assert_true(deliver_is_done(fd));
    close(fd);
}

/* A caller whose own state must not reach the deliverer; it writes the deliverer's number. */
static void start_from(const char *dir, int out)
{
    int number = fcntl(out, F_DUPFD, 100);
    struct err err;
    sigset_t all;
    pid_t pid = -1;

    setpgid(0, 0);
    for (int fd = 0; fd < 100; fd++)
        close(fd);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    setenv("SECRET", "s3cret", 1);
    setenv("no_proxy", "here.example", 1);
    deliver_start(dir, &pid, &err);
    (void)!write(number, &pid, sizeof(pid));
    for (;;)
        pause();
}

/* A file of /proc about the process, as text with line ends for NULs. */
static char *proc_text(pid_t pid, const char *name)
{
    autofree char *path = text_printf("/proc/%d/%s", pid, name);
    autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf text = BUF_INIT(1 << 20);
    struct err err;

    assert_ok(file_read_fd(fd, path, &text, ERR_ENGINE_FAILED, &err));
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0')
            text.data[i] = '\n';
    }
    return buf_take(&text);
}

static void assert_link(pid_t pid, const char *name, const char *expected)
{
    autofree char *path = text_printf("/proc/%d/%s", pid, name);
    char target[PATH_MAX] = "";

    assert_true(readlink(path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, expected);
}

static bool count_one(void *data, int dirfd, const char *name)
{
    struct stat st;

    (void)name;
    *(int *)data += fstat(dirfd, &st) == 0;
    return true;
}

/* Until it says that it has tried, and so has executed its program. */
static void wait_for_deliverer(const struct scratch *scratch)
{
    for (int i = 0; i < 500; i++) {
        if (faccessat(scratch->fd, "deliverer", F_OK, 0) == 0)
            return;
        usleep(20000);
    }
    fail_msg("no deliverer");
}

static void assert_detached(pid_t pid, const char *dir)
{
    autofree char *status = proc_text(pid, "status"), *words = proc_text(pid, "cmdline"),
                  *environment = proc_text(pid, "environ"), *fds = text_printf("/proc/%d/fd", pid);
    autofree char *expected = text_printf("stepcell-events\n%s\n", dir);
    int count = 0;

    assert_non_null(strstr(words, expected));
    assert_link(pid, "cwd", "/");
    assert_link(pid, "fd/0", "/dev/null");
    assert_link(pid, "fd/1", "/dev/null");
    assert_link(pid, "fd/2", "/dev/null");
    assert_true(file_each_entry(AT_FDCWD, fds, count_one, &count));
    /* Of its own: the directory, its lock, the log, inotify, and what a request opens. */
    assert_in_range(count, 5, 12);
    assert_non_null(strstr(status, "SigBlk:\t0000000000000000\n"));
    /* SIGPIPE alone, which it ignores itself. */
    assert_non_null(strstr(status, "SigIgn:\t0000000000001000\n"));
    assert_null(strstr(environment, "SECRET"));
    assert_non_null(strstr(environment, "no_proxy=here.example\n"));
    assert_true(getsid(pid) != getsid(0));
    assert_true(getpgid(pid) != getpgid(0));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_start(void **state)
{
    struct scratch scratch;
    int ends[2];
    pid_t caller, pid;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    put(&scratch, "events.ndjson", "{\"seq\": 0, \"type\": \"step.finished\"}\n");
    /* Nobody listens there. */
    assert_ok(deliver_write_target(scratch.fd, "http://127.0.0.1:1/", NULL, false, &err));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    caller = fork();
    if (caller == 0)
        start_from(scratch.path, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
    assert_true(pid > 0);
    wait_for_deliverer(&scratch);
    kill(-caller, SIGKILL);
    assert_int_equal(waitpid(caller, NULL, 0), caller);
    /* Nobody else has the pipe. */
    assert_int_equal(read(ends[0], &caller, sizeof(caller)), 0);
    close(ends[0]);
    usleep(100000);
    assert_detached(pid, scratch.path);
    assert_int_equal(kill(pid, SIGTERM), 0);
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
        usleep(20000);
    assert_true(kill(pid, 0) < 0);
    assert_refused(deliver_start("/nonexistent", &pid, &err), ERR_ENGINE_FAILED);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_targets), cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_acked),        cmocka_unit_test(test_is_done),
        cmocka_unit_test(test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
