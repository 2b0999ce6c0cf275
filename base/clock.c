#include "base/clock.h"

#include <stdio.h>
#include <string.h>

int64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_sleep(uint64_t ms)
{
    const struct timespec time = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_nsec = (long)(ms % 1000) * NS_PER_MS};

    nanosleep(&time, NULL);
}

void clock_text(const struct timespec *time, char text[CLOCK_TEXT_MAX])
{
    struct tm tm;
    size_t used;

    gmtime_r(&time->tv_sec, &tm);
    used = strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + used, CLOCK_TEXT_MAX - used, ".%09ldZ", time->tv_nsec);
}

bool clock_parse(const char *text, struct timespec *time)
{
    char again[CLOCK_TEXT_MAX];
    struct timespec parsed = {0};
    struct tm tm = {0};
    int used = 0;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%9ldZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &parsed.tv_nsec, &used) != 7 ||
        !used || text[used])
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    parsed.tv_sec = timegm(&tm);
    /* What is written differently again had signs, blanks or a thirteenth month. */
    clock_text(&parsed, again);
    if (parsed.tv_nsec < 0 || strcmp(again, text) != 0)
        return false;
    *time = parsed;
    return true;
}
