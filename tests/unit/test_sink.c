#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "shim/relay/sink.h"

#define MIB (1 << 20)

static char pattern(size_t i)
{
    return (char)(i * 7 + i / 251);
}

/* A reader in the loop, which takes a little at a time. */
struct reader {
    struct loop *loop;
    struct loop_io io;
    struct sink *sink;
    size_t total;
    int drained, full_drained;
};

static bool take_some(void *data, uint32_t events, struct err *err)
{
    struct reader *reader = data;
    char chunk[30011];
    ssize_t n = read(reader->io.fd, chunk, sizeof(chunk));

    (void)events, (void)err;
    assert_true(n > 0);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(chunk[i], pattern(reader->total + (size_t)i));
    reader->total += (size_t)n;
    if (reader->total == 4 * MIB)
        loop_stop(reader->loop);
    return true;
}

static bool on_drained(void *data, struct err *err)
{
    struct reader *reader = data;

    (void)err;
    assert_false(sink_is_full(reader->sink));
    reader->drained++;
    reader->full_drained += !sink_is_empty(reader->sink);
    return true;
}

/* Four mebibytes, into what takes less: all of it arrives, and it is said when it is not full. */
static const struct outlets none; /* no directory is shared with steps */

static void check_slow(int from, int to)
{
    autofree char *bytes = malloc(4 * MIB);
    struct loop loop;
    struct sink sink;
    struct err err;
    struct reader reader = {.loop = &loop, .sink = &sink};

    for (size_t i = 0; i < 4 * MIB; i++)
        bytes[i] = pattern(i);
    assert_ok(loop_open(&loop, &err));
    assert_ok(sink_open_fd(to, &sink, &err));
    /* Before there is a loop it waits in the queue. */
    assert_ok(sink_write(&sink, bytes, MIB, &err));
    assert_false(sink_is_empty(&sink));
    assert_ok(sink_attach(&sink, &loop, on_drained, &reader, &err));
    for (size_t i = 1; i < 4; i++)
        assert_ok(sink_write(&sink, bytes + i * MIB, MIB, &err));
    assert_true(sink_is_full(&sink));
    reader.io = (struct loop_io){from, take_some, &reader};
    assert_ok(loop_add(&loop, &reader.io, EPOLLIN, &err));
    assert_ok(loop_run(&loop, &err));
    assert_true(sink_is_empty(&sink));
    assert_int_equal(sink.lost, 0);
    assert_int_equal(reader.full_drained, 1);
    assert_int_equal(reader.drained, 2);
    sink_close(&sink);
    loop_close(&loop);
    close(from), close(to);
}

static void a_slow_receiver_gets_everything_in_order(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    check_slow(ends[0], ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    check_slow(ends[0], ends[1]);
}

static void a_receiver_that_is_gone_is_counted(void **state)
{
    autofree char *bytes = calloc(1, MIB);
    int ends[2];
    struct sink sink;
    struct err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t taken;

        assert_int_equal(i ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)
                           : pipe2(ends, O_CLOEXEC),
                         0);
        assert_ok(sink_open_fd(ends[1], &sink, &err));
        assert_ok(sink_write(&sink, bytes, MIB, &err));
        taken = MIB - (sink.queue.len - sink.sent);
        close(ends[0]);
        sink_flush(&sink, 10000);
        assert_true(sink.gone);
        assert_int_equal(sink.lost, MIB - taken);
        assert_ok(sink_write(&sink, bytes, 100, &err));
        assert_int_equal(sink.lost, MIB - taken + 100);
        assert_true(sink_is_empty(&sink));
        sink_close(&sink);
        close(ends[1]);
    }
}

static void a_receiver_that_takes_nothing_is_given_up(void **state)
{
    autofree char *bytes = calloc(1, MIB);
    int ends[2];
    int64_t start = clock_now();
    struct sink sink;
    struct err err;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_ok(sink_open_fd(ends[1], &sink, &err));
    assert_ok(sink_write(&sink, bytes, MIB, &err));
    sink_flush(&sink, 50);
    assert_true(clock_now() - start >= 50 * NS_PER_MS);
    assert_true(sink.gone);
    assert_true(sink.lost > 0);
    sink_close(&sink);
    close(ends[0]), close(ends[1]);
}

static void a_full_disk_stops_nothing(void **state)
{
    struct sink sink;
    struct err err;

    (void)state;
    assert_ok(sink_open("file:/dev/full", &none, &sink, &err));
    assert_ok(sink_write(&sink, "event\n", 6, &err));
    assert_int_equal(sink.lost, 6);
    sink_close(&sink);
}

static void a_queue_has_an_end(void **state)
{
    autofree char *bytes = calloc(1, SINK_QUEUE_MAX);
    int ends[2];
    struct sink sink;
    struct err err;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_ok(sink_open_fd(ends[1], &sink, &err));
    assert_ok(sink_write(&sink, bytes, SINK_QUEUE_MAX, &err));
    assert_refused(sink_write(&sink, bytes, SINK_QUEUE_MAX, &err), ERR_ENGINE_FAILED);
    sink_close(&sink);
    close(ends[0]), close(ends[1]);
}

/* What the caller's descriptor is set to stays: other processes share it. */
static void the_callers_descriptor_stays_as_it_is(void **state)
{
    char target[32];
    int ends[2];
    struct sink sink;
    struct err err;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    snprintf(target, sizeof(target), "fd:%d", ends[1]);
    assert_ok(sink_open(target, &none, &sink, &err));
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    assert_true(fcntl(sink.fd, F_GETFD) & FD_CLOEXEC);
    sink_close(&sink);
    assert_true(fcntl(ends[1], F_GETFD) >= 0);
    close(ends[0]), close(ends[1]);
}

/* A file whose signature is not right, say, is not one that a policy guards. */
static void an_error_of_the_disk_is_told_from_a_guarded_place(void **state)
{
    const struct outlets guarded = {.policy = "/policy.json"};
    struct err err = ERR_INIT;

    (void)state;
    for (errno = 1; errno < 4096; errno++) {
        int number = errno;

        assert_false(outlet_failed(&none, "cannot write", "file", &err));
        assert_non_null(strstr(err.message, strerror(number)));
        errno = number;
    }
    errno = OUTLET_GUARDED;
    assert_false(outlet_failed(&guarded, "cannot write", "file", &err));
    assert_non_null(strstr(err.message, "guarded places of '/policy.json'"));
}

static void targets_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "",      "fd",           "fd:",      "fd:x", "fd:-1", "fd:99999999999", "fd:999", "file:",
        "unix:", "file:/no/dir", "unix:/no", "/tmp", "http",  "FILE:/tmp/x",    "file:/",
    };
    char target[256];
    int ends[2];
    struct sink sink = SINK_INIT;
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused(sink_open(bad[i], &none, &sink, &err), ERR_OPTION_INVALID);
    memset(target, 'x', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    memcpy(target, "unix:/", 6);
    assert_refused(sink_open(target, &none, &sink, &err), ERR_OPTION_INVALID);
    /* Open for reading only, and one of this process's own. */
    assert_int_equal(pipe(ends), 0);
    snprintf(target, sizeof(target), "fd:%d", ends[0]);
    assert_refused(sink_open(target, &none, &sink, &err), ERR_OPTION_INVALID);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    snprintf(target, sizeof(target), "fd:%d", ends[1]);
    assert_refused(sink_open(target, &none, &sink, &err), ERR_OPTION_INVALID);
    close(ends[0]), close(ends[1]);
    assert_int_equal(sink.fd, -1);
    assert_true(sink_is_http("http://x") && sink_is_http("https://x") && !sink_is_http("file:x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_receiver_gets_everything_in_order),
        cmocka_unit_test(a_receiver_that_is_gone_is_counted),
        cmocka_unit_test(a_receiver_that_takes_nothing_is_given_up),
        cmocka_unit_test(a_full_disk_stops_nothing),
        cmocka_unit_test(a_queue_has_an_end),
        cmocka_unit_test(the_callers_descriptor_stays_as_it_is),
        cmocka_unit_test(an_error_of_the_disk_is_told_from_a_guarded_place),
        cmocka_unit_test(targets_that_are_none_are_refused),
    };

    signal(SIGPIPE, SIG_IGN); /* as stepcell does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
