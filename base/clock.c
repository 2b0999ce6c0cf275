#include "base/clock.h"

#include <stdio.h>
#include <string.h>

int64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_text(const struct timespec *time, char text[CLOCK_TEXT_MAX])
{
    struct tm tm;
    size_t used;

    gmtime_r(&time->tv_sec, &tm);
    used = strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + used, CLOCK_TEXT_MAX - used, ".%09ldZ", time->tv_nsec);
}
