#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "shim/relay/pump.h"

#define AMOUNT (3 << 20)

static char pattern(size_t i)
{
    return (char)(i * 7 + i / 251);
}

/* A process that writes the pattern. */
static pid_t write_pattern(int fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        char *bytes = malloc(AMOUNT);

        for (size_t i = 0; i < AMOUNT; i++)
            bytes[i] = pattern(i);
        _exit(file_write_all(fd, bytes, AMOUNT) ? 0 : 1);
    }
    close(fd);
    return pid;
}

/* A process that reads slowly, or `only` bytes, and tells whether it got the pattern. */
static pid_t read_pattern(int fd, int other_end, size_t only)
{
    pid_t pid = fork();

    if (pid == 0) {
        close_fd(other_end);
        char chunk[10007];
        size_t total = 0;
        ssize_t n;

        while (total < only && (n = read(fd, chunk, sizeof(chunk))) > 0) {
            for (ssize_t i = 0; i < n; i++) {
                if (chunk[i] != pattern(total + (size_t)i))
                    _exit(1);
            }
            total += (size_t)n;
            if (total % 7 == 0)
                usleep(1000);
        }
        _exit(only == AMOUNT && total != AMOUNT ? 2 : 0);
    }
    close(fd);
    return pid;
}

static void stop(void *data)
{
    loop_stop(data);
}

static void relay(int from, int to, struct pump *pump)
{
    struct loop loop;
    struct err err;

    assert_ok(loop_open(&loop, &err));
    assert_ok(pump_start(pump, &loop,
                         &(struct pump_ends){.from = from, .to = to, .done = stop, .data = &loop},
                         &err));
    assert_ok(loop_run(&loop, &err));
    pump_close(pump);
    loop_close(&loop);
    close(from);
    close(to);
}

static void expect_success(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void make_source(int *from, pid_t *writer)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *writer = write_pattern(ends[1]);
    *from = ends[0];
}

static void bytes_pass_between_pipes(void **state)
{
    struct pump pump;
    int from, ends[2];
    pid_t writer, reader;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    make_source(&from, &writer);
    reader = read_pattern(ends[0], ends[1], AMOUNT);
    relay(from, ends[1], &pump);
    expect_success(writer);
    expect_success(reader);
    assert_int_equal(pump.bytes, AMOUNT);
    assert_int_equal(pump.lost, 0);
}

static void bytes_pass_from_files(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, 65536, 65537, AMOUNT};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char path[] = "/tmp/stepcell-unit-XXXXXX";
        autofree char *bytes = calloc(1, AMOUNT);
        int fd = mkstemp(path), ends[2];
        struct pump pump;
        pid_t reader;

        for (size_t j = 0; j < sizes[i]; j++)
            bytes[j] = pattern(j);
        assert_true(file_write_all(fd, bytes, sizes[i]));
        lseek(fd, 0, SEEK_SET);
        unlink(path);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        reader = read_pattern(ends[0], ends[1], sizes[i] + 1);
        relay(fd, ends[1], &pump);
        expect_success(reader);
        assert_int_equal(pump.bytes, sizes[i]);
    }
}

static void bytes_pass_into_sockets(void **state)
{
    struct pump pump;
    int from, ends[2];
    pid_t writer, reader;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    make_source(&from, &writer);
    reader = read_pattern(ends[0], ends[1], AMOUNT);
    relay(from, ends[1], &pump);
    expect_success(writer);
    expect_success(reader);
    assert_int_equal(pump.bytes, AMOUNT);
}

static void check_file(int flags)
{
    char path[] = "/tmp/stepcell-unit-XXXXXX";
    int fd = mkstemp(path), from;
    struct pump pump;
    pid_t writer, reader;

    close(fd);
    make_source(&from, &writer);
    relay(from, open(path, O_WRONLY | O_CLOEXEC | flags), &pump);
    expect_success(writer);
    reader = read_pattern(open(path, O_RDONLY), -1, AMOUNT);
    expect_success(reader);
    assert_int_equal(pump.bytes, AMOUNT);
    unlink(path);
}

static void bytes_pass_into_files(void **state)
{
    (void)state;
    check_file(0);
    check_file(O_APPEND); /* splice(2) refuses these */
}

static void a_reader_that_goes_away_stops_nothing(void **state)
{
    struct pump pump;
    int from, ends[2];
    pid_t writer, reader;

    (void)state;
    /* First, so that the writer does not hold the sink open. */
    make_source(&from, &writer);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    reader = read_pattern(ends[0], ends[1], 1000);
    relay(from, ends[1], &pump);
    expect_success(writer);
    expect_success(reader);
    assert_int_equal(pump.bytes + pump.lost, AMOUNT);
    assert_true(pump.lost > 0);
}

static bool time_over(void *data, struct err *err)
{
    (void)err;
    loop_stop(data);
    return true;
}

/* It stays open and silent after its line, and is not read from until it blocks. */
static void a_terminal_is_read_as_it_comes(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, to[2];
    struct loop loop;
    struct loop_timer timer = {.fire = time_over, .data = &loop};
    struct pump pump;
    char bytes[16];
    struct err err;

    (void)state;
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    assert_int_equal(pipe2(to, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write(master, "line\n", 5), 5);
    assert_ok(loop_open(&loop, &err));
    assert_ok(pump_start(
        &pump, &loop,
        &(struct pump_ends){
            .from = slave, .to = to[1], .to_is_input = true, .done = stop, .data = &loop},
        &err));
    loop_set_timer(&loop, &timer, 200);
    assert_ok(loop_run(&loop, &err));
    assert_int_equal(pump.bytes, 5);
    assert_int_equal(read(to[0], bytes, sizeof(bytes)), 5);
    pump_close(&pump);
    loop_close(&loop);
}

/*
 * A step can hand its stdout to a process that stays: the end of the cell is the end all the same.
 */
static void a_source_that_is_held_open_can_be_finished(void **state)
{
    struct loop loop;
    struct pump pump;
    int from[2], to[2];
    char bytes[16];
    struct err err;

    (void)state;
    assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(write(from[1], "last words", 10), 10);
    assert_ok(loop_open(&loop, &err));
    assert_ok(pump_start(
        &pump, &loop,
        &(struct pump_ends){.from = from[0], .to = to[1], .done = stop, .data = &loop}, &err));
    assert_false(pump.ended);
    assert_ok(pump_finish(&pump, &err));
    assert_true(pump.ended);
    assert_int_equal(pump.bytes, 10);
    assert_int_equal(read(to[0], bytes, sizeof(bytes)), 10);
    pump_close(&pump);
    loop_close(&loop);
}

/* What such a process writes after the end is not the step's, and does not hold up the end. */
static void what_comes_after_the_finish_is_not_moved(void **state)
{
    static const bool copies[] = {false, true};

    (void)state;
    for (size_t i = 0; i < COUNT(copies); i++) {
        struct loop loop;
        struct pump pump;
        int from[2], to[2];
        char bytes[PUMP_CHUNK];
        struct err err;

        memset(bytes, 'x', sizeof(bytes));
        assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(
            copies[i] ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, to)
                      : pipe2(to, O_CLOEXEC | O_NONBLOCK),
            0);
        assert_ok(loop_open(&loop, &err));
        assert_ok(pump_start(
            &pump, &loop,
            &(struct pump_ends){.from = from[0], .to = to[1], .done = stop, .data = &loop}, &err));
        /* The sink is full, so that what is finished has to wait. */
        while (write(to[1], bytes, sizeof(bytes)) > 0 || write(to[1], bytes, 1) > 0)
            ;
        assert_int_equal(write(from[1], "last words", 10), 10);
        assert_ok(pump_finish(&pump, &err));
        assert_false(pump.ended);
        for (int j = 0; j < 100 && !pump.ended; j++) {
            (void)!write(from[1], "more", 4);
            (void)!read(to[0], bytes, sizeof(bytes));
            assert_ok(pump_finish(&pump, &err));
        }
        assert_true(pump.ended);
        assert_int_equal(pump.bytes, 10);
        pump_close(&pump);
        loop_close(&loop);
        close(from[0]), close(from[1]), close(to[0]), close(to[1]);
    }
}

/*
 * A filter that leaves two chunks of three as they are, holds the end of the third back, and changes
 * one byte of it when it gives that.
 */
struct changing {
    int chunks;
    char held[16];
    size_t held_len;
    struct buf out;
    uint64_t seen;
};

static bool change(void *data, const char *bytes, size_t len, const char **out, size_t *out_len,
                   struct err *err)
{
    struct changing *filter = data;
    size_t keep =
        ++filter->chunks % 3 == 0 && len > sizeof(filter->held) ? sizeof(filter->held) : 0;

    (void)err;
    filter->seen += len;
    filter->out.len = 0;
    if (filter->held_len == 0) {
        /* As the mask gives it: the same bytes, as far as they are certain. */
        *out = bytes;
        *out_len = len - keep;
    } else {
        filter->held[0] ^= 1;
        buf_append(&filter->out, filter->held, filter->held_len);
        buf_append(&filter->out, bytes, len - keep);
        *out = filter->out.data;
        *out_len = filter->out.len;
    }
    filter->held_len = keep;
    memcpy(filter->held, bytes + len - keep, keep);
    return true;
}

static bool change_end(void *data, const char **out, size_t *out_len, struct err *err)
{
    struct changing *filter = data;

    (void)err;
    *out = filter->held;
    *out_len = filter->held_len;
    return true;
}

static bool never(const void *data)
{
    (void)data;
    return false;
}

/* Relays the pattern through the filter into a pipe of which a child reads `only` bytes, and tells how
 * many of them were not as they were written. */
static int relay_changed(size_t only, struct pump *pump, struct changing *filter)
{
    const struct pump_filter ends = {change, change_end, never, never, filter};
    int from, to[2], status;
    struct loop loop;
    struct err err;
    pid_t writer, reader;

    *filter = (struct changing){.out = BUF_INIT(1 << 20)};
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    make_source(&from, &writer);
    reader = fork();
    if (reader == 0) {
        size_t total = 0, changed = 0;
        char byte[4096];
        ssize_t n;

        close(to[1]);
        while (total < only && (n = read(to[0], byte, sizeof(byte))) > 0) {
            for (ssize_t i = 0; i < n; i++)
                changed += byte[i] != pattern(total++);
            if (total % 65536 == 0)
                usleep(500);
        }
        _exit(total < only ? 255 : changed > 254 ? 254 : (int)changed);
    }
    close(to[0]);
    assert_ok(loop_open(&loop, &err));
    assert_ok(
        pump_start(pump, &loop,
                   &(struct pump_ends){
                       .from = from, .to = to[1], .filter = &ends, .done = stop, .data = &loop},
                   &err));
    assert_ok(loop_run(&loop, &err));
    assert_true(pump->busy);
    pump_close(pump);
    loop_close(&loop);
    close(from);
    close(to[1]);
    buf_release(&filter->out);
    expect_success(writer);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_filter_sees_and_changes_a_busy_stream(void **state)
{
    struct changing filter;
    struct pump pump;
    int changed = relay_changed(AMOUNT, &pump, &filter);

    (void)state;
    assert_int_equal(filter.seen, AMOUNT);
    assert_int_equal(pump.bytes, AMOUNT);
    assert_int_equal(pump.lost, 0);
    /* Each piece that was held back had one byte changed, but for one at the very end. */
    assert_in_range(changed, filter.chunks / 3 > 254 ? 254 : filter.chunks / 3 - 1,
                    filter.chunks / 3);
}

static void a_filter_sees_what_no_reader_gets(void **state)
{
    struct changing filter;
    struct pump pump;

    (void)state;
    assert_true(relay_changed(AMOUNT / 2, &pump, &filter) < 255);
    assert_int_equal(filter.seen, AMOUNT);
    assert_int_equal(pump.bytes + pump.lost, AMOUNT);
    assert_true(pump.lost > 0);
}

/* A filter that keeps all that it saw, while the step meddles with its own pipe. */
struct meddled {
    bool judged;
    int source;   /* the step's own way to read what it wrote */
    char *shared; /* the pages that the step gave to the pipe */
    char *seen;
    size_t len;
};

#define SHARED (256 << 10)

static bool meddle(void *data, const char *bytes, size_t len, const char **out, size_t *out_len,
                   struct err *err)
{
    struct meddled *filter = data;

    (void)err;
    assert_true(filter->len + len <= AMOUNT);
    memcpy(filter->seen + filter->len, bytes, len);
    filter->len += len;
    *out = bytes;
    *out_len = len;
    if (filter->shared)
        memset(filter->shared, 'a' + (int)(filter->len % 26), SHARED);
    /* Only at the end, so that what comes behind it is not taken for it. */
    if (filter->source >= 0 && filter->len == AMOUNT) {
        char byte[4096];

        while (read(filter->source, byte, sizeof(byte)) > 0)
            ;
    }
    return true;
}

static bool meddle_end(void *data, const char **out, size_t *out_len, struct err *err)
{
    (void)data, (void)err;
    *out = "";
    *out_len = 0;
    return true;
}

static bool is_judge(const void *data)
{
    return ((const struct meddled *)data)->judged;
}

static pid_t write_shared(int fd, char *shared)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (size_t total = 0; total < AMOUNT;) {
            size_t left = AMOUNT - total;
            struct iovec pages = {shared, left < SHARED ? left : SHARED};
            ssize_t n = vmsplice(fd, &pages, 1, 0);

            if (n < 0)
                _exit(1);
            total += (size_t)n;
        }
        _exit(0);
    }
    return pid;
}

/* Reads into `to` what is delivered, and holds the source open until all is there. */
static pid_t read_delivered(int fd, int other_end, char *to)
{
    pid_t pid = fork();

    if (pid == 0) {
        size_t total = 0;
        ssize_t n = 1;

        close(other_end);
        while (total < AMOUNT && (n = read(fd, to + total, AMOUNT - total)) > 0)
            total += (size_t)n;
        _exit(total == AMOUNT ? 0 : 1);
    }
    return pid;
}

static char *map_shared(size_t len)
{
    char *bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(bytes, MAP_FAILED);
    return bytes;
}

/* Relays what a step writes that meddles, and compares what was delivered with what was seen. */
static void relay_meddled(bool judged, bool pages, bool takes_back)
{
    struct meddled filter = {judged, -1, pages ? map_shared(SHARED) : NULL, malloc(AMOUNT), 0};
    const struct pump_filter ends = {meddle, meddle_end, is_judge, never, &filter};
    char *delivered = map_shared(AMOUNT);
    struct pump pump;
    struct loop loop;
    struct err err;
    int from[2], to[2];
    pid_t writer, reader;

    assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    fcntl(from[1], F_SETFL, 0);
    if (takes_back)
        filter.source = from[0];
    writer = pages ? write_shared(from[1], filter.shared) : write_pattern(dup(from[1]));
    reader = read_delivered(to[0], to[1], delivered);
    close(from[1]), close(to[0]);
    assert_ok(loop_open(&loop, &err));
    assert_ok(
        pump_start(&pump, &loop,
                   &(struct pump_ends){
                       .from = from[0], .to = to[1], .filter = &ends, .done = stop, .data = &loop},
                   &err));
    assert_ok(loop_run(&loop, &err));
    assert_true(pump.busy);
    assert_int_equal(pump.bytes, AMOUNT);
    pump_close(&pump);
    loop_close(&loop);
    close(from[0]), close(to[1]);
    expect_success(writer);
    expect_success(reader);
    assert_memory_equal(delivered, filter.seen, AMOUNT);
    free(filter.seen);
    munmap(delivered, AMOUNT);
    if (pages)
        munmap(filter.shared, SHARED);
}

static void what_a_filter_judged_is_what_is_delivered(void **state)
{
    (void)state;
    relay_meddled(true, true, false);
    relay_meddled(true, false, true);
}

static void what_a_step_takes_back_is_not_waited_for(void **state)
{
    (void)state;
    relay_meddled(false, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_between_pipes),
        cmocka_unit_test(bytes_pass_from_files),
        cmocka_unit_test(bytes_pass_into_sockets),
        cmocka_unit_test(bytes_pass_into_files),
        cmocka_unit_test(a_reader_that_goes_away_stops_nothing),
        cmocka_unit_test(a_terminal_is_read_as_it_comes),
        cmocka_unit_test(a_source_that_is_held_open_can_be_finished),
        cmocka_unit_test(what_comes_after_the_finish_is_not_moved),
        cmocka_unit_test(a_filter_sees_and_changes_a_busy_stream),
        cmocka_unit_test(a_filter_sees_what_no_reader_gets),
        cmocka_unit_test(what_a_filter_judged_is_what_is_delivered),
        cmocka_unit_test(what_a_step_takes_back_is_not_waited_for),
    };

    signal(SIGPIPE, SIG_IGN); /* as stepcell does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
