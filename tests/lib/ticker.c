/*
 * A step that prints the time: ticker N writes N lines, one each 3 ms, each the CLOCK_MONOTONIC of its
 * writing in nanoseconds. For line_latency.py, built with musl-gcc for any cell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 3000000};

    for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--) {
        struct timespec now;

        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        dprintf(STDOUT_FILENO, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    }
    return 0;
}
