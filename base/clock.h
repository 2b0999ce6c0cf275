/* Time: a monotonic clock for spans and deadlines, and RFC 3339 text for the record. */
#ifndef STEPCELL_BASE_CLOCK_H
#define STEPCELL_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t clock_now(void);

/* Lets so many milliseconds pass; a signal ends it before. */
void clock_sleep(uint64_t ms);

/* UTC, nanoseconds, with a final "Z": 30 bytes and the NUL. */
#define CLOCK_TEXT_MAX 40
void clock_text(const struct timespec *time, char text[CLOCK_TEXT_MAX]);

/* Reads such a text: nothing less, nothing behind it. */
bool clock_parse(const char *text, struct timespec *time);

#endif
