/* What a cell used, at times: asked, kept within bounds, and read again whatever became of it. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "shim/state/samples.h"
#include "shim/state/step_files.h"
#include "tests/unit/scratch.h"

#define HEAD                                                                                       \
    "{\"schema\":\"stepcell.samples/1\",\"start\":\"2026-01-02T03:04:05.000000006Z\","             \
    "\"cpu\":\"cgroup\",\"memory\":\"processes\",\"pids\":\"processes\"}\n"

static void what_is_read(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        size_t count;
    } cases[] = {
        {"", false, 0},
        {"\n", false, 0},
        {"{}\n", false, 0},
        {"[1,2,3,4]\n", false, 0},
        {"{\"schema\":\"stepcell.samples/2\"}\n", false, 0},
        {"{\"schema\":\"stepcell.samples/1\",\"start\":\"now\",\"cpu\":\"cgroup\","
         "\"memory\":\"cgroup\",\"pids\":\"cgroup\"}\n",
         false, 0},
        {"{\"schema\":\"stepcell.samples/1\",\"start\":\"2026-01-02T03:04:05.000000006Z\","
         "\"cpu\":\"guess\",\"memory\":\"cgroup\",\"pids\":\"cgroup\"}\n",
         false, 0},
        {"{\"schema\":\"stepcell.samples/1\",\"start\":\"2026-01-02T03:04:05.000000006Z\"", false,
         0},
        {HEAD, true, 0},
        {HEAD "[100,1,2,3]\n", true, 1},
        {HEAD "[100,1,2,3]\n[200,1,2,3]\n", true, 2},
        {HEAD "[100,null,null,null]\n", true, 1},
        /* The end is cut off. */
        {HEAD "[100,1,2,3]\n[200,1", true, 1},
        {HEAD "[100,1,2,3]\n[200,1,2,3]", true, 1},
        /* What is none, and all that follows, does not count. */
        {HEAD "[100,1,2,3]\n\n[200,1,2,3]\n", true, 1},
        {HEAD "[100,1,2,3]\n[100,1,2,3]\n", true, 1},
        {HEAD "[100,1,2,3]\n[50,1,2,3]\n[200,1,2,3]\n", true, 1},
        {HEAD "[100,1,2]\n", true, 0},
        {HEAD "[100,1,2,3,4]\n", true, 0},
        {HEAD "[100,-1,2,3]\n", true, 0},
        {HEAD "[-100,1,2,3]\n", true, 0},
        {HEAD "[100,1.5,2,3]\n", true, 0},
        {HEAD "[100,\"1\",2,3]\n", true, 0},
        {HEAD "[null,1,2,3]\n", true, 0},
        {HEAD "[99999999999999999999,1,2,3]\n", true, 0},
        {HEAD "{\"ms\":100}\n", true, 0},
        {HEAD HEAD, true, 0},
        /* Nothing comes behind the most. */
        {HEAD "[100,1,2,3]\n{\"memory_peak\":4}\n[200,1,2,3]\n", true, 1},
        {HEAD "[100,1,2,3]\n{\"memory_peak\":-4}\n[200,1,2,3]\n", true, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct samples samples;

        print_message("%s\n", cases[i].text);
        assert_int_equal(samples_parse(cases[i].text, strlen(cases[i].text), &samples),
                         cases[i].ok);
        if (cases[i].ok)
            assert_int_equal(samples.count, cases[i].count);
    }
}

static void read_back(const struct scratch *scratch, struct samples *samples)
{
    autobuf text = BUF_INIT(SAMPLES_FILE_MAX);
    struct err err;

    assert_ok(file_read(scratch->fd, STEP_SAMPLES, &text, ERR_ENGINE_FAILED, &err));
    assert_true(samples_parse(text.data, text.len, samples));
}

/* An hour, with the largest numbers there are: file and memory stay bounded, and all of it is there
 * at half the rate as often as is needed. */
static void many_samples_stay_few(void **state)
{
    struct samples samples = {.start = {1234567890, 123456789},
                              .sources = {USAGE_CGROUP, USAGE_PROCESSES, USAGE_CGROUP}};
    struct samples back;
    struct scratch scratch;
    uint64_t ms = 0;

    (void)state;
    scratch_make(&scratch);
    assert_true(samples_begin(&samples, scratch.fd));
    while (ms < 3600 * 1000) {
        struct sample sample = {.ms = ms += samples.every_ms};

        sample.values[USAGE_CPU] = INT64_MAX;
        sample.values[USAGE_MEMORY] = ms % 300 ? USAGE_UNKNOWN : INT64_MAX;
        sample.values[USAGE_PIDS] = 0;
        assert_true(samples_add(&samples, &sample));
    }
    read_back(&scratch, &back);
    assert_int_equal(back.count, samples.count);
    assert_true(back.count >= SAMPLES_MAX / 2 && back.count < SAMPLES_MAX);
    assert_memory_equal(back.items, samples.items, back.count * sizeof(back.items[0]));
    assert_memory_equal(back.sources, samples.sources, sizeof(back.sources));
    assert_int_equal(back.start.tv_sec, 1234567890);
    assert_int_equal(back.start.tv_nsec, 123456789);
    for (size_t i = 0; i < back.count; i++)
        assert_int_equal(back.items[i].ms, (i + 1) * samples.every_ms);
    assert_int_equal(back.memory_peak, USAGE_UNKNOWN);
    assert_true(samples_add_peak(&samples, 5));
    read_back(&scratch, &back);
    assert_int_equal(back.memory_peak, 5);
    assert_int_equal(back.count, samples.count);
    samples_end(&samples);
    assert_false(samples_begin(&samples, scratch.fd));
    scratch_remove(&scratch);
}

static void numbers_of_a_cgroup(void **state)
{
    static const struct {
        enum usage_kind kind;
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {USAGE_CPU, "usage_usec 4711\nuser_usec 1\n", true, 4711},
        {USAGE_CPU, "usage_usec 4711", true, 4711},
        {USAGE_CPU, "4711999\n", true, 4711},
        {USAGE_CPU, "usage_usec \n", false, 0},
        {USAGE_CPU, "user_usec 1\n", false, 0},
        {USAGE_MEMORY, "4096\n", true, 4096},
        {USAGE_MEMORY, "usage_usec 1\n", false, 0},
        {USAGE_PIDS, "0\n", true, 0},
        {USAGE_PIDS, "max\n", false, 0},
        {USAGE_PIDS, "-1\n", false, 0},
        {USAGE_PIDS, "", false, 0},
        {USAGE_MEMORY, "18446744073709551615\n", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 0;

        assert_int_equal(usage_parse(cases[i].text, cases[i].kind, &value), cases[i].ok);
        assert_int_equal(value, cases[i].ok ? cases[i].value : 0);
    }
}

static void what_proc_says_of_a_process(void **state)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "1 (a",
                                      "1 (a)",
                                      "1 (a) S",
                                      "1 (a) S x",
                                      "1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"};
    struct usage_process process;

    (void)state;
    assert_true(
        usage_parse_process("17 (a) S 9 (b) R 3 1 1 0 -1 4194304 99 98 97 96 100 20 3 4 20 0 7 "
                            "0 123 4096 55 18446744073709551615 1\n",
                            &process));
    assert_int_equal(process.parent, 3);
    assert_int_equal(process.ticks, 127);
    assert_int_equal(process.tasks, 7);
    assert_int_equal(process.pages, 55);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(usage_parse_process(bad[i], &process));
}

static void cgroups_of_one_cell(void **state)
{
    static const char *const own[] = {
        "/sys/fs/cgroup/memory/stepcell-0123456789abcdef",
        "/sys/fs/cgroup/user.slice/stepcell-0123456789abcdef",
        "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "/s/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
        "/s/libpod-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/container",
    };
    static const char *const shared[] = {
        "/",
        "",
        "/sys/fs/cgroup",
        "/user.slice",
        "/stepcell-0123456789abcde",
        "/stepcell-0123456789abcdef0",
        "/stepcell-0123456789abcdeg",
        "/x-0123456789abcdef",
        "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(own); i++)
        assert_true(usage_is_own_path(own[i]));
    for (size_t i = 0; i < COUNT(shared); i++)
        assert_false(usage_is_own_path(shared[i]));
}

/* A child that works in a child of its own, which it does not wait for. */
static void a_family_is_added_up(void **state)
{
    uint64_t values[USAGE_KINDS];
    struct usage_meter meter;
    int ready[2];
    pid_t child;
    char byte;

    (void)state;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (clock() < CLOCKS_PER_SEC / 5) {
            }
            (void)!write(ready[1], "", 1);
        }
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    usage_open(child, &meter);
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        assert_int_equal(usage_source(&meter, (enum usage_kind)kind), USAGE_PROCESSES);
    usage_read(&meter, values);
    assert_true(values[USAGE_CPU] >= 180000 && values[USAGE_CPU] < 2000000);
    assert_int_equal(values[USAGE_PIDS], 2);
    assert_true(values[USAGE_MEMORY] > 0 && values[USAGE_MEMORY] != USAGE_UNKNOWN);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    usage_read(&meter, values);
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        assert_int_equal(values[kind], USAGE_UNKNOWN);
    usage_close(&meter);
    usage_open(0, &meter);
    usage_read(&meter, values);
    assert_int_equal(values[USAGE_PIDS], USAGE_UNKNOWN);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),        cmocka_unit_test(many_samples_stay_few),
        cmocka_unit_test(numbers_of_a_cgroup), cmocka_unit_test(what_proc_says_of_a_process),
        cmocka_unit_test(cgroups_of_one_cell), cmocka_unit_test(a_family_is_added_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
