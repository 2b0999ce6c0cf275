/*
 * What scripts/bench-relay runs in a cell, and beside it:
 *   relay_probe lines BYTES    lines of 100 bytes, as fast as they are taken
 *   relay_probe stamps COUNT   lines with the time at which each was written, every three milliseconds
 *   relay_probe read           reads such lines, and prints the median of their ages in microseconds
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE      100
#define CHUNK     (655 * LINE)
#define STAMPS    100000
#define PAUSE_US  3000
#define NS_PER_US 1000

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int write_lines(int64_t left)
{
    static char chunk[CHUNK];

    for (int i = 0; i < CHUNK; i++)
        chunk[i] = i % LINE == LINE - 1 ? '\n'
                   : i % 7 == 6         ? ' '
                                        : (char)('a' + (i * 31 + i / LINE) % 26);
    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, chunk, left < CHUNK ? (size_t)left : CHUNK);

        if (n < 0)
            return 1;
        left -= n;
    }
    return 0;
}

static int write_stamps(int64_t count)
{
    for (; count > 0; count--) {
        char line[32];
        int len;

        usleep(PAUSE_US);
        len = snprintf(line, sizeof(line), "%lld\n", (long long)now());
        if (write(STDOUT_FILENO, line, (size_t)len) != len)
            return 1;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int read_stamps(void)
{
    static int64_t ages[STAMPS];
    char line[64];
    size_t count = 0;

    setvbuf(stdin, NULL, _IOLBF, 0);
    while (count < STAMPS && fgets(line, sizeof(line), stdin))
        ages[count++] = now() - strtoll(line, NULL, 10);
    if (count == 0)
        return 1;
    qsort(ages, count, sizeof(*ages), compare);
    printf("%lld\n", (long long)(ages[count / 2] / NS_PER_US));
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int64_t number = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;

    if (strcmp(mode, "lines") == 0)
        return write_lines(number);
    if (strcmp(mode, "stamps") == 0)
        return write_stamps(number);
    return strcmp(mode, "read") == 0 ? read_stamps() : 2;
}
