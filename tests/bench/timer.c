/*
 * Times commands against each other: runs them in turn, in an order shuffled anew for each round,
 * with input and output at /dev/null, and takes the wall time from fork until the process is
 * reaped.
 *
 *   timer ROUNDS [--before FILE] NAME=FILE...
 *
 * Each FILE is a contender: one argument a line, the first the program. The file of --before is run
 * ahead of every measurement, unmeasured. Prints "NAME MEDIAN P90 MIN MAX PEAK FAILED CPU" for
 * each, times in microseconds, PEAK the largest resident size in KiB of the process and of whatever
 * it waited for, CPU the median of the processor time of these.
 *
 * Small and static, so that what a child inherits from it at fork weighs little.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTENDERS_MAX 32
#define ROUNDS_MAX     10000
#define ARGS_MAX       256

struct contender {
    const char *name;
    char *argv[ARGS_MAX + 1];
    int64_t *times, *processor;
    long peak;
    int failed;
};

static void fatal(const char *what)
{
    fprintf(stderr, "timer: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void read_arguments(const char *path, char *argv[])
{
    FILE *file = fopen(path, "re");
    size_t size = 0;
    int count = 0;

    if (!file)
        fatal(path);
    for (char *line = NULL; count < ARGS_MAX && getline(&line, &size, file) >= 0; size = 0) {
        line[strcspn(line, "\n")] = '\0';
        argv[count++] = line;
        line = NULL;
    }
    argv[count] = NULL;
    fclose(file);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static int64_t microseconds(const struct timeval *time)
{
    return time->tv_sec * INT64_C(1000000) + time->tv_usec;
}

/* The wall time of one run; its status and what it used as they were reaped. */
static int64_t run(char *argv[], int *status, struct rusage *usage)
{
    int64_t start = now();
    pid_t pid = fork();

    if (pid < 0)
        fatal("fork");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (null > 2)
            close(null);
        execv(argv[0], argv);
        _exit(127);
    }
    while (wait4(pid, status, 0, usage) < 0) {
        if (errno != EINTR)
            fatal("wait4");
    }
    return now() - start;
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static void shuffle(int order[], int count)
{
    for (int i = count - 1; i > 0; i--) {
        int j = rand() % (i + 1);
        int other = order[i];

        order[i] = order[j];
        order[j] = other;
    }
}

static void measure(struct contender *contender, int round, char *before[])
{
    struct rusage usage = {0};
    int status = 0;

    if (before)
        run(before, &status, &usage);
    contender->times[round] = run(contender->argv, &status, &usage);
    contender->processor[round] = microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime);
    if (usage.ru_maxrss > contender->peak)
        contender->peak = usage.ru_maxrss;
    if (status != 0)
        contender->failed++;
}

int main(int argc, char *argv[])
{
    static struct contender contenders[CONTENDERS_MAX];
    static char *before[ARGS_MAX + 1];
    int order[CONTENDERS_MAX];
    int rounds = argc > 1 ? atoi(argv[1]) : 0;
    int count = 0;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: timer ROUNDS [--before FILE] NAME=FILE...\n");
        return 2;
    }
    for (int i = 2; i < argc && count < CONTENDERS_MAX; i++) {
        char *equals = strchr(argv[i], '=');

        if (strcmp(argv[i], "--before") == 0 && i + 1 < argc) {
            read_arguments(argv[++i], before);
            continue;
        }
        if (!equals)
            continue;
        *equals = '\0';
        contenders[count].name = argv[i];
        contenders[count].times = calloc((size_t)rounds, sizeof(int64_t));
        contenders[count].processor = calloc((size_t)rounds, sizeof(int64_t));
        read_arguments(equals + 1, contenders[count].argv);
        order[count] = count;
        count++;
    }
    srand((unsigned)time(NULL));
    for (int round = 0; round < rounds; round++) {
        shuffle(order, count);
        for (int i = 0; i < count; i++)
            measure(&contenders[order[i]], round, before[0] ? before : NULL);
    }
    for (int i = 0; i < count; i++) {
        int64_t *times = contenders[i].times, *processor = contenders[i].processor;

        qsort(times, (size_t)rounds, sizeof(*times), by_size);
        qsort(processor, (size_t)rounds, sizeof(*processor), by_size);
        printf("%s %lld %lld %lld %lld %ld %d %lld\n", contenders[i].name,
               (long long)times[rounds / 2], (long long)times[(rounds - 1) * 9 / 10],
               (long long)times[0], (long long)times[rounds - 1], contenders[i].peak,
               contenders[i].failed, (long long)processor[rounds / 2]);
    }
    return 0;
}
